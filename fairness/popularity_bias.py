"""Popularity bias of lists, and how far they stray from what a user likes (miscalibration)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.special import rel_entr

from ..datasets.errors import InputError, unknown_name
from ..datasets.log import Int32, Int64
from .awrf import blocks, discount, jensen_shannon, list_shares, pairs, row_shares
from .groups import Groups
from .recommendations import Recommendations
from .value import Float64, PerUser

ALPHA = 0.01
"""Share of the history that smooths the list's distribution, so that a group it lacks costs no infinity."""

_NO_LIST = "no item in the list"


def average_popularity(data: Recommendations, popularity: Int64) -> PerUser:
    """ARP, average recommendation popularity: mean popularity of the items in a list, then over users.

    In training events, 0 and more. Read it beside the same number of other models: it has no fair end. O(m k).

    Args:
        data: the lists; users without an item in theirs are left out and counted.
        popularity: int64 [n], training events of each item.

    Raises:
        InputError: popularity of another catalogue.

    Sources: Yin, Cui, Li, Yao, Chen 2012, Challenging the Long Tail Recommendation, PVLDB 5(9); as ARP in
    Abdollahpouri, Burke, Mobasher 2019, Managing Popularity Bias in Recommender Systems with Personalized Re-Ranking,
    FLAIRS (arXiv 1901.07555).
    """
    return PerUser.of(_list_mean(data, popularity.astype(np.float64)), data.weights, _NO_LIST)


def long_tail_share(data: Recommendations, groups: Groups, long_tail: Sequence[str] = ("middle", "tail")) -> PerUser:
    """APLT, average percentage of long-tail items: their share of a list, then the mean over users, 0..1.

    O(m k + membership cells).

    Args:
        data: the lists; users without an item in theirs are left out and counted.
        groups: popularity buckets.
        long_tail: the groups that are the long tail; in the source all but the head.

    Raises:
        InputError: groups of another catalogue, or no group of that name.

    Source: Abdollahpouri, Burke, Mobasher 2019, FLAIRS (arXiv 1901.07555).
    """
    for name in long_tail:
        if name not in groups.names:
            raise unknown_name("group of items", name, groups.names)
    if groups.alone:
        return PerUser.of(np.full(len(data.lists), np.nan), data.weights, groups.alone)
    chosen = np.isin(groups.names, list(long_tail)).astype(np.float64)
    return PerUser.of(_list_mean(data, np.asarray(groups.membership @ chosen)), data.weights, _NO_LIST)


def miscalibration(
    data: Recommendations,
    history: sparse.csr_matrix,
    groups: Groups,
    kind: Literal["kl", "js"] = "kl",
    alpha: float = ALPHA,
    ranked: bool = False,
) -> PerUser:
    """How far the groups in a list, q, are from those in the user's history, p; down, 0 = calibrated.

    "kl": KL(p || (1 - alpha) q + alpha p) in nats, 0..ln(1 / alpha). "js": Jensen-Shannon divergence in base 2
    without smoothing, 0..1, which Abdollahpouri et al. call user popularity deviation if groups are popularity
    buckets. Items without a group are left out of p and q. O(m k + history cells).

    Args:
        data: the lists.
        history: CSR [m, n], w_ui >= 0: how much an item of the history counts, 1 for implicit feedback.
        groups: genres or popularity buckets.
        kind: which divergence.
        alpha: smoothing of "kl", inside 0..1.
        ranked: weigh the places of a list with 1 / log2(rank + 1) and not all alike; the source allows both.

    Returns:
        Per user and the mean; users without items of a group in list or history are left out and counted.

    Raises:
        InputError: history or groups of another shape, a weight below 0, alpha outside 0..1.

    Sources: Steck 2018, Calibrated Recommendations, RecSys, section 3 (p, q, KL, alpha = 0.01); Abdollahpouri,
    Mansoury, Burke, Mobasher, Malthouse 2021, User-centered Evaluation of Popularity Bias in Recommender Systems,
    UMAP (Jensen-Shannon).
    """
    users, n = len(data.lists), data.n_items
    if history.shape != (users, n) or groups.n_items != n:
        raise InputError(f"history of shape {history.shape} and groups of {groups.n_items} items for {users} lists "
                         f"over {n} items")  # fmt: skip
    if (history.data < 0).any():
        raise InputError("the history holds weights below 0")
    if not 0 < alpha < 1:
        raise InputError(f"the smoothing alpha must lie inside 0..1, got {alpha}")
    if groups.alone:
        return PerUser.of(np.full(users, np.nan), data.weights, groups.alone)
    weights = discount(data.k, "base2") if ranked else np.ones(data.k)
    values = np.empty(users)
    for rows in blocks(users):
        p = row_shares(history[rows], groups)
        q = list_shares(data.lists[rows], groups, weights)
        values[rows] = _smoothed_kl(p, q, alpha) if kind == "kl" else jensen_shannon(p, q) / np.log(2)
    return PerUser.of(values, data.weights, "no item of a group in the list or in the history")


def _smoothed_kl(p: sparse.csr_matrix, q: sparse.csr_matrix, alpha: float) -> Float64:
    rows, liked, shown = pairs(p, q)
    terms = rel_entr(liked, (1 - alpha) * shown + alpha * liked)
    found = np.bincount(rows, terms, minlength=p.shape[0]).astype(np.float64)  # without cells it would be int
    found[(np.diff(p.indptr) == 0) | (np.diff(q.indptr) == 0)] = np.nan
    return np.asarray(np.maximum(found, 0), np.float64)  # rounding can end a hair below 0


def _list_mean(data: Recommendations, per_item: Float64) -> Float64:
    """Mean of a number of items over each list: float64 [n] -> [m], NaN for an empty list."""
    if len(per_item) != data.n_items:
        raise InputError(f"{len(per_item)} items for lists over {data.n_items}")
    padded = np.append(per_item, 0.0)  # where -1, an empty place, falls
    total, filled = np.zeros(len(data.lists)), np.zeros(len(data.lists))
    place: Int32
    for place in data.lists.T:  # rank by rank, so that no [m, k] array of floats is made
        total += padded[place]
        filled += place >= 0
    mean: Float64 = np.divide(total, filled, out=np.full(len(total), np.nan), where=filled > 0)
    return mean
