"""When to stop: forgotten pairs should stand where pairs stand that were never trained on, and not below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from ....datasets.log import Int64, InteractionLog
from ....datasets.seeding import rng
from ....recommenders.base import Model, Recipe
from ....recommenders.catalogue import build
from ....recommenders.consumed import consumed
from ....recommenders.pairwise import PairwiseConfig
from ...base import Served
from ...request import Request
from ...verify.membership import percentiles
from .losses import pair_scores

_SAMPLE = 2000
_OWN = 50  # held-out pairs of the request's own users that are enough to be the level


@dataclass(frozen=True, eq=False)
class Level:
    """How a request is measured.

    Attributes:
        recipe: the victim's.
        log: the retain set.
        user: int64 [P], of forgotten pairs, then of held-out ones.
        item: int64 [P].
        forgotten: how many of them are forgotten pairs.
    """

    recipe: Recipe
    log: InteractionLog
    user: Int64
    item: Int64
    forgotten: int

    @classmethod
    def of(cls, served: Served, request: Request, retained: InteractionLog, seed: int) -> Level | None:
        """A sample of at most 2,000 forgotten and as many held-out pairs; None if there are none of one kind.

        Held-out pairs are those of the users who forget something, or everybody's where these have fewer than 50:
        users differ in how high their pairs stand. Pairs of users with nothing left are not asked: their rows are new
        and know nothing. Held-out pairs that were trained on as well are left out.
        """
        if served.held_out is None:
            return None
        parts = []
        gone = request.forgotten(served.log)
        left = retained.user_counts > 0
        for name, log, known in (("forgotten", gone, retained), ("held", served.held_out, served.log)):
            user, item = (part.astype(np.int64) for part in log.matrix().nonzero())
            fits = left[user] & (np.asarray(consumed(known)[user, item]).ravel() == 0)
            user, item = user[fits], item[fits]
            own = np.isin(user, gone.user)
            if own.sum() >= _OWN:
                user, item = user[own], item[own]
            chosen = rng(seed, "unlearn-rec", "level", name).permutation(len(user))[:_SAMPLE]
            parts.append((user[chosen], item[chosen]))
        if not all(len(user) for user, _ in parts):
            return None
        users, items = (np.concatenate(side) for side in zip(*parts, strict=True))
        return cls(served.recipe, retained, users, items, len(parts[0][0]))

    def look(self, state: Mapping[str, torch.Tensor]) -> tuple[float, float]:
        """Mean percentile of the forgotten pairs and of the held-out pairs, 0..1 each."""
        model: Model = build(self.recipe)
        model.load(state, self.log.n_users, self.log.n_items)
        found = percentiles(model, self.user, self.item, self.log)
        return float(found[: self.forgotten].mean()), float(found[self.forgotten :].mean())

    def mark(self, final: torch.Tensor, config: PairwiseConfig) -> float:
        """Mean score of the held-out pairs, as `pair_scores` has it; `final` is float32 [n, d], users first."""
        user, item = (torch.from_numpy(side[self.forgotten :]) for side in (self.user, self.item + self.log.n_users))
        return float(pair_scores(final[user], final[item], config).mean())


@dataclass(frozen=True, eq=False)
class Aim:
    """A level and where its held-out pairs stood before anything was pushed.

    A fixed mark: a method that ruins the rows of the request's users drags their held-out pairs down with the
    forgotten ones, and would meet a mark that moves along.

    Attributes:
        level: how to measure.
        height: mean percentile of the held-out pairs after the edges were removed.
    """

    level: Level
    height: float

    @classmethod
    def at(cls, level: Level, state: Mapping[str, torch.Tensor]) -> Aim:
        """The aim, from the state with the edges removed and nothing else changed."""
        return cls(level, level.look(state)[1])

    def miss(self, state: Mapping[str, torch.Tensor]) -> tuple[float, float]:
        """How far the forgotten pairs stand above the mark (below 0: pushed too far), and the distance in all.

        The distance, at least 0, is the absolute value of the first plus what the held-out pairs have lost.
        """
        forgotten, held = self.level.look(state)
        over = forgotten - self.height
        return over, abs(over) + max(0.0, self.height - held)
