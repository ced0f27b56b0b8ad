"""What Leg-UP trains on and with: genuine profiles in batches, and the generator at work on its templates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from ...datasets.log import InteractionLog
from ..scale import RatingScale
from ..surrogate.base import Accounts
from ..surrogate.wmf import mean_ratings
from .nets import Generator


def lifted(log: InteractionLog, scale: RatingScale) -> tuple[InteractionLog, RatingScale, float]:
    """A rated log and its scale with all ratings above 0, and what was added.

    In a profile as a row of ratings 0 stands for "no event", so a scale that begins at 0 must be moved.
    """
    lift = 1.0 - scale.lowest if scale.lowest <= 0 else 0.0
    if not lift or log.value is None:
        return log, scale, 0.0
    return replace(log, value=log.value + np.float32(lift)), RatingScale(scale.grid + np.float32(lift)), lift


class Genuine:
    """Genuine profiles as rows of ratings, all above 0 (`lifted`).

    Attributes:
        ratings: float32 CSR [U, I]; the mean where a pair was rated twice.
    """

    def __init__(self, log: InteractionLog, length: int | None, rng: np.random.Generator) -> None:
        """Take the visible log; `length` cuts every profile that is shown to so many random events."""
        self.ratings = mean_ratings(log)
        self.users = np.flatnonzero(np.diff(self.ratings.indptr))
        self.length, self.rng = length, rng

    def batches(self, size: int, most: int | None = None) -> Iterator[torch.Tensor]:
        """Profiles of all users in random order, float32 [B, I]; of `most` batches at most."""
        order = self.rng.permutation(self.users)
        for number, begin in enumerate(range(0, len(order), size)):
            if number == most:
                return
            rows = self.ratings[order[begin : begin + size]].toarray()
            if self.length is not None and self.length < rows.shape[1]:
                key = np.where(rows != 0, self.rng.random(rows.shape), np.inf)
                last = np.partition(key, self.length, axis=1)[:, [self.length]]
                rows = np.where(key < last, rows, np.float32(0))
            yield torch.from_numpy(rows)


class Writer:
    """A generator that rewrites the ratings of templates, and what it is trained by."""

    def __init__(self, generator: Generator, templates: Accounts, targets: list[int], learning_rate: float) -> None:
        """Take templates with the targets in them; the generator does not read the targets' columns of these."""
        self.generator = generator
        self.templates, self.targets = templates, targets
        self.fillers = templates.present.clone()
        self.fillers[:, targets] = 0.0
        self.input = templates.rating * self.fillers
        self.optimiser = torch.optim.Adam(generator.parameters(), lr=learning_rate)

    def ratings(self, *, target: bool) -> torch.Tensor:
        """The accounts' ratings, 0 where there is no event: float [A, I], with or without those of the targets."""
        found: torch.Tensor = self.generator(self.input) * self.fillers
        return found + self.templates.rating * (1 - self.fillers) if target else found

    def accounts(self, target: bool) -> Accounts:
        """The accounts as they are now, differentiable in the generator."""
        return Accounts(self.templates.present if target else self.fillers, self.ratings(target=target))

    def written(self) -> Accounts:
        """The accounts as they are now, targets included, detached."""
        with torch.no_grad():
            return Accounts(self.templates.present, self.ratings(target=True))

    def step(self, loss: torch.Tensor) -> None:
        """One step of the generator against a loss."""
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()

    def pretrain(self, profiles: torch.Tensor, *, likelihood: bool) -> None:
        """One step towards restoring the ratings of genuine profiles, float [B, I].

        By likelihood of soft chances; else as published, by cross-entropy with the 0/1 products as logits; without
        learned boundaries by squared error.
        """
        grid = self.generator.discretiser.grid
        rows, items = torch.nonzero(profiles, as_tuple=True)
        wanted = profiles[rows, items]
        if not self.generator.learned:
            self.step(functional.mse_loss(self.generator(profiles)[rows, items], wanted))
            return
        real = self.generator.real(profiles)[rows, items]
        level = torch.bucketize(wanted, (grid[1:] + grid[:-1]) / 2)
        chances = self.generator.discretiser.chances(real, items, soft=likelihood)
        if likelihood:
            self.step(functional.nll_loss(torch.log(chances.clamp_min(1e-6)), level))
        else:
            self.step(functional.cross_entropy(chances, level))
