"""HD: Hellinger distance between attention and merit over a user's relevant items."""

from __future__ import annotations

import numpy as np

from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Float64, Value


def _distance(data: Recommendations, clicks: Float64) -> Value:
    """From clicks at the p-th relevant item, float64 [m, k], to the distance from an equal share of them."""
    total = data.n_relevant
    share = (np.arange(data.k) < total[:, None]) / np.maximum(total, 1)[:, None]
    weights = np.where(total > 0, 1 if data.weights is None else data.weights, 0)
    if not weights.sum():
        return Value.undefined("no user has relevant items")
    merit, seen = (np.average(part, axis=0, weights=weights) for part in (share, clicks))
    value = float(np.sqrt(0.5 * ((np.sqrt(merit) - np.sqrt(seen)) ** 2).sum()))
    return Value(value, users=int(weights.sum()))


def original(data: Recommendations) -> Value:
    """Ties of relevance in the order of item numbers.

    After the first hit nothing is clicked, so each user's clicks are one place: that of the item at the first hit
    in the order of the user's relevant items.
    """
    relevant, hits = data.judged
    clicks = np.zeros(hits.shape)
    users = np.flatnonzero(np.any(hits, axis=1))
    item = data.lists[users, hits[users].argmax(axis=1)].astype(np.int64)
    cells = np.repeat(np.arange(len(hits)), data.n_relevant) * data.n_items + relevant.indices
    place = np.searchsorted(cells, users * data.n_items + item) - relevant.indptr[users]
    inside = place < data.k
    clicks[users[inside], place[inside]] = 1.0
    return _distance(data, clicks)


def averaged(data: Recommendations) -> Value:
    """Ties of relevance averaged: the click falls on each of the user's relevant items alike."""
    _, hits = data.judged
    total = data.n_relevant
    share = (np.arange(data.k) < total[:, None]) / np.maximum(total, 1)[:, None]
    return _distance(data, share * np.any(hits, axis=1, keepdims=True))


MEASURE = Measure(
    slug="hd",
    symbol="HD",
    title="Hellinger distance of attention and merit (HD)",
    direction="down",
    needs="relevance",
    original=original,
    corrected=None,
    own=averaged,
    ends=lambda m, n, k: (0.0, 1.0),
    tight=False,
    source=f"Jeunen, Goethals 2021 (top-k contextual bandits with equity of exposure); {SIGIR}",
    meaning="Distance between where clicks fall and where relevance lies among a user's relevant items.",
    limits=("With binary relevance the original depends on how items are numbered, and not on the patience.",),
    cured="Averaging ties makes it invariant (recaudit's own, not the paper's).",
    caution="The original is not invariant to relabelling items; with ties averaged it says little more than "
    "the hit rate.",
)
