"""Detectors by the structure of the whole log: what few factors cannot explain, and blocks that are too dense."""

from __future__ import annotations

import heapq
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from ...attacks.detectors import rows
from ...datasets.log import InteractionLog
from ...datasets.seeding import rng as stream
from ..base import Detector, DetectorConfig, Float64

COLUMN = 5.0
"""Added to an item's number of accounts before the logarithm, as in the paper."""


class ReconstructionConfig(DetectorConfig):
    """Settings of the reconstruction."""

    rank: int = Field(default=10, ge=1, description="factors of the truncated singular value decomposition")


class Reconstruction(Detector):
    """What few factors leave unexplained of an account, beyond what is usual for its length.

    The share of the squared norm of the account's row (ratings, or 1; 0 for what is not held) outside the first k
    right singular vectors of the log, less its expectation by a quadratic fit in the log of the number of items.
    Blind to fakes that share many items (a large group has a factor of its own) and to popular items. Genuine
    users of rare taste look like random fakes.
    """

    name: ClassVar[str] = "reconstruction"
    title: ClassVar[str] = "Profiles that few factors cannot explain"
    reference: ClassVar[str] = "recaudit"
    config_type: ClassVar[type[DetectorConfig]] = ReconstructionConfig

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        return unusual_error(rows(log), self.config.rank)


class DenseBlock(Detector):
    """Fraudar: accounts that survive the greedy peeling of the bipartite graph longest.

    An edge weighs 1 / log(N_i + 5), so that popular items, which serve as camouflage, count less. The node with
    the smallest sum of weights goes first, account or item, until nothing is left. Score: an account's level, the
    largest sum of weights that any node had when it went, up to and with the account. Unlike the place in the order,
    it does not depend on how ties are broken. What is left when a level begins is a block, and the densest of these
    has at least half of the largest possible density; its members get 1 more than the highest level on top.

    Blind to small or short groups, since the heaviest genuine users and the items they share are a dense block
    too, and to fakes that share no items but the target.
    """

    name: ClassVar[str] = "dense-block"
    title: ClassVar[str] = "Accounts inside the densest block"
    reference: ClassVar[str] = "Hooi et al. 2016, FRAUDAR: Bounding Graph Fraud in the Face of Camouflage, KDD"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        level, inside = peeled(log.matrix())
        found: Float64 = level + inside * (level.max(initial=0.0) + 1)
        return found


def unusual_error(held: sparse.csr_matrix, rank: int) -> Float64:
    """Unexplained share of each row less what its length makes expect, float64 [U]; 0 for rows without entries."""
    lengths = np.diff(held.indptr)
    active = lengths > 0
    found = np.zeros(held.shape[0])
    if not active.any():
        return found
    error = unexplained(held[active], rank)
    size = np.log(lengths[active])
    degree = min(2, len(np.unique(size)) - 1)  # fewer lengths than coefficients would not determine the fit
    fit = np.polynomial.Polynomial.fit(size, error, degree)
    found[active] = np.round(error - fit(size), 9)
    return found


def unexplained(held: sparse.csr_matrix, rank: int) -> Float64:
    """Share of each row's squared norm outside the first right singular vectors, float64 [n] in 0..1.

    A tie of singular values at the cut would leave the space to chance, so none of the tied vectors is used.

    Args:
        held: float64 CSR [n, I], no row without entries.
        rank: fewer where the matrix has no more.
    """
    norm = np.asarray(held.multiply(held).sum(axis=1)).ravel()
    count = min(rank + 1, min(held.shape) - 1)
    if count < 1:
        return np.ones(held.shape[0])
    start = stream(0, "reconstruction").standard_normal(min(held.shape))  # ARPACK's own start is drawn
    with threadpool_limits(1):
        _, size, right = svds(held, k=count, v0=start)
    keep = size > 1e-6 * size.max()
    if count > rank:
        keep &= size > size.min() * (1 + 1e-6)
    explained = np.square(held @ right[keep].T).sum(axis=1)
    share: Float64 = np.clip(1 - explained / norm, 0.0, 1.0)
    return share


def peeled(held: sparse.csr_matrix) -> tuple[Float64, NDArray[np.bool_]]:
    """Level of every account, float64 [U], and whether it is in the densest block, bool [U]; see `DenseBlock`.

    Time O(E log V): every edge makes one entry in the heap, entries that no longer hold are passed over.
    """
    users, items = held.shape
    weight = 1 / np.log(np.bincount(held.indices, minlength=items) + COLUMN)
    user, item = np.repeat(np.arange(users), np.diff(held.indptr)), held.indices + users
    ends = np.concatenate([user, item]), np.concatenate([item, user])
    graph = sparse.csr_matrix((np.tile(weight[held.indices], 2), ends), shape=(users + items, users + items))
    degree = np.asarray(graph.sum(axis=1), np.float64).ravel()
    heap = [(value, node) for node, value in enumerate(degree.tolist())]
    heapq.heapify(heap)
    alive = np.ones(users + items, bool)
    level = np.zeros(users + items)
    left, mass, reached = users + items, float(degree.sum()) / 2, -1.0
    best, bar = 0.0, np.inf
    while heap:
        value, node = heapq.heappop(heap)
        if not alive[node] or value != degree[node]:
            continue
        if value > reached + 1e-9:  # a new level: what is left is a block
            reached = value
            if mass / left > best + 1e-9:
                best, bar = mass / left, reached
        level[node] = reached
        alive[node] = False
        row = slice(graph.indptr[node], graph.indptr[node + 1])
        near, lost = graph.indices[row], graph.data[row]
        live = alive[near]
        near, lost = near[live], lost[live]
        degree[near] -= lost
        for entry in zip(degree[near].tolist(), near.tolist(), strict=True):
            heapq.heappush(heap, entry)
        left, mass = left - 1, mass - float(lost.sum())
    own = level[:users]
    return np.round(own, 9), own >= bar
