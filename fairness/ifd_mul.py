"""IFD×: do items of a user get equal exposure times relevance?"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..datasets.log import Int64
from .gain import user_gain
from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Float64, Value


def _discount(k: int) -> Float64:
    return np.asarray(1 / np.log2(np.arange(2, k + 2)))


def _per_user(data: Recommendations) -> Float64:
    weights, n = _discount(data.k), data.n_items
    first, second = user_gain(data, weights), user_gain(data, weights**2)
    return np.asarray(2 * (n * second - first**2) / (n * (n - 1)))


def original(data: Recommendations) -> Value:
    """Mean over users of the mean over item pairs of (x_i - x_j)^2, x = 1 / log2(rank + 1) for hits, else 0."""
    if data.n_items < 2:
        return Value.undefined("one item makes no pair")
    return data.mean(_per_user(data))


@lru_cache(maxsize=4096)
def extremes(n_relevant: int, k: int, n: int) -> tuple[float, float]:
    """Lowest and highest value of a user over all lists of k from n items, given the number of relevant items.

    Convex in every x, so at the highest the hits stand first and last. At the lowest they stand side by side: the
    value is a variance, and the x nearest to their mean neighbour one another.
    """
    weights = _discount(k)
    sums = [np.concatenate([[0.0], np.cumsum(w)]) for w in (weights, weights**2)]
    fewest, most = max(0, n_relevant - (n - k)), min(n_relevant, k)
    begin, end = np.triu_indices(k + 1)
    first, second = (total[end] - total[begin] for total in sums)
    inside, outside = end - begin, k - (end - begin)

    def value(hits: Int64, first: Float64, second: Float64) -> Float64:
        allowed = (hits >= fewest) & (hits <= most)
        return np.asarray(2 * (n * second - first**2)[allowed] / (n * (n - 1)))

    ends = value(outside, sums[0][k] - first, sums[1][k] - second)
    return float(value(inside, first, second).min()), float(ends.max())


def corrected(data: Recommendations) -> Value:
    """Per user between its ends, mean over users, 0..1."""
    if data.n_items < 2:
        return Value.undefined("one item makes no pair")
    counts, which = np.unique(data.n_relevant, return_inverse=True)
    low, high = np.array([extremes(int(r), data.k, data.n_items) for r in counts])[which].T
    # decided on the integers: all items listed and relevant
    defined = (data.n_relevant > 0) & ~((data.n_relevant == data.n_items) & (data.k == data.n_items))
    share = (_per_user(data) - low) / np.where(high > low, high - low, 1.0)
    return data.mean(share, defined)


MEASURE = Measure(
    slug="ifd_mul",
    symbol="IFD×",
    title="Individual fairness disparity by product (IFD×)",
    direction="down",
    needs="relevance",
    original=original,
    corrected=corrected,
    ends=None,
    source=SIGIR,
    meaning="How much exposure times relevance differs between the items of one user.",
    limits=("Near 0 for large catalogues whatever happens.", "Sees one user at a time."),
    cured="Between each user's ends (authors' correction; our maximum is exact, theirs is greedy).",
    caution="It falls as relevance falls: lists without any relevant item count as perfectly fair.",
)
