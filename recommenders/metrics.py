"""Accuracy of top-k lists per user: recall, NDCG, hit rate, MRR and precision at k; coverage of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import Int32

Float64 = NDArray[np.float64]
Hits = NDArray[np.bool_]

NAMES = ("recall", "ndcg", "hr", "mrr", "precision")
"""What is measured per user; the full name has the cut-off behind it: "ndcg@20"."""


def find_hits(items: Int32, relevant: sparse.csr_matrix) -> Hits:
    """Which list entries are relevant.

    Shapes: items int32 [U, K] (-1 for none), relevant [U, I] (stored cells are relevant) -> bool [U, K].
    """
    if relevant.shape[0] != len(items):
        raise InputError(f"{len(items):,} lists but relevant items of {relevant.shape[0]:,} users")
    width = relevant.shape[1]
    rows = np.arange(len(items), dtype=np.int64)
    cells = np.repeat(rows, np.diff(relevant.indptr)) * width + relevant.indices
    cells.sort(kind="stable")  # mostly in order already, which this kind is quick with
    wanted = rows[:, None] * width + items
    places = np.minimum(np.searchsorted(cells, wanted), max(len(cells) - 1, 0))
    found: Hits = (items >= 0) & (cells[places] == wanted if len(cells) else False)
    return found


def recall(hits: Hits, n_relevant: NDArray[np.int64], k: int) -> Float64:
    """Share of a user's relevant items that are among the first k.

    Shapes: hits bool [U, K], n_relevant int [U], at least 1 -> float64 [U] in 0..1.
    """
    return np.asarray(hits[:, :k].sum(axis=1) / n_relevant, np.float64)


def ndcg(hits: Hits, n_relevant: NDArray[np.int64], k: int) -> Float64:
    """Normalised discounted cumulative gain of the first k with binary relevance.

    The gain at rank r is 1 / log2(1 + r); the ideal list has its min(R, k) relevant items in front.

    Shapes: hits bool [U, K], n_relevant int [U], at least 1 -> float64 [U] in 0..1.
    Reference: Järvelin and Kekäläinen 2002, Cumulated gain-based evaluation of IR techniques, ACM TOIS 20(4).
    """
    gains = 1 / np.log2(np.arange(2, k + 2))
    found = hits[:, :k]
    ideal = np.cumsum(gains)[np.minimum(n_relevant, k) - 1]
    return np.asarray(found @ gains[: found.shape[1]] / ideal)


def hit_rate(hits: Hits, n_relevant: NDArray[np.int64], k: int) -> Float64:
    """1 where any of the first k is relevant, else 0; `n_relevant` is not needed.

    Shapes: hits bool [U, K] -> float64 [U].
    """
    return np.asarray(hits[:, :k].any(axis=1), np.float64)


def mrr(hits: Hits, n_relevant: NDArray[np.int64], k: int) -> Float64:
    """1 / rank of the first relevant item, 0 if none is among the first k; `n_relevant` is not needed.

    Shapes: hits bool [U, K] -> float64 [U] in 0..1.
    """
    if not hits[:, :k].size:
        return np.zeros(len(hits))
    reciprocal = 1 / (1 + hits[:, :k].argmax(axis=1))
    return np.asarray(reciprocal * hits[:, :k].any(axis=1), np.float64)


def precision(hits: Hits, n_relevant: NDArray[np.int64], k: int) -> Float64:
    """Relevant items among the first k, divided by k, also where a list is shorter.

    Shapes: hits bool [U, K] -> float64 [U] in 0..1.
    """
    return np.asarray(hits[:, :k].sum(axis=1) / k, np.float64)


def coverage(items: Int32, n_items: int, k: int) -> float:
    """Share of the catalogue that is in the first k of any list.

    Shapes: items int32 [U, K] (-1 for none) -> 0..1.
    """
    shown = np.zeros(n_items + 1, bool)
    shown[items[:, :k]] = True  # -1 falls on the last place
    return np.count_nonzero(shown[:-1]) / n_items


_MEASURES = dict(zip(NAMES, (recall, ndcg, hit_rate, mrr, precision), strict=True))


def measure(
    items: Int32, relevant: sparse.csr_matrix, cutoffs: Sequence[int]
) -> tuple[NDArray[np.int64], dict[str, Float64]]:
    """Every measure of NAMES at every cut-off, for the users that have relevant items.

    Args:
        items: int32 [U, K], lists with K >= max(cutoffs), -1 for none.
        relevant: [U, I], held-out items as stored cells, without duplicates.
        cutoffs: list lengths k, at least 1.

    Returns:
        The rows that have relevant items, int64 [V], and by name ("recall@20") their values, float64 [V].

    Raises:
        InputError: a cut-off is below 1 or the lists are shorter.
    """
    if not cutoffs or min(cutoffs) < 1 or max(cutoffs) > items.shape[1]:
        raise InputError(f"cut-offs must lie in 1..{items.shape[1]}, the list length; got {list(cutoffs)}")
    n_relevant = np.diff(relevant.indptr).astype(np.int64)
    rows = np.flatnonzero(n_relevant)
    hits = find_hits(items, relevant)[rows]
    values = {
        f"{name}@{k}": function(hits, n_relevant[rows], k) for k in cutoffs for name, function in _MEASURES.items()
    }
    return rows, values
