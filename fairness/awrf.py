"""Attention-weighted rank fairness (AWRF): does each user's list share attention among groups as a target says?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.special import rel_entr

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64
from .groups import Groups, as_distribution
from .recommendations import Recommendations
from .value import Float64, PerUser

Variant = Literal["trec", "base2"]
"""trec: d_r = 1 / log2(max(r, 2)), natural logarithm, score 1 - ln 2..1; base2: 1 / log2(r + 1), base 2, score 0..1."""

Target = Literal["catalogue", "relevant"] | Float64 | sparse.csr_matrix
"""The groups' share of the catalogue; of each user's own relevant items (by grade); float64 [g], one target for all,
such as shares of a population; or CSR [m, g], one per user. What is given is scaled to sum 1."""

_BLOCK = 65_536
"""Users at a time, so that memory stays bounded by the block and not by m k."""


def discount(k: int, variant: Variant) -> Float64:
    """Attention to ranks 1..k, float64 [k]; in "trec" the first two ranks get the same."""
    ranks = np.arange(1, k + 1)
    return np.asarray(1 / np.log2(np.maximum(ranks, 2) if variant == "trec" else ranks + 1), np.float64)


def awrf(data: Recommendations, groups: Groups, target: Target, variant: Variant = "base2") -> PerUser:
    """1 - JSD(a, target), a_g = sum_r d_r G(i_r, g) / sum_r d_r; up, 1 = attention is shared as the target says.

    Items without a group are left out of a and of the target, which are then scaled to sum 1, as TREC's code does.
    Users without an item in the list, or without a target, are left out and counted. O(m k + cells of the target).

    Raises:
        InputError: groups of another catalogue, a target that is no distribution, "relevant" without relevance.

    Sources: Sapiezynski, Zeng, Robertson, Mislove, Wilson 2019, Quantifying the Impact of User Attention on Fair Group
    Representation in Ranked Lists, WWW Companion; Ekstrand, McDonald, Raj, Johnson 2021, Overview of the TREC 2021
    Fair Ranking Track, Task 1 (whose own target is the mean of relevant-item and world-population share: give that
    as CSR).
    """
    if groups.alone:
        return PerUser.of(np.full(len(data.lists), np.nan), data.weights, groups.alone)
    wanted = _target(data, groups, target)
    weights = discount(data.k, variant)
    values = np.empty(len(data.lists))
    for rows in blocks(len(values)):
        shares = list_shares(data.lists[rows], groups, weights)
        divergence = jensen_shannon(shares, wanted if isinstance(wanted, np.ndarray) else wanted[rows])
        values[rows] = 1 - (divergence if variant == "trec" else divergence / np.log(2))
    return PerUser.of(values, data.weights, "no item of a group in the list, or no target of their own")


def joint(data: Recommendations, groups: Groups, target: Target, variant: Variant = "trec") -> PerUser:
    """TREC's score nDCG * AWRF per user, 0..1, up. Both factors use the discount of the variant.

    Users without relevant items or without AWRF are left out and counted.

    Raises:
        InputError: as `awrf`; relevance that is missing or graded.

    Source: Ekstrand et al. 2021, Overview of the TREC 2021 Fair Ranking Track, Task 1.
    """
    _, hits = data.judged
    gains = discount(data.k, variant)
    reach = np.minimum(data.n_relevant, data.k)
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[reach]
    fair = awrf(data, groups, target, variant)
    why = groups.alone or "no relevant items, no item of a group in the list, or no target of their own"
    return PerUser.of(hits @ gains / ideal * fair.values, data.weights, why)


def _target(data: Recommendations, groups: Groups, target: Target) -> Float64 | sparse.csr_matrix:
    if groups.n_items != data.n_items:
        raise InputError(f"the lists are over {data.n_items} items, the groups over {groups.n_items}")
    if isinstance(target, np.ndarray):
        return as_distribution(target, len(groups.names))
    if isinstance(target, str) and target == "catalogue":
        return groups.shares(np.ones(groups.n_items))
    if isinstance(target, str):
        if data.relevant is None:
            raise InputError("the target 'relevant' needs to know which items are relevant to whom")
        return row_shares(data.relevant, groups)
    if target.shape != (len(data.lists), len(groups.names)) or (target.data < 0).any():
        raise InputError(f"targets of users must be [{len(data.lists)}, {len(groups.names)}], none negative")
    return scaled(target)


def blocks(m: int) -> Iterator[slice]:
    """Slices that cover 0..m-1."""
    return (slice(start, min(start + _BLOCK, m)) for start in range(0, m, _BLOCK))


def list_shares(lists: Int32, groups: Groups, weights: Float64) -> sparse.csr_matrix:
    """How each list is shared among the groups.

    Shapes: lists int32 [m, k] (-1 for an empty place), weights of ranks float64 [k] -> CSR [m, g]; rows sum to 1, or
    to 0 if the list has no item of a group.
    """
    taken = lists >= 0
    ends = np.concatenate([[0], np.cumsum(taken.sum(axis=1))])
    filled = np.broadcast_to(weights, lists.shape)[taken]
    return row_shares(sparse.csr_matrix((filled, lists[taken], ends), shape=(len(lists), groups.n_items)), groups)


def row_shares(items: sparse.csr_matrix, groups: Groups) -> sparse.csr_matrix:
    """How the weight of each row is shared among the groups: CSR [m, n] -> CSR [m, g], rows sum to 1 (or 0)."""
    return scaled(sparse.csr_matrix(items.astype(np.float64) @ groups.membership))


def scaled(rows: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows divided by their sums; empty rows stay so. The pattern is kept."""
    total = np.asarray(rows.sum(axis=1), np.float64).ravel()
    found = rows.astype(np.float64)
    found.data = found.data / np.repeat(total, np.diff(found.indptr))
    found.eliminate_zeros()
    return found


