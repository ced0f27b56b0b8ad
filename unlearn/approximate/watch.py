"""Where forgotten pairs lie beside pairs that were never trained on: what methods that push must stop by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

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
from .easy import as_easy, hints, log_odds, trained_guide
from .folded import Folded

_SAMPLE = 4000  # pairs of either kind that are read
_HALVINGS = 6
_USUAL = 8 / 9  # where held-out pairs lie if none are there to tell
_EASIER = float(np.log(2))
_LEAST = 25  # held-out pairs that tell anything: the mean of five followed single pairs


class Look(NamedTuple):
    """Mean percentiles under one model, 0..1 each.

    Attributes:
        forgotten: of the forgotten pairs.
        level: of held-out pairs that are as easy to guess.
        held: of all held-out pairs.
    """

    forgotten: float
    level: float
    held: float

    def mark(self, easier: float = 0.0) -> float:
        """Where forgotten pairs should come to lie, by the model before; it does not move with what a method does.

        Args:
            easier: by how much more forgotten pairs are guessed than held-out ones would be, had both been taught;
                log odds of percentiles.
        """
        return float(expit(log_odds(self.level) + easier))


class Watch:
    """Where forgotten pairs lie among their users' other items, less where pairs lie that were never trained on.

    Some pairs are easy to guess for any model, so that held-out pairs as they come say little of a request: they are
    weighted by `easy.as_easy`, after a guide that was taught neither. Models that read histories in order are asked
    from what stood before each pair (`privacy.places`), models with rows of users, where users are forgotten whole, by
    half of a history (`Folded`). Of such questions a guide tells little: there popularity has to do, and the mark moves
    with how easily what was *taught* is guessed (`easier`).

    Attributes:
        known: whether there are pairs of both kinds; without, nothing can be compared.
        forgotten: users and items of the forgotten pairs, int64 [F] each.
        controls: those of the held-out pairs, int64 [C] each; none that the request forgets.
        weights: float64 [C], what each of these counts in `Look.level`; sum 1.
        start: the look under the model before the request, None if not known.
        easier: see `Look.mark`; 0 unless a model reads histories in order or users are folded in.
        folded: who is read by half a history, None if nobody.
    """

    def __init__(self, served: Served, request: Request, retained: InteractionLog, seed: int) -> None:
        """Choose the pairs to read, and weigh the held-out ones.

        Args:
            served: with held-out events, or without.
            request: rows of its log.
            retained: the retain set.
            seed: of the choice where there are more than 4,000 pairs of a kind.
        """
        log, forgotten = served.log, request.forgotten(served.log)
        in_order = reads_order(served.recipe)
        self.folded = None
        if not in_order and hasattr(served.model, "embeddings"):
            self.folded = Folded.of(log, request, retained, seeded(seed, "watch", "folded"))
        self.history = log if in_order else retained
        asked = np.isin(log.user, forgotten.user) & ~np.isin(log.pair_keys, retained.pair_keys)
        readers = np.ones(log.n_users, np.bool_)
        if self.folded is not None:
            self.history, readers = self.folded.known, self.folded.users
            asked &= self.folded.asked
        elif not in_order:
            asked &= retained.user_counts[log.user] > 0  # of the others no row is left to read
        rows = following(log, np.flatnonzero(asked)) if in_order else np.flatnonzero(asked)
        rows = _drawn(log, rows, seeded(seed, "watch", "forgotten"))
        self.forgotten = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
        self.controls = (np.empty(0, np.int64), np.empty(0, np.int64))
        self.weights: NDArray[np.float64] = np.empty(0)
        self._prefix: tuple[InteractionLog | None, InteractionLog | None] = (None, None)
        unseen = served.unseen(request)
        if unseen is not None:
            fit_ = ~np.isin(unseen.pair_keys, log.pair_keys) & readers[unseen.user]
            chosen = _drawn(unseen, np.flatnonzero(fit_), seeded(seed, "watch", "held-out"))
            self.controls = unseen.user[chosen].astype(np.int64), unseen.item[chosen].astype(np.int64)
        if in_order:
            counts = log.user_counts[self.controls[0]]
            self._prefix = (
                prefixes(log, self.forgotten[0], places(log, rows)),
                prefixes(log, self.controls[0], counts),
            )
        self.start: Look | None = None
        self.easier = 0.0
        self.known = len(rows) > 0 and len(self.controls[0]) >= _LEAST
        if self.known:
            plain = not in_order and self.folded is None
            guide = trained_guide(retained) if plain else None
            own, other = (hints(guide, retained, pairs, self.history) for pairs in (self.forgotten, self.controls))
            held = self._placed(served.model, self.controls, self._prefix[1])
            self.weights = as_easy(own, other, held)
            self.start = self._look(served.model, held)
            self.easier = 0.0 if plain else self._easier(self.start, served, retained)

    def look(self, model: Recommender) -> Look:
        """Where the pairs lie under a model."""
        return self._look(model, self._placed(model, self.controls, self._prefix[1]))

    def _look(self, model: Recommender, held: NDArray[np.float64]) -> Look:
        return Look(self.stand(model), float(np.average(held, weights=self.weights)), float(held.mean()))

    def stand(self, model: Recommender) -> float:
        """Mean percentile of the forgotten pairs alone, 0..1: a small part of a look."""
        return float(self._placed(model, self.forgotten, self._prefix[0]).mean())

    def _placed(
        self, model: Recommender, pairs: tuple[Int64, Int64], prefix: InteractionLog | None
    ) -> NDArray[np.float64]:
        return percentiles(self._reads(model), *pairs, self.history, prefix)

    def _reads(self, model: Recommender) -> Recommender:
        return model if self.folded is None else self.folded.model(model)

    def _easier(self, start: Look, served: Served, retained: InteractionLog) -> float:
        """By how much the model before puts the forgotten events above their users' last taught ones, as popular."""
        log, rows = served.log, served.log.chronological()
        rows = rows[np.isin(log.user[rows], self.controls[0])]
        if self.folded is not None:
            rows = rows[self.folded.asked[rows]]
        if not len(rows):
            return 0.0
        rows = rows[np.append(log.user[rows][1:] != log.user[rows][:-1], True)]
        pairs = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
        prefix = prefixes(log, pairs[0], places(log, rows)) if self.folded is None else None
        taught = self._placed(served.model, pairs, prefix)
        own, other = (hints(None, retained, several, self.history) for several in (self.forgotten, pairs))
        level = float(np.average(taught, weights=as_easy(own, other, taught)))
        found = float(log_odds(start.forgotten) - log_odds(level))
        # near 1, where a model knows what it was taught by heart, log odds say little of how easy an event is
        return min(found if self.folded is not None else max(found, 0.0), _EASIER)

    def gap(self, model: Recommender) -> float:
        """By how much the forgotten pairs stand above `Look.mark`, -1..1: 0 is forgotten, below is too far.

        Raises:
            InputError: nothing is known to compare with.
        """
        if self.start is None:
            raise InputError("there are no held-out pairs, or no forgotten ones, to compare")
        return self.stand(model) - self.start.mark(self.easier)

    @property
    def rivals(self) -> int:
        """Of how many random items the best lies where held-out pairs lie, on average: level / (1 - level), 1..64."""
        level = _USUAL if self.start is None else self.start.level
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

        def move(share: float) -> None:
            place(training.parameters(), before, after, share)
            training.refresh()

        def over(share: float) -> float:
            move(share)
            return self.gap(model)

        move(landing(over))


def landing(over: Callable[[float], float]) -> float:
    """The last share of a way, 0..1, at which the forgotten pairs do not lie too low: by halving, 0 if there is none.

    Args:
        over: by how much they stand above the mark at a share.
    """
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if over(middle) >= 0 else (low, middle)
    return low


def place(
    parameters: Sequence[torch.Tensor], before: Sequence[torch.Tensor], after: Sequence[torch.Tensor], share: float
) -> None:
    """Set parameters to a point between two."""
    with torch.no_grad():
        for parameter, first, second in zip(parameters, before, after, strict=True):
            parameter.copy_(torch.lerp(first, second, share))


def _drawn(log: InteractionLog, rows: Int64, rng: np.random.Generator) -> Int64:
    """At most 4,000 of the events with distinct pairs, by their pairs."""
    rows = rows[np.unique(log.pair_keys[rows], return_index=True)[1]]
    if len(rows) > _SAMPLE:
        rows = rows[np.sort(rng.choice(len(rows), _SAMPLE, replace=False))]
    return rows


def values(parameters: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """A copy of parameters, without gradients."""
    return [parameter.detach().clone() for parameter in parameters]
