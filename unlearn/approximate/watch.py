"""Where forgotten pairs lie beside pairs that were never trained on: what methods that push must stop by."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit, logit

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
from .folded import Folded

_SAMPLE = 2000  # pairs of either kind that a check reads
_OWN = 50  # held-out pairs that the touched users must have, by weight, for these alone to be read
_HALVINGS = 6
_USUAL = 8 / 9  # where held-out pairs lie if none are there to tell
_EASIER = float(np.log(2))
_LEAST = 25  # held-out pairs, by weight, that tell anything: the mean of five followed single pairs


class Look(NamedTuple):
    """Mean percentiles under one model, 0..1 each.

    Attributes:
        forgotten: of the forgotten pairs.
        level: of held-out pairs as popular as the forgotten ones are in the retain set.
        same: of held-out pairs as popular as they were before the request, many with the very same items.
        held: of all held-out pairs.
    """

    forgotten: float
    level: float
    same: float
    held: float

    def over(self, start: Look, easier: float = 0.0) -> float:
        """By how much the forgotten pairs stand above where they should, -1..1; below 0 is too far.

        Two things tell where that is, and the lower one counts. Held-out pairs of the popularity that the request
        leaves, as they lay before it: a mark that does not move, but too high for popular items, since an item that
        has lost events at random stands lower than one that few choose. And held-out pairs of the popularity before
        it, as they lie now: they fall with what the request takes from their items. What a method takes from all
        held-out pairs is no such fall and is added, or one that spoils its users' taste as a whole would go on.

        Args:
            start: under the model before.
            easier: by how much more forgotten pairs are guessed than held-out ones would be, had both been taught;
                log odds of percentiles.
        """
        mark = min(start.level, self.same + max(0.0, start.held - self.held))
        return self.forgotten - float(expit(_log_odds(mark) + easier))


class Watch:
    """Where forgotten pairs lie among their users' other items, less where pairs lie that were never trained on.

    Popular items stand high in any model, so that held-out pairs as they come say little of a request for popular, or
    for rare, items: they are weighted by `as_popular`, and `Look.over` compares. Models that read histories in order
    are asked from what stood before each pair (`verify.places`), models with rows of users, where users are forgotten
    whole, by half of a history (`Folded`).

    Attributes:
        known: whether there are pairs of both kinds; without, nothing can be compared.
        forgotten: users and items of the forgotten pairs, int64 [F] each.
        controls: those of the held-out pairs, int64 [C] each; none that the request forgets.
        weights: float64 [C], what each of these counts in `Look.level`.
        start: the look under the model before the request, None if not known.
        easier: see `Look.over`; 0 unless a model reads histories in order or users are folded in.
        folded: who is read by half a history, None if nobody.
    """

    def __init__(self, served: Served, request: Request, retained: InteractionLog, seed: int) -> None:
        """Choose the pairs to read: forgotten ones, and held-out ones of the touched users if these suffice.

        They do if, as weighted, they are worth 50 pairs of one weight; otherwise those of all users are read.

        Args:
            served: with held-out events, or without.
            request: rows of its log.
            retained: the retain set.
            seed: of the choice where there are more than 2,000 pairs of a kind.
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
        self._same = self.weights
        held = served.unseen(request)
        if held is not None and len(rows):
            fit_ = ~np.isin(held.pair_keys, log.pair_keys) & readers[held.user]
            for several in (fit_ & np.isin(held.user, forgotten.user), fit_):
                chosen = _drawn(held, np.flatnonzero(several), seeded(seed, "watch", "held-out"))
                self.controls = held.user[chosen].astype(np.int64), held.item[chosen].astype(np.int64)
                if len(chosen):
                    self.weights, self._same = (
                        as_popular(log, then, self.forgotten[1], self.controls[1]) for then in (retained, log)
                    )
                    if _worth(self.weights) >= _OWN:
                        break
        self._prefix: tuple[InteractionLog | None, InteractionLog | None] = (None, None)
        if in_order:
            counts = log.user_counts[self.controls[0]]
            self._prefix = (
                prefixes(log, self.forgotten[0], places(log, rows)),
                prefixes(log, self.controls[0], counts),
            )
        self.known = len(self.forgotten[0]) > 0 and _worth(self.weights) >= _LEAST
        self.start = self.look(served.model) if self.known else None
        self.easier = 0.0
        taught = self._taught(served, retained) if self.start and (in_order or self.folded) else None
        if self.start and taught is not None:
            found = _log_odds(self.start.forgotten) - _log_odds(taught)
            # near 1, where a model knows what it was taught by heart, log odds say little of how easy an event is
            self.easier = min(found if self.folded else max(found, 0.0), _EASIER)

    def look(self, model: Recommender) -> Look:
        """Where the pairs lie under a model."""
        asked = self._reads(model)
        forgotten, held = (
            percentiles(asked, *pairs, self.history, prefix)
            for pairs, prefix in zip((self.forgotten, self.controls), self._prefix, strict=True)
        )
        level, same = (float(np.average(held, weights=own)) for own in (self.weights, self._same))
        return Look(float(forgotten.mean()), level, same, float(held.mean()))

    def _reads(self, model: Recommender) -> Recommender:
        return model if self.folded is None else self.folded.model(model)

    def _taught(self, served: Served, retained: InteractionLog) -> float | None:
        """Where the last taught events of the held-out pairs' users lie, those as popular as the forgotten ones."""
        log, rows = served.log, served.log.chronological()
        rows = rows[np.isin(log.user[rows], self.controls[0])]
        if self.folded is not None:
            rows = rows[self.folded.asked[rows]]
        if not len(rows):
            return None
        rows = rows[np.append(log.user[rows][1:] != log.user[rows][:-1], True)]
        users, items = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
        prefix = prefixes(log, users, places(log, rows)) if self.folded is None else None
        found = percentiles(self._reads(served.model), users, items, self.history, prefix)
        return float(np.average(found, weights=as_popular(log, retained, self.forgotten[1], items)))

    def gap(self, model: Recommender) -> float:
        """`Look.over` under this model: 0 is forgotten, below is too far.

        Raises:
            InputError: nothing is known to compare with.
        """
        if self.start is None:
            raise InputError("there are no held-out pairs, or no forgotten ones, to compare")
        return self.look(model).over(self.start, self.easier)

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
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            _place(training, before, after, middle)
            low, high = (middle, high) if self.gap(model) >= 0 else (low, middle)
        _place(training, before, after, low)