def pairs(p: sparse.csr_matrix, q: sparse.csr_matrix) -> tuple[Int64, Float64, Float64]:
    """The cells in which p or q is not 0: row int64 [c], p float64 [c], q float64 [c]."""
    # one complex sum joins the two patterns and keeps both numbers apart
    both = sparse.csr_matrix(p.astype(np.complex128) + q.astype(np.complex128) * 1j)
    rows = np.repeat(np.arange(both.shape[0]), np.diff(both.indptr))
    return rows, np.asarray(both.data.real, np.float64), np.asarray(both.data.imag, np.float64)


def jensen_shannon(p: sparse.csr_matrix, q: sparse.csr_matrix | Float64) -> Float64:
    """Jensen-Shannon divergence of distributions, row by row: CSR [m, g] and CSR [m, g] or float64 [g] -> float64 [m].

    In nats, 0..ln 2; NaN where either row is empty. O(cells + g): absent cells of p add half of q ln 2 each.

    Source: Lin 1991, Divergence Measures Based on the Shannon Entropy, IEEE Trans. Inf. Theory 37(1), section IV.
    """
    empty = np.diff(p.indptr) == 0
    if isinstance(q, np.ndarray):
        rows = np.repeat(np.arange(p.shape[0]), np.diff(p.indptr))
        mine, other = np.asarray(p.data, np.float64), q[p.indices]
        absent = np.asarray(1 - np.bincount(rows, other, minlength=p.shape[0]), np.float64)
    else:
        rows, mine, other = pairs(p, q)
        absent = np.zeros(p.shape[0])
        empty |= np.diff(q.indptr) == 0
    middle = (mine + other) / 2
    terms = rel_entr(mine, middle) + rel_entr(other, middle)
    found = (np.bincount(rows, terms, minlength=p.shape[0]) + absent * np.log(2)) / 2
    found[empty] = np.nan
    return np.asarray(np.clip(found, 0, np.log(2)), np.float64)
