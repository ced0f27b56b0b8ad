"""CoDetector: a decision tree on factors that explain both what accounts hold and whom they share items with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse
from threadpoolctl import threadpool_limits

from ...datasets.log import InteractionLog
from ..base import Float64
from ..histories import Histories
from .base import Bool, Judge, Supervised, TreeConfig, held, tree_judge

PAIRS = 1 << 22
"""Entries of the table of shared items that are held at a time, at most (or those of one account)."""

UNSEEN = 0.1
"""What an item that an account does not hold counts beside one that it holds."""

_SOLVED = 4096  # accounts or items whose equations are held at a time


class CoDetectorConfig(TreeConfig):
    """Settings of CoDetector."""

    factors: int = Field(16, ge=1, description="length of an account's vector")
    rounds: int = Field(10, ge=1, description="of alternating least squares")
    shared: int = Field(2, ge=1, description="pairs of accounts with fewer shared items are not read")
    shift: float = Field(1.0, gt=0, description="k: its logarithm is taken from every PMI")
    nearest: int = Field(50, ge=1, description="pairs of an account that are kept, those of the largest SPPMI")
    gamma: float = Field(1.0, ge=0, description="weight of pairs of accounts beside what accounts hold")
    regular: float = Field(1.0, gt=0, description="L2 on all vectors and biases")


class CoDetector(Supervised):
    """Factors of the accounts, shared by two factorisations, judged by a decision tree.

    (1) What accounts hold, (r - p q)^2. (2) The shifted positive PMI of pairs of accounts by the items that they
    share, (m - p g - b - c)^2. Fakes of one campaign share items, which (2) sees.
    """

    name: ClassVar[str] = "co-detector"
    title: ClassVar[str] = "Decision tree on factors of items and of co-occurring accounts"
    reference: ClassVar[str] = (
        "Dou, Yu, Xiong, Gao, Song, Fang 2017, Collaborative Shilling Detection Bridging Factorization and User "
        "Embedding, CollaborateCom"
    )
    config_type: ClassVar[type[CoDetectorConfig]] = CoDetectorConfig

    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        """See Supervised."""
        config: CoDetectorConfig = self.config
        rows = held(accounts, log.n_items)
        with threadpool_limits(1):
            pairs = sppmi(rows, config.shared, config.shift, config.nearest)
            return tree_judge(factors(rows, pairs, config, rng), fake, config)


def sppmi(rows: sparse.csr_matrix, shared: int, shift: float, nearest: int) -> sparse.csr_matrix:
    """Shifted positive PMI of pairs of accounts, scaled to at most 1: float64 CSR [N, N], no diagonal.

    max(log2(c_uv D / (f_u f_v)) - log2 k, 0) / the largest, where c_uv is the number of items that u and v share (0 if
    below `shared`), f_u the sum of c_uv over v, and D that of all f. The table of c is made twice, a block of accounts
    at a time; of each account the `nearest` largest values are kept.

    Args:
        rows: float32 CSR [N, I] of ones.
        shared: least number of shared items.
        shift: k.
        nearest: pairs kept for each account.
    """
    total = np.concatenate([_sums(block) for _, block in _shared(rows, shared)])
    overall = total.sum()
    kept: list[sparse.csr_matrix] = []
    for first, block in _shared(rows, shared):
        own = np.repeat(total[first : first + block.shape[0]], np.diff(block.indptr))
        block.data = np.log2(block.data * overall / (own * total[block.indices])) - np.log2(shift)
        block.data[block.data < 1e-12] = 0.0  # what is 0 but for rounding
        block.eliminate_zeros()
        kept.append(_largest(block, nearest))
    found = sparse.csr_matrix(sparse.vstack(kept, format="csr"))
    found.data /= found.data.max(initial=1e-300)
    return found


def _shared(rows: sparse.csr_matrix, least: int) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Numbers of shared items of successive accounts with all others, float64 CSR [n, N], and the first account."""
    other = rows.T.tocsr()
    holders = np.bincount(rows.indices, minlength=rows.shape[1])
    cost = np.minimum(rows @ holders, rows.shape[0])
    part = (np.cumsum(cost) - cost) // PAIRS
    starts: list[int] = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
    for first, last in zip(starts, [*starts[1:], rows.shape[0]], strict=True):
        block = sparse.csr_matrix(rows[first:last].astype(np.float64) @ other)
        account = np.repeat(np.arange(first, last), np.diff(block.indptr))
        block.data[(block.data < least) | (block.indices == account)] = 0.0
        block.eliminate_zeros()
        yield first, block


