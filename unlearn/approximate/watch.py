"""Where forgotten pairs lie beside pairs that were never trained on: what methods that push must stop by."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.errors import InputError
from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import rng as seeded
from ...recommenders.base import Recommender
from ...recommenders.catalogue import model_class
from ...recommenders.sequential import SequentialModel
from ...recommenders.trainer import RankingTraining
from ..base import Served
from ..request import Request
from ..verify.membership import percentiles

_SAMPLE = 2000  # pairs of either kind that a check reads
_OWN = 50  # held-out pairs that the touched users must have for these alone to be read
_HALVINGS = 6
_USUAL = 8 / 9  # where held-out pairs lie if none are there to tell


class Watch:
    """Where forgotten pairs lie among their users' other items, less where pairs lie that were never trained on.

    Models that read histories know nothing of a user who is forgotten whole; such a user is read with the first half
    of its old events, and the other half is judged.

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
        self.history = retained
        if issubclass(model_class(served.recipe.model), SequentialModel):
            self.history = retained.plus(served.log.take(request.first_halves(served.log)))
        key = self.history.pair_keys
        self.forgotten = _drawn(forgotten, ~np.isin(forgotten.pair_keys, key), seeded(seed, "watch", "forgotten"))
        self.controls = (np.empty(0, np.int64), np.empty(0, np.int64))
        if served.held_out is not None:
            held = served.held_out
            fit_ = ~np.isin(held.pair_keys, np.union1d(key, served.log.pair_keys))
            own = fit_ & np.isin(held.user, forgotten.user)
            self.controls = _drawn(held, own if own.sum() >= _OWN else fit_, seeded(seed, "watch", "held-out"))
        self.known = len(self.forgotten[0]) > 0 and len(self.controls[0]) > 0
        self.level = self.look(served.model)[1] if self.known else None

    def look(self, model: Recommender) -> tuple[float, float]:
        """Mean percentile of the forgotten and of the held-out pairs, 0..1 each."""
        forgotten, controls = (
            float(percentiles(model, *pairs, self.history).mean()) for pairs in (self.forgotten, self.controls)
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


def _drawn(log: InteractionLog, among: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Int64, Int64]:
    """At most 2,000 distinct pairs, users and items."""
    key = np.unique(log.pair_keys[among])
    if len(key) > _SAMPLE:
        key = np.sort(rng.choice(key, _SAMPLE, replace=False))
    return key // log.n_items, key % log.n_items


def values(training: RankingTraining[Any]) -> list[torch.Tensor]:
    """A copy of the parameters."""
    return [parameter.detach().clone() for parameter in training.parameters()]


def _place(training: RankingTraining[Any], before: list[torch.Tensor], after: list[torch.Tensor], share: float) -> None:
    with torch.no_grad():
        for parameter, first, second in zip(training.parameters(), before, after, strict=True):
            parameter.copy_(torch.lerp(first, second, share))
        training.refresh()
