"""Draws of items for all fake accounts at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import Int32, Int64
from .goal import Goal

_CELLS = 4_000_000  # accounts x items in memory at a time


def draw(rng: np.random.Generator, weights: NDArray[Any], accounts: int, n: int) -> Int32:
    """Draw n different items for each account, with chances in proportion to weights, in random order.

    Exponential keys divided by weights: the n smallest are a sample without replacement, and so is every
    beginning of it (Efraimidis and Spirakis 2006, Weighted random sampling with a reservoir).

    Shapes: weights [I] or [A, I], not negative -> int32 [A, n], -1 where the positive weights are used up.
    """
    n_items = weights.shape[-1]
    found = np.full((accounts, n), -1, np.int32)
    width = min(n, n_items)
    if not width:
        return found
    rows = max(1, _CELLS // n_items)
    for start in range(0, accounts, rows):
        stop = min(start + rows, accounts)
        own = weights if weights.ndim == 1 else weights[start:stop]
        keys = rng.standard_exponential((stop - start, n_items))
        with np.errstate(divide="ignore"):
            keys /= own
        best = np.argpartition(keys, width - 1, axis=1)[:, :width]
        picked = np.take_along_axis(keys, best, axis=1)
        order = np.argsort(picked, axis=1, kind="stable")
        best = np.take_along_axis(best, order, axis=1)
        best[np.isinf(np.take_along_axis(picked, order, axis=1))] = -1
        found[start:stop, :width] = best
    return found


def pool(goal: Goal, n_items: int) -> NDArray[np.float64]:
    """Equal weights of all items that may be fillers, float64 [I]: all but the targets."""
    weights = np.ones(n_items)
    weights[list(goal.targets)] = 0
    return weights


def head(popularity: Int64, share: float) -> NDArray[np.bool_]:
    """The most popular items, bool [I]: this share of the items with events, rounded up, at least one.

    Equal popularity is ordered by item index.
    """
    active = int(np.count_nonzero(popularity))
    inside = np.zeros(len(popularity), bool)
    inside[np.argsort(-popularity, kind="stable")[: max(1, int(np.ceil(active * share - 1e-9)))]] = True
    return inside & (popularity > 0)


def merge(first: Int32, second: Int32) -> Int32:
    """First choices, then second ones that are none of the first: int32 [A, n + m], repeats set to -1."""
    return without_repeats(np.concatenate([first, second], axis=1))


def without_repeats(items: Int32) -> Int32:
    """The same rows with every repeat of an earlier item set to -1.

    Shapes: int32 [A, m] -> int32 [A, m].
    """
    order = np.argsort(items, axis=1, kind="stable")
    sorted_items = np.take_along_axis(items, order, axis=1)
    again = np.zeros(items.shape, bool)
    again[:, 1:] = sorted_items[:, 1:] == sorted_items[:, :-1]
    repeated = np.zeros(items.shape, bool)
    np.put_along_axis(repeated, order, again, axis=1)
    return np.where(repeated, np.int32(-1), items)
