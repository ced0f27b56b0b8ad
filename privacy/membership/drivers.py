"""What makes a member easy to tell: history length, popularity, distance from the user's taste."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..signals import Float64
from .candidates import Candidates
from .game import below

DRIVERS = ("history", "popularity", "distance")
"""log(1 + events of the user), log(1 + events of the item), 1 - mean cosine of the item and the user's other items."""


def exposed(scores: Float64, included: NDArray[np.bool_]) -> Float64:
    """How far a candidate stands out as a member: float64 [C], .5 is not at all, NaN if it was never a member.

    The share of a victim's non-members that score lower, meaned over the victims that were trained on it.

    Args:
        scores: float64 [M, C], of an attack.
        included: bool [M, C].
    """
    place = np.full(scores.shape, np.nan)
    for own, inside, found in zip(scores, included, place, strict=True):
        found[inside] = below(own[~inside], own[inside])
    counts = included.sum(axis=0)
    total = np.nansum(place, axis=0)
    return np.where(counts > 0, total / counts.clip(1), np.nan)


def traits(asked: Candidates) -> Float64:
    """What candidate pairs are like, by `DRIVERS`, from the events that every model is trained on: float64 [C, 3]."""
    base, user, item = asked.base, asked.user, asked.item
    history = base.matrix()
    norm = np.sqrt(np.asarray(history.sum(axis=0)).ravel()).clip(1)
    scaled = (history @ sparse.diags(1 / norm)).tocsc()
    items, column = np.unique(item, return_inverse=True)
    cosine = (scaled.T @ scaled[:, items]).tocsr()  # of all items with those asked about
    row, other = history[user].nonzero()
    there = other != item[row]
    row, other = row[there], other[there]
    near = np.asarray(cosine[other, column[row]]).ravel()
    near = np.bincount(row, near, len(user)) / np.bincount(row, minlength=len(user)).clip(1)
    return np.stack([np.log1p(base.user_counts[user]), np.log1p(base.item_counts[item]), 1 - near], axis=1)


def drivers(exposure: Float64, found: Float64) -> dict[str, float]:
    """Standardised coefficients of a linear regression of the exposure on the traits, by `DRIVERS`, and "r2".

    Args:
        exposure: float64 [C], NaN rows are left out.
        found: float64 [C, 3], of `traits`.

    Returns:
        Nothing if fewer than 30 rows are left, or nothing varies.
    """
    kept = np.isfinite(exposure)
    y, x = exposure[kept], found[kept]
    if len(y) < 30 or y.std() == 0:
        return {}
    spread = x.std(axis=0)
    x = np.where(spread > 0, (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1), 0.0)
    y = (y - y.mean()) / y.std()
    weights, *_ = np.linalg.lstsq(x, y, rcond=None)
    shared = 1 - float(np.square(y - x @ weights).mean())
    return {name: float(value) for name, value in zip(DRIVERS, weights, strict=True)} | {"r2": shared}