def _worth(weights: NDArray[np.float64]) -> float:
    """Of how many pairs of one weight these are worth."""
    return float(weights.sum() ** 2 / np.square(weights).sum()) if len(weights) else 0.0


def _log_odds(level: float) -> float:
    return float(logit(np.clip(level, 1e-6, 1 - 1e-6)))


def as_popular(log: InteractionLog, then: InteractionLog, forgotten: Int64, controls: Int64) -> NDArray[np.float64]:
    """Weights of held-out pairs, float64 [C], by which they are as popular as the forgotten ones will be.

    Popularity is an item's share of the events: of a held-out pair in the log, by which the model before was trained,
    of a forgotten pair in `then`: the retain set, by which a retrain would be. Each forgotten pair is answered by the
    held-out pairs next to it in popularity, a twentieth of them and 50 at least.

    Args:
        log: before the request.
        then: after it, or the log itself: as popular as they are.
        forgotten: items of forgotten pairs, int64 [F], 1 or more.
        controls: items of held-out pairs, int64 [C], 1 or more.
    """
    own = then.item_counts[forgotten] / max(len(then), 1)
    other = log.item_counts[controls] / len(log)
    order = np.argsort(other, kind="stable")
    width = min(len(order), max(_OWN, len(order) // 20))
    ranked = other[order]
    middle = (np.searchsorted(ranked, own, side="left") + np.searchsorted(ranked, own, side="right")) // 2
    first = (middle - width // 2).clip(0, len(order) - width)
    edges = np.bincount(first, minlength=len(order) + 1) - np.bincount(first + width, minlength=len(order) + 1)
    weights = np.empty(len(order))
    weights[order] = np.cumsum(edges)[:-1] / (width * len(own))
    return weights


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