def _sums(table: sparse.csr_matrix) -> Float64:
    """Sums of rows, float64 [n]."""
    return np.asarray(table.sum(axis=1), np.float64).ravel()


def _largest(table: sparse.csr_matrix, count: int) -> sparse.csr_matrix:
    """The largest entries of each row, of equal ones those in front."""
    row = np.repeat(np.arange(table.shape[0]), np.diff(table.indptr))
    order = np.lexsort((-table.data, row))
    kept = order[np.arange(len(order)) - table.indptr[row] < count]
    return sparse.csr_matrix((table.data[kept], (row[kept], table.indices[kept])), shape=table.shape)


def factors(
    rows: sparse.csr_matrix, pairs: sparse.csr_matrix, config: CoDetectorConfig, rng: np.random.Generator
) -> Float64:
    """Vectors of the accounts after some rounds of alternating least squares, float64 [N, d].

    An item that is not held counts as 0 with a small weight, without which constant vectors would explain everything;
    pairs of accounts are read where their SPPMI is above 0, as in the paper. Only the items' first values are drawn, so
    that an account's vector does not depend on its place.

    Shapes: rows [N, I] of ones, pairs [N, N].
    """
    ones, back, pairs_back = rows.astype(np.float64), sparse.csr_matrix(rows.T.astype(np.float64)), pairs.T.tocsr()
    known = pairs.copy()
    known.data = np.ones_like(known.data)
    known_back = sparse.csr_matrix(known.T)
    item = rng.normal(0, 0.1, (rows.shape[1], config.factors))
    other = np.zeros((rows.shape[0], config.factors))
    own_bias, other_bias = np.zeros(rows.shape[0]), np.zeros(rows.shape[0])
    account = np.zeros_like(other)
    some = np.maximum(np.diff(pairs.indptr), 1e-9), np.maximum(np.diff(pairs_back.indptr), 1e-9)
    for _ in range(config.rounds):
        rest = _less(pairs, own_bias, other_bias)
        account = _solved(
            [(ones, item, 1 - UNSEEN), (known, other, config.gamma)],
            ones @ item + config.gamma * (rest @ other),
            UNSEEN * item.T @ item,
            config.regular,
        )
        item = _solved([(back, account, 1 - UNSEEN)], back @ account, UNSEEN * account.T @ account, config.regular)
        if config.gamma and pairs.nnz:
            zero = np.zeros((config.factors, config.factors))
            rest_back = sparse.csr_matrix(rest.T)
            other = _solved([(known_back, account, 1.0)], rest_back @ account, zero, config.regular)
            left = _less(pairs, _places(pairs, account, other), None)
            own_bias = (_sums(left) - known @ other_bias) / (some[0] + config.regular)
            other_bias = (_sums(sparse.csr_matrix(left.T)) - known_back @ own_bias) / (some[1] + config.regular)
    return account


def _less(pairs: sparse.csr_matrix, own: Float64, other: Float64 | None) -> sparse.csr_matrix:
    """The entries less a bias of the row and one of the column; or less a number for each entry, [nnz]."""
    found = pairs.copy()
    if other is None:
        found.data = pairs.data - own
    else:
        found.data = pairs.data - np.repeat(own, np.diff(pairs.indptr)) - other[pairs.indices]
    return found


def _places(pairs: sparse.csr_matrix, left: Float64, right: Float64) -> Float64:
    """Dot products where the pairs have entries, float64 [nnz]."""
    row = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    found: Float64 = np.einsum("nd,nd->n", left[row], right[pairs.indices])
    return found


def _solved(
    parts: list[tuple[sparse.csr_matrix, Float64, float]], target: Float64, common: Float64, regular: float
) -> Float64:
    """Regularised least squares of all rows: (common + regular + sum of weighted outer products) x = target."""
    width = target.shape[1]
    tables = [(held_by, _outer(vectors) * weight) for held_by, vectors, weight in parts if weight]
    found = np.empty_like(target)
    for first in range(0, len(target), _SOLVED):
        block = slice(first, first + _SOLVED)
        normal = np.tile((common + regular * np.eye(width)).ravel(), (len(target[block]), 1))
        for held_by, table in tables:
            normal += held_by[block] @ table
        found[block] = np.linalg.solve(normal.reshape(-1, width, width), target[block][..., None])[..., 0]
    return found


def _outer(vectors: Float64) -> Float64:
    """Each vector's product with itself, float64 [n, d * d]."""
    found: Float64 = np.einsum("nd,ne->nde", vectors, vectors).reshape(len(vectors), -1)
    return found
