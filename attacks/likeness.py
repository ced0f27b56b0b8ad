"""How alike profiles are: among fakes, and to the nearest genuine user. Blocks of sparse rows, never U x U."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..datasets.log import Int64
from .detectors import Float64

PAIRS = 4_000_000
"""Pairs of profiles that one block holds at most, unless one row alone has more."""

SAMPLE = 200
"""Genuine users, evenly spaced by index, whose nearest other user gives the usual likeness."""


@dataclass(frozen=True, eq=False)
class Likeness:
    """Some profiles against others, one entry per profile of the first kind.

    Attributes:
        cosine: float64 [n], of ratings (0 where nothing is rated), with the most similar other; 0..1.
        jaccard: float64 [n], shared items over all items of both, with the most similar other; 0..1.
        containment: float64 [n], largest share of its items that one other holds; 0..1.
        cosine_sum: float64 [n], over all others.
        jaccard_sum: float64 [n], over all others.
    """

    cosine: Float64
    jaccard: Float64
    containment: Float64
    cosine_sum: Float64
    jaccard_sum: Float64


def alike(genuine: sparse.csr_matrix, injected: sparse.csr_matrix) -> dict[str, float | None]:
    """The fields of `Stealth` about likeness that are defined.

    Args:
        genuine: float64 CSR [U, I], positive values, some row with any.
        injected: float64 CSR [A, I], likewise.
    """
    ours, fakes = (each[np.diff(each.indptr) > 0] for each in (genuine, injected))
    near = likeness(fakes, ours)
    found: dict[str, float | None] = {
        "nearest_cosine": float(near.cosine.mean()),
        "nearest_jaccard": float(near.jaccard.mean()),
        "nearest_containment": float(near.containment.mean()),
        "usual_cosine_mean": mean_cosine(ours),
    }
    n = fakes.shape[0]
    if n > 1:
        among = likeness(fakes, fakes, np.arange(n))
        found["fake_cosine_mean"] = float(among.cosine_sum.sum()) / (n * (n - 1))
        found["fake_cosine_max"] = float(among.cosine.max())
        found["fake_jaccard_mean"] = float(among.jaccard_sum.sum()) / (n * (n - 1))
        found["fake_jaccard_max"] = float(among.jaccard.max())
    if ours.shape[0] > 1:
        some = np.unique(np.linspace(0, ours.shape[0] - 1, SAMPLE).astype(np.int64))
        usual = likeness(ours[some], ours, some)
        found["usual_nearest_cosine"] = float(usual.cosine.mean())
        found["usual_nearest_jaccard"] = float(usual.jaccard.mean())
        found["usual_nearest_containment"] = float(usual.containment.mean())
    return found


def likeness(ones: sparse.csr_matrix, others: sparse.csr_matrix, own: Int64 | None = None) -> Likeness:
    """Compare each row of `ones` with all rows of `others`.

    Args:
        ones: float64 CSR [n, I], positive values, no row without any.
        others: float64 CSR [m, I], likewise.
        own: int64 [n], for each of `ones` the row of `others` that is the same user and does not count.
    """
    n = ones.shape[0]
    found = {name: np.zeros(n) for name in ("cosine", "jaccard", "containment", "cosine_sum", "jaccard_sum")}
    sizes = np.diff(ones.indptr), np.diff(others.indptr)
    left, right = unit(ones), unit(others).T.tocsr()
    left_items, right_items = _items(ones), _items(others).T.tocsr()
    step = max(1, PAIRS // max(others.shape[0], 1))
    for start in range(0, n, step):
        block = slice(start, min(start + step, n))
        drop = None if own is None else own[block]
        cosine = _pairs(left[block] @ right, drop)
        shared = _pairs(left_items[block] @ right_items, drop)
        size = sizes[0][block][shared.row]
        jaccard = shared.data / (size + sizes[1][shared.col] - shared.data)
        for name, pairs, data in (
            ("cosine", cosine, np.minimum(cosine.data, 1.0)),
            ("jaccard", shared, jaccard),
            ("containment", shared, shared.data / size),
        ):
            np.maximum.at(found[name][block], pairs.row, data)
            if name != "containment":
                found[f"{name}_sum"][block] = np.bincount(pairs.row, data, pairs.shape[0])
    return Likeness(**found)


def mean_cosine(held: sparse.csr_matrix) -> float | None:
    """Mean cosine over all pairs of different rows, from the length of the sum of unit rows; None below two rows."""
    n = held.shape[0]
    if n < 2:
        return None
    total = np.asarray(unit(held).sum(axis=0)).ravel()
    return float(total @ total - n) / (n * (n - 1))


def unit(held: sparse.csr_matrix) -> sparse.csr_matrix:
    """The rows at Euclidean length 1."""
    length = np.sqrt(np.asarray(held.multiply(held).sum(axis=1)).ravel())
    scaled = held.data / np.repeat(length, np.diff(held.indptr))
    return sparse.csr_matrix((scaled, held.indices, held.indptr), shape=held.shape)


def _items(held: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(held.nnz), held.indices, held.indptr), shape=held.shape)


def _pairs(product: sparse.csr_matrix, drop: Int64 | None) -> sparse.coo_matrix:
    pairs = product.tocoo()
    if drop is None:
        return pairs
    keep = pairs.col != drop[pairs.row]
    return sparse.coo_matrix((pairs.data[keep], (pairs.row[keep], pairs.col[keep])), shape=pairs.shape)
