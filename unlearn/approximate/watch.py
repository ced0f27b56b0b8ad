"""Where forgotten pairs lie beside pairs that were never trained on: what methods that push must stop by."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ...datasets.errors import InputError
from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import rng as seeded
from ...privacy.places import following, places, prefixes
from ...privacy.signals import percentiles
from ...recommenders.base import Recommender
from ...recommenders.catalogue import reads_order
from ...recommenders.trainer import RankingTraining
from ..base import Served
from ..request import Request

_SAMPLE = 2000  # pairs of either kind that a check reads
_OWN = 50  # held-out pairs that the touched users must have for these alone to be read
_HALVINGS = 6
_USUAL = 8 / 9  # where held-out pairs lie if none are there to tell


class Watch:
    """Where forgotten pairs lie among their users' other items, less where pairs lie that were never trained on.

    Models that read histories in order are asked from what stood before each pair (`verify.places`).

    Attributes:
        known: whether there are pairs of both kinds; without, nothing can be compared.
        level: mean percentile of the held-out pairs under the model before the request, None if not known.
    """

    def __init__(
        self, served: Served, request: Request, retained: InteractionLog, seed: int, whole_users: bool = True
    ) -> None:
        """Choose the pairs to read: forgotten ones, and held-out ones of the touched users if these have 50.

        Otherwise those of all users.

        Args:
            served: with held-out events, or without.
            request: rows of its log.
            retained: the retain set.
            seed: of the choice where there are more than 2,000 pairs of a kind.
            whole_users: whether pairs of users with nothing left are read; not where their rows are made anew.
        """
        forgotten = request.forgotten(served.log)
        if not whole_users:
            forgotten = forgotten.take(retained.user_counts[forgotten.user] > 0)
        gone = ~np.isin(served.log.pair_keys, retained.pair_keys) & np.isin(served.log.user, forgotten.user)
        in_order = reads_order(served.recipe)
        self.history = served.log if in_order else retained
        rows = np.flatnonzero(gone)
        if in_order:
            rows = following(served.log, rows)
        rows = _drawn(served.log, rows, seeded(seed, "watch", "forgotten"))
        self.forgotten = served.log.user[rows].astype(np.int64), served.log.item[rows].astype(np.int64)
        self.controls = (np.empty(0, np.int64), np.empty(0, np.int64))
        if served.held_out is not None:
            held = served.held_out
            fit_ = ~np.isin(held.pair_keys, served.log.pair_keys)
            own = fit_ & np.isin(held.user, forgotten.user)
            chosen = _drawn(held, np.flatnonzero(own if own.sum() >= _OWN else fit_), seeded(seed, "watch", "held-out"))
            self.controls = held.user[chosen].astype(np.int64), held.item[chosen].astype(np.int64)
        self._prefix: tuple[InteractionLog | None, InteractionLog | None] = (None, None)
        if in_order:
            counts = served.log.user_counts[self.controls[0]]
            self._prefix = (
                prefixes(served.log, self.forgotten[0], places(served.log, rows)),
                prefixes(served.log, self.controls[0], counts),
            )
        self.known = len(self.forgotten[0]) > 0 and len(self.controls[0]) > 0
        self.level = self.look(served.model)[1] if self.known else None

    def look(self, model: Recommender) -> tuple[float, float]:
        """Mean percentile of the forgotten and of the held-out pairs, 0..1 each."""
        forgotten, controls = (
            float(percentiles(model, *pairs, self.history, prefix).mean())
            for pairs, prefix in zip((self.forgotten, self.controls), self._prefix, strict=True)
        )
        return forgotten, controls

    def gap(self, model: Recommender) -> float:
        """Mean percentile of the forgotten pairs less that of held-out ones, -1..1; 0 is forgotten, below is too far.

        The held-out pairs count as they lie under this model, or as they lay under the one before the request if that
        is higher: a method that spoils a user's taste as a whole takes them down too, and must not go on for it.

        Raises:
            InputError: nothing is known to compare with.
        """
        if self.level is None:
            raise InputError("there are no held-out pairs, or no forgotten ones, to compare")
        forgotten, controls = self.look(model)
        return forgotten - max(self.level, controls)

    @property
    def rivals(self) -> int:
        """Of how many random items the best lies where held-out pairs lie, on average: level / (1 - level), 1..64."""
        level = _USUAL if self.level is None else self.level
        return round(min(64.0, max(1.0, level / max(1e-6, 1 - level))))

    def land(
        self,
        model: Recommender,
        training: RankingTraining[Any],
        before: list[torch.Tensor],
        after: list[torch.Tensor],
    ) -> None:
        """Leave the training between two points, of which the second lies too low: at the last that does not.

        Found by halving; if even the first lies too low, that one is taken.
        """
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            _place(training, before, after, middle)
            low, high = (middle, high) if self.gap(model) >= 0 else (low, middle)
        _place(training, before, after, low)


def _drawn(log: InteractionLog, rows: Int64, rng: np.random.Generator) -> Int64:
    """At most 2,000 of the events with distinct pairs, by their pairs."""
    rows = rows[np.unique(log.pair_keys[rows], return_index=True)[1]]
    if len(rows) > _SAMPLE:
        rows = rows[np.sort(rng.choice(len(rows), _SAMPLE, replace=False))]
    return rows


def values(training: RankingTraining[Any]) -> list[torch.Tensor]:
    """A copy of the parameters."""
    return [parameter.detach().clone() for parameter in training.parameters()]


def _place(training: RankingTraining[Any], before: list[torch.Tensor], after: list[torch.Tensor], share: float) -> None:
    with torch.no_grad():
        for parameter, first, second in zip(training.parameters(), before, after, strict=True):
            parameter.copy_(torch.lerp(first, second, share))
        training.refresh()
