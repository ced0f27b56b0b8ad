"""How a model places given pairs among what their users have not met: the statistic that tells members."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import DataError
from ...datasets.log import Int64, InteractionLog
from ...recommenders.base import Recommender
from ...recommenders.consumed import consumed

Float64 = NDArray[np.float64]

_CELLS = 4_000_000  # scores held at a time: 16 MB


def percentiles(model: Recommender, user: Int64, item: Int64, history: InteractionLog) -> Float64:
    """The share of the user's other items outside the history that score lower than the item; ties count half.

    Read all models of a comparison with the same history, the retain set: what is then left of a forgotten pair is in
    the weights.

    Args:
        model: anything that scores.
        user: int64 [P].
        item: int64 [P], outside the history of their users.
        history: what counts as known, and what models that read histories read.

    Returns:
        float64 [P] in 0..1; 1 where every other item scores lower, .5 where the user has no other item.

    Raises:
        DataError: a score is NaN.
    """
    known = consumed(history)
    found = np.empty(len(user))
    order = np.argsort(user, kind="stable")
    step = max(1, _CELLS // max(1, history.n_items))
    for rows in np.array_split(order, max(1, -(-len(order) // step))):
        asked, place = np.unique(user[rows], return_inverse=True)
        scores = model.scores(asked, history)
        if np.isnan(scores).any():
            raise DataError("the model gives NaN as a score; no rank can be taken of it")
        own = scores[place, item[rows]]
        table = scores[place]
        free = known[asked].toarray()[place] == 0
        free[np.arange(len(rows)), item[rows]] = False
        lower = ((table < own[:, None]) & free).sum(axis=1) + 0.5 * ((table == own[:, None]) & free).sum(axis=1)
        count = free.sum(axis=1)
        found[rows] = np.where(count > 0, lower / count.clip(1), 0.5)
    return found


def separation(forgotten: Float64, controls: Float64) -> float:
    """AUC of forgotten pairs against pairs that were never in the training data, 0..1; .5 is no difference.

    Ties count half. Both must not be empty.

    Reference: Mann and Whitney 1947.
    """
    both = np.concatenate([forgotten, controls])
    values, place = np.unique(both, return_inverse=True)
    count = np.bincount(place, minlength=len(values))
    rank = np.cumsum(count) - (count - 1) / 2
    above = rank[place[: len(forgotten)]].sum() - len(forgotten) * (len(forgotten) + 1) / 2
    return float(above / (len(forgotten) * len(controls)))
