"""How a model places given pairs among items, and among users: the statistics that tell members."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import DataError
from ..datasets.log import Float32, Int64, InteractionLog
from ..datasets.seeding import rng
from ..recommenders.base import Recommender
from ..recommenders.consumed import consumed

Float64 = NDArray[np.float64]

_CELLS = 4_000_000  # scores held at a time: 16 MB
AUDIENCE = 2000
"""Users that a pair's user is placed among, at most: drawn once, the same for every model."""
_LIMIT = float(np.finfo(np.float32).max)  # infinite scores count as the largest finite number, as in the ranking


@dataclass(frozen=True, eq=False)
class Placed:
    """Where a model places pairs among what their users have not met.

    Attributes:
        beaten: float64 [P], the user's other items that score lower; ties count half.
        others: float64 [P], how many others there are.
        lead: float64 [P], the pair's score less log(sum of exp) of the others' scores: the log odds of the pair in a
            softmax; 0 where there are no others.
        score: float64 [P], the pair's own score.
    """

    beaten: Float64
    others: Float64
    lead: Float64
    score: Float64

    @property
    def logits(self) -> Float64:
        """log((beaten + 1/2) / (others - beaten + 1/2)), float64 [P]: ranks alone, finite."""
        found: Float64 = np.log((self.beaten + 0.5) / (self.others - self.beaten + 0.5))
        return found


