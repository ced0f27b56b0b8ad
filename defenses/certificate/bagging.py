"""The recommender that is certified: many small item-based models, each of a few drawn accounts, that vote."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...datasets.log import Float32, Int32, Int64
from ...datasets.seeding import rng
from ...recommenders.ranking import top_k

Base = Literal["cooccurrence", "itemknn"]

_CELLS = 1 << 22
"""Scores held at a time: accounts are taken in blocks of so many cells."""

_UNIT = 65536.0
"""Weights of item-item similarities are whole multiples of its inverse."""

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Ensemble:
    """How the ensemble is made.

    Attributes:
        models: T, base models.
        sample: s, accounts drawn for each, without replacement.
        per_model: N', items each model votes for.
        base: how a model scores an item; see `scores`.
        only_drawn: whether a model votes for the accounts it was fitted to alone.
    """

    models: int
    sample: int
    per_model: int
    base: Base = "itemknn"
    only_drawn: bool = False


def tie_order(item_ids: Sequence[str] | NDArray[np.str_]) -> Int64:
    """All items in the order that decides between equal scores, int64 [I].

    The bounds need a model of clean accounts to list the same whatever else is in the log, ties included. Places in the
    log will not do, since fakes may change them; a hash of the id depends on nobody's events.
    """
    digests = [hashlib.sha256(str(name).encode()).digest() for name in item_ids]
    return np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)


def drawn(n_users: int, sample: int, seed: int, model: int) -> Int64:
    """The accounts of a base model, int64 [sample], ascending; every model has a seed of its own."""
    chosen = rng(seed, "certificate", "bag", model).choice(n_users, sample, replace=False, shuffle=False)
    return np.sort(chosen.astype(np.int64))


def scores(bag: sparse.csr_matrix, profiles: Float64, base: Base) -> Float32:
    """Scores of all items for some accounts from the accounts of a bag alone.

    "cooccurrence": in how many accounts of the bag the item stands beside an item of the profile, summed over the
    profile. "itemknn": the same, each count divided by the root of the numbers of accounts in the bag with either item
    (cosine; Deshpande and Karypis 2004, ACM TOIS 22(1), without a limit on neighbours). A sum over the profile of
    co-occurrence is a sum over the bag of overlaps, so that two thin products take the place of an item-item matrix.

    The bounds need the same scores whatever else is in the log, so rounding must not depend on the order of accounts,
    which fakes may change: inverse roots are rounded to whole multiples of 2**-16, and every sum is one of integers,
    exact while s times the length of the profile stays below 2**21.

    Shapes: bag CSR [s, I] of ones, profiles float64 [I, B] of 0 and 1 -> float32 [B, I]. Items in no account score 0.
    """
    weights = np.ones(bag.nnz)
    if base == "itemknn":
        held = np.bincount(bag.indices, minlength=bag.shape[1])
        weights = np.rint(_UNIT / np.sqrt(np.maximum(held, 1)))[bag.indices]
    weighed = sparse.csr_matrix((weights, bag.indices, bag.indptr), bag.shape)
    return np.ascontiguousarray((weighed.T @ (weighed @ profiles)).T, np.float32)


def listed(bag: sparse.csr_matrix, profiles: Float64, per_model: int, base: Base) -> Int32:
    """The items a base model votes for, best first, -1 for none: int32 [B, per_model].

    Consumed items and those without a score are not listed; a lower column goes first among equal scores. So an item
    that only fakes hold is never listed by a model without fakes.

    Shapes: see scores.
    """
    found = scores(bag, profiles, base)
    found[(found <= 0) | (profiles.T > 0)] = -np.inf
    return top_k(found, per_model)[0]


def blocks(n_users: int, n_items: int) -> list[slice]:
    """Rows to hold scores of at a time, for tables of one row an account and one cell an item."""
    size = max(1, _CELLS // max(n_items, 1))
    return [slice(start, min(start + size, n_users)) for start in range(0, n_users, size)]


def votes(
    pool: sparse.csr_matrix,
    profiles: sparse.csr_matrix,
    users: Int64,
    order: Int64,
    ensemble: Ensemble,
    seed: int,
) -> Int32:
    """How many base models vote for each item, int32 [A, I].

    Args:
        pool: CSR [U, I] of ones, the accounts that are drawn.
        profiles: CSR [A, I] of ones, what the accounts in question have consumed.
        users: int64 [A], their rows in the pool.
        order: see tie_order.
        ensemble: how it is made.
        seed: of all draws.

    Raises:
        ValueError: the sample is larger than the pool.
    """
    n_users, n_items = pool.shape
    if ensemble.sample > n_users:
        raise ValueError(f"bags of {ensemble.sample} accounts cannot be drawn from {n_users}")
    pool, profiles = pool[:, order], profiles[:, order]
    counts = np.zeros((len(users), n_items), np.int32)
    for rows in blocks(len(users), n_items):
        own, named, found = profiles[rows].T.toarray().astype(np.float64), users[rows], counts[rows]
        for model in range(ensemble.models):
            bag = drawn(n_users, ensemble.sample, seed, model)
            served = np.flatnonzero(np.isin(named, bag)) if ensemble.only_drawn else np.arange(len(named))
            if len(served):
                mine = own[:, served] if ensemble.only_drawn else own
                lists = listed(pool[bag], mine, ensemble.per_model, ensemble.base)
                at, place = np.nonzero(lists >= 0)
                found[served[at], lists[at, place]] += 1  # no cell twice: the items of a list differ
    back = np.empty_like(counts)
    back[:, order] = counts
    return back


def most_voted(counts: Int32, order: Int64, n_list: int) -> Int32:
    """The lists of the ensemble: the items with most votes, best first, -1 for none: int32 [A, n_list].

    Equal votes go by the tie order; items without a vote are not listed. Shapes: counts int32 [A, I] below 2**24.
    """
    ranked = counts[:, order].astype(np.float32)
    ranked[ranked == 0] = -np.inf
    places = top_k(ranked, n_list)[0]
    return np.where(places < 0, -1, order[places]).astype(np.int32)
