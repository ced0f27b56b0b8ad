"""MME: how much an item would gain, with those who like it, from standing where another item stands."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from ..datasets.log import Int64
from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Float64, Value

PAIRS = 5_000_000
"""(user, slot) pairs that are multiplied at a time: about 100 MB."""


def envy(data: Recommendations, pairs: int = PAIRS) -> Float64:
    """For each item the exposure, summed over the users who like it, that the best placed item has more than it.

    Item i gets max over j of sum over u in U_i of (v_uj - v_ui), U_i the users to whom i is relevant and v = 1/rank in
    the list of u, 0 outside. j runs over the catalogue, i included, so no item has less than 0; an item relevant to
    nobody has 0. A user counts as often as `data.weights` says.

    The sums over j are row i of R^T V, R [m, n] the relevance and V [m, n] the 1/rank, both sparse. Rows are made a
    block at a time and dropped after their maximum: time O(k nnz), memory O(pairs + n + nnz + m k), never n x n.

    Args:
        data: lists [m, k] with binary relevance.
        pairs: (user, slot) pairs of a block of items; an item alone may have more. It does not change the result.

    Returns:
        float64 [n], each in 0..(number of users in U_i).

    Raises:
        InputError: without binary relevance.
    """
    relevant, hits = data.judged
    places = _places(data)
    liked_by = relevant.tocsc()
    highest = np.zeros(data.n_items)
    for start, stop in _blocks(np.diff(liked_by.indptr) * data.k, pairs):
        bounds = liked_by.indptr[start : stop + 1]
        users = liked_by.indices[bounds[0] : bounds[-1]]
        rows = sparse.csr_matrix(
            (np.ones(len(users)), users, bounds - bounds[0]), shape=(stop - start, relevant.shape[0])
        )
        sums = rows @ places
        some = np.flatnonzero(np.diff(sums.indptr))
        if len(some):
            highest[start + some] = np.maximum.reduceat(sums.data, sums.indptr[some])
    # j = i is added up in another order here: the maximum again, or rounding could leave less than 0
    own = np.bincount(data.lists[hits], _weighted(data)[hits], minlength=data.n_items)
    return np.maximum(highest, own) - own


def original(data: Recommendations) -> Value:
    """The sum of `envy` / (n m), in 0..nnz / (n m); nnz counts the relevant cells, m the users.

    Raises:
        InputError: without binary relevance.
    """
    note = "" if _liked(data) else "nobody has a relevant item, so no item can envy another"
    return Value(_total(data) / (data.n_items * data.n_users), note)


def relative(data: Recommendations) -> Value:
    """The original times n m / nnz, in 0..1: the envy of an item per user who likes it. The scaling is recaudit's own.

    Undefined if nobody has a relevant item.

    Raises:
        InputError: without binary relevance.
    """
    liked = _liked(data)
    if not liked:
        return Value.undefined("nobody has a relevant item")
    return Value(_total(data) / liked)


_totals: WeakKeyDictionary[Recommendations, float] = WeakKeyDictionary()


def _total(data: Recommendations) -> float:
    """The sum of `envy`, kept while the data lives: both forms need it, and it is the dearest of all measures."""
    if data not in _totals:
        _totals[data] = float(envy(data).sum())
    return _totals[data]


def _liked(data: Recommendations) -> int:
    """Nnz, the relevant cells, a user's as often as the user counts."""
    return int(data.n_relevant.sum() if data.weights is None else data.n_relevant @ data.weights)


def _weighted(data: Recommendations) -> Float64:
    """1/rank of every place, times how often its user counts: float64 [m, k]."""
    reciprocal = 1 / np.arange(1, data.k + 1)
    if data.weights is None:
        return np.broadcast_to(reciprocal, data.lists.shape)
    return np.outer(data.weights, reciprocal)


def _places(data: Recommendations) -> sparse.csr_matrix:
    """V: row u holds `_weighted` at the items of u's list."""
    filled = data.lists >= 0
    indptr = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    return sparse.csr_matrix(
        (_weighted(data)[filled], data.lists[filled], indptr), shape=(len(data.lists), data.n_items)
    )


def _blocks(size: Int64, most: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of consecutive items whose sizes add up to `most` at most; a larger item stands alone."""
    total = np.cumsum(size, dtype=np.int64)
    start = done = 0
    while start < len(total):
        stop = max(int(np.searchsorted(total, done + most, "right")), start + 1)
        yield start, stop
        start, done = stop, int(total[stop - 1])


MEASURE = Measure(
    slug="mme",
    symbol="MME",
    title="Mean max envy",
    direction="down",
    needs="relevance",
    original=original,
    corrected=None,
    own=relative,
    source=(
        "Saito, Joachims: Fair Ranking as Fair Division: Impact-Based Individual Fairness in Ranking, KDD 2022 "
        f"(arXiv 2206.07247); {SIGIR}"
    ),
    meaning="How much more exposure the best placed item has, among the users who like an item, than that item itself.",
    limits=(
        "It adds an item up over its users before it compares: who of them is shown the item does not matter.",
        "An item that nobody is known to like counts as free of envy.",
        "The original shrinks with the catalogue and crowds near 0.",
    ),
    cured=(
        "The size of the catalogue drops out; 0 and 1 are bounds, which other relevance may keep out of reach. The "
        "scaling, n m / nnz, is recaudit's own and not the authors'."
    ),
    caution=(
        "Not 0 for a recommendation that is perfectly relevant and even: one item must stand before another, and the "
        "difference of ranks alone makes envy."
    ),
)