def placed(
    model: Recommender, user: Int64, item: Int64, history: InteractionLog, prefix: InteractionLog | None = None
) -> Placed:
    """Where a model places pairs among the user's other items outside the history.

    Read all models of a comparison with the same history: what is then left of a pair is in the weights.

    Args:
        model: anything that scores.
        user: int64 [P].
        item: int64 [P], in the history or not.
        history: what counts as known, and what models that read histories read.
        prefix: a user for each pair, who has what is to be read in place of the history (`places.prefixes`).

    Raises:
        DataError: a score is NaN.
    """
    known = consumed(history)
    found = Placed(*(np.zeros(len(user)) for _ in range(4)))
    order = np.argsort(user, kind="stable")
    step = max(1, _CELLS // max(1, history.n_items))
    for rows in np.array_split(order, max(1, -(-len(order) // step))):
        asked, place = np.unique(user[rows], return_inverse=True)
        table = model.scores(asked, history)[place] if prefix is None else model.scores(rows, prefix)
        if np.isnan(table).any():
            raise DataError("the model gives NaN as a score; no rank can be taken of it")
        own = table[np.arange(len(rows)), item[rows]]
        free = known[asked].toarray()[place] == 0
        free[np.arange(len(rows)), item[rows]] = False
        lower = ((table < own[:, None]) & free).sum(axis=1) + 0.5 * ((table == own[:, None]) & free).sum(axis=1)
        found.beaten[rows], found.others[rows] = lower, free.sum(axis=1)
        found.lead[rows], found.score[rows] = _lead(own, _log_total(table, free)), own
    return found


def audience(model: Recommender, user: Int64, item: Int64, score: Float64, history: InteractionLog) -> Float64:
    """Log odds, in a softmax over users who have not met the item, that the pair's user is the one: float64 [P].

    Who holds the weights can score every user. What a training pair moves is told better by how its user stands among
    the users of the item than by how the item stands among the items of the user, whose taste all items share (ours).

    Args:
        model: anything that scores.
        user: int64 [P].
        item: int64 [P].
        score: float64 [P], `Placed.score`.
        history: who has met what; who has met nothing is not asked.

    Raises:
        DataError: a score is NaN.
    """
    known = consumed(history)
    asked = np.flatnonzero(np.diff(known.indptr))
    if len(asked) > AUDIENCE:
        asked = np.sort(rng(0, "privacy", "audience").choice(asked, AUDIENCE, replace=False))
    total = np.full(len(user), -np.inf)
    step = max(1, _CELLS // max(1, history.n_items, len(user)))
    for rows in np.array_split(asked, max(1, -(-len(asked) // step))):
        table = model.scores(rows, history)
        if np.isnan(table).any():
            raise DataError("the model gives NaN as a score; no user can be placed by it")
        free = (known[rows].toarray()[:, item] == 0) & (rows[:, None] != user)
        total = np.logaddexp(total, _log_total(table[:, item].T, free.T))
    return _lead(score, total)


def percentiles(
    model: Recommender, user: Int64, item: Int64, history: InteractionLog, prefix: InteractionLog | None = None
) -> Float64:
    """The share of the user's other items outside the history that score lower than the item; ties count half.

    Args and errors as `placed`.

    Returns:
        float64 [P] in 0..1; 1 where every other item scores lower, .5 where the user has no other item.
    """
    found = placed(model, user, item, history, prefix)
    return np.where(found.others > 0, found.beaten / found.others.clip(1), 0.5)


def logits(
    model: Recommender, user: Int64, item: Int64, history: InteractionLog, prefix: InteractionLog | None = None
) -> Float64:
    """The log odds of the rank of the item, `Placed.logits`: float64 [P].

    It needs ranks alone, so that it exists for every recommender and does not move with the scale of the scores. It
    saturates where an item beats all others. Args and errors as `placed`.
    """
    return placed(model, user, item, history, prefix).logits


def _log_total(table: Float32, free: NDArray[np.bool_]) -> Float64:
    """Log of the sum of exp over what is free, float64 [P]: float [P, N], bool [P, N]; -inf where nothing is."""
    scores = np.where(free, table.clip(-_LIMIT, _LIMIT), -np.inf).astype(np.float64)
    top = scores.max(axis=1, initial=-_LIMIT, keepdims=True)
    with np.errstate(divide="ignore"):
        found: Float64 = top[:, 0] + np.log(np.exp(scores - top).sum(axis=1))
    return found


def _lead(own: Float32 | Float64, total: Float64) -> Float64:
    """Own scores less the log of what is summed for the others; 0 where there are none."""
    lead = np.where(np.isfinite(total), own.clip(-_LIMIT, _LIMIT).astype(np.float64) - total, 0.0)
    return lead.clip(-_LIMIT, _LIMIT)


def separation(members: Float64, others: Float64, weights: Float64 | None = None) -> float:
    """AUC of members against pairs that were never in the training data, 0..1; .5 is no difference.

    Ties count half. Neither may be empty.

    Args:
        members: float64 [F].
        others: float64 [C].
        weights: float64 [C], what each counts, above 0; None for all ones.

    Reference: Mann and Whitney 1947.
    """
    weights = np.ones(len(others)) if weights is None else weights
    order = np.argsort(others, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    lower = below[np.searchsorted(others[order], members, side="left")]
    not_higher = below[np.searchsorted(others[order], members, side="right")]
    return float((lower + not_higher).mean() / (2 * below[-1]))


def found_at(members: Float64, others: Float64, weights: Float64 | None = None, rate: float = 0.01) -> float:
    """Share of the members above all but a share `rate` of the others: TPR at that FPR, 0..1."""
    weights = np.ones(len(others)) if weights is None else weights
    order = np.argsort(-others, kind="stable")
    above = np.cumsum(weights[order]) / weights.sum()
    place = int(np.searchsorted(above, rate, side="right"))
    level = others[order][min(place, len(order) - 1)]
    return float((members > level).mean())


def distance(members: Float64, others: Float64, weights: Float64 | None = None) -> float:
    """Largest gap between the two distribution functions, 0..1 (Kolmogorov-Smirnov)."""
    weights = np.ones(len(others)) if weights is None else weights
    places = np.unique(np.concatenate([members, others]))
    order = np.argsort(others, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])]) / weights.sum()
    of_others = below[np.searchsorted(others[order], places, side="right")]
    of_members = np.searchsorted(np.sort(members), places, side="right") / len(members)
    return float(np.abs(of_others - of_members).max())
