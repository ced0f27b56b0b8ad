"""Which items go with a target or an audience."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import Int32, Int64, InteractionLog
from ..recommenders.consumed import consumed
from .goal import Goal

RIVALS = 40
"""Size of the set from which the rivals of a buried target are drawn: twice a usual list of 20."""


def cosine(log: InteractionLog, goal: Goal) -> NDArray[np.float64]:
    """Cosine co-occurrence of every item with the targets (summed over them), or with the audience if there is one.

    Shapes: float64 [I], 0 for the targets themselves and for items that never occur together with them.
    """
    matrix = consumed(log)
    counts = np.asarray(matrix.sum(axis=0), np.float64).ravel()
    weights = np.zeros(log.n_users)
    if goal.audience is not None:
        weights[list(goal.audience)] = 1 / np.sqrt(len(goal.audience))
    else:
        own = list(goal.targets)
        weights[:] = matrix[:, own] @ (1 / np.sqrt(np.maximum(counts[own], 1)))
    found: NDArray[np.float64] = (matrix.T @ weights) / np.sqrt(np.maximum(counts, 1))
    found[list(goal.targets)] = 0
    return found


def ranked(similarity: NDArray[np.float64], popularity: Int64) -> Int64:
    """Item indices, most similar first; equal ones by popularity, then by index. int64 [I]."""
    return np.lexsort((np.arange(len(similarity)), -popularity, -similarity))


def rivals(log: InteractionLog, goal: Goal, rng: np.random.Generator) -> Int32:
    """Items to push above a target that must sink: those most consumed together with it, some for each account.

    Shapes: int32 [A, n_forced], different within a row.
    """
    order = ranked(cosine(log, goal), log.item_counts)
    order = order[~np.isin(order, goal.targets)]
    near = order[: max(goal.n_forced, min(RIVALS, log.n_items // 5))]
    keys = rng.random((goal.accounts, len(near)))
    return near[np.argsort(keys, axis=1)[:, : goal.n_forced]].astype(np.int32)
