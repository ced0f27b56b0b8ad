"""Half of a sweep of alternating least squares, differentiable, with memory linear in the interactions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse

from ...datasets.log import Int64

_CELLS = 1 << 14  # gathered vectors of a group
_ROWS = 1 << 10  # systems of a group


class Rows:
    """The observed cells of one side, in groups of rows of similar length that are padded to one length.

    Attributes:
        shape: R rows, C columns.
    """

    def __init__(self, matrix: sparse.csr_matrix) -> None:
        """Group the rows once; rows without cells are in no group."""
        self.shape: tuple[int, int] = matrix.shape
        counts = np.diff(matrix.indptr)
        self.counts = torch.from_numpy(counts.astype(np.float32))
        self.groups: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for rows in _groups(counts):
            place = np.arange(counts[rows[-1]])
            inside = place < counts[rows][:, None]
            cells = np.where(inside, matrix.indptr[rows][:, None] + place, 0)
            columns = np.where(inside, matrix.indices[cells], self.shape[1]).astype(np.int64)
            values = np.where(inside, matrix.data[cells], 0).astype(np.float32)
            self.groups.append((torch.from_numpy(rows), torch.from_numpy(columns), torch.from_numpy(values)))


def _groups(counts: np.ndarray[Any, Any]) -> Iterator[Int64]:
    order = np.argsort(counts, kind="stable")
    start = int(np.searchsorted(counts[order], 1))
    while start < len(order):
        ahead = counts[order[start : start + _ROWS]].astype(np.int64)
        size = max(1, int(np.count_nonzero(np.arange(1, len(ahead) + 1) * ahead <= _CELLS)))
        yield order[start : start + size].astype(np.int64)
        start += size


def ridge(
    rows: Rows,
    vectors: torch.Tensor,
    offset: torch.Tensor,
    system: torch.Tensor,
    right: torch.Tensor | None = None,
    known: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Exact least squares of each row, given the vectors y of the other side.

    x_r = (sum_c y_c y_c' + S_r)^-1 (sum_c (v_rc - o_c - f_r k_c) y_c + b_r), sums over the observed cells.
    Differentiable in vectors, offset, system, right and k; the backward pass solves the same systems again instead of
    keeping them.

    Shapes: vectors y float [C, e], offset o float [C], system S float [e, e] (shared) or [R, e, e], symmetric
    positive definite, right b float [R, e] or None, known (f float [R, n], k float [C, n]), the part of a value that
    does not depend on x, or None -> float [R, e].
    """
    left, across = (None, None) if known is None else known
    found: torch.Tensor = _Ridge.apply(vectors, offset, system, right, across, left, rows)  # type: ignore[no-untyped-call]
    return found


class _Ridge(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        vectors: torch.Tensor,
        offset: torch.Tensor,
        system: torch.Tensor,
        right: torch.Tensor | None,
        across: torch.Tensor | None,
        left: torch.Tensor | None,
        rows: Rows,
    ) -> torch.Tensor:
        solved = vectors.new_zeros(rows.shape[0], vectors.shape[1])
        # rows without cells are the solution of their own terms alone; with no right side that is zero
        if right is not None:
            empty = torch.nonzero(rows.counts == 0)[:, 0]
            if len(empty):
                solved[empty] = _solve(_own(system, empty), right[empty])
        for index, near, _, residual in _gathered(rows, vectors, offset, across, left):
            wanted = (residual[..., None] * near).sum(1)
            if right is not None:
                wanted = wanted + right[index]
            solved[index] = _solve(_own(system, index) + near.mT @ near, wanted)
        ctx.save_for_backward(vectors, offset, system, solved, across, left)
        ctx.rows, ctx.has_right = rows, right is not None
        return solved

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        vectors, offset, system, solved, across, left = ctx.saved_tensors
        rows: Rows = ctx.rows
        to_vectors = vectors.new_zeros(vectors.shape[0] + 1, vectors.shape[1])
        to_offset = offset.new_zeros(len(offset) + 1)
        to_across = None if across is None else across.new_zeros(across.shape[0] + 1, across.shape[1])
        to_system = torch.zeros_like(system)
        to_right = torch.zeros_like(gradient)  # the adjoint: A^-1 g
        if ctx.has_right:
            empty = torch.nonzero(rows.counts == 0)[:, 0]
            if len(empty):
                to_right[empty] = _solve(_own(system, empty), gradient[empty])
        for index, near, columns, residual in _gathered(rows, vectors, offset, across, left):
            adjoint = _solve(_own(system, index) + near.mT @ near, gradient[index])
            to_right[index] = adjoint
            own = solved[index]
            along = (near @ adjoint[..., None])[..., 0]  # [n, L]
            error = residual - (near @ own[..., None])[..., 0]
            cell = error[..., None] * adjoint[:, None] - along[..., None] * own[:, None]
            to_vectors.index_add_(0, columns.flatten(), cell.flatten(0, 1))
            to_offset.index_add_(0, columns.flatten(), -along.flatten())
            if to_across is not None:
                to_across.index_add_(0, columns.flatten(), (-along[..., None] * left[index][:, None]).flatten(0, 1))
        if system.dim() == 2:
            to_system = -(to_right.T @ solved)
        else:
            to_system = -to_right[:, :, None] * solved[:, None, :]
        return (
            to_vectors[:-1],
            to_offset[:-1],
            to_system,
            to_right if ctx.has_right else None,
            None if to_across is None else to_across[:-1],
            None,
            None,
        )


def _gathered(
    rows: Rows,
    vectors: torch.Tensor,
    offset: torch.Tensor,
    across: torch.Tensor | None,
    left: torch.Tensor | None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Of each group: row indices [n], vectors [n, L, e] (zero in the padding), columns [n, L], residuals [n, L]."""
    padded = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])
    shift = torch.cat([offset, offset.new_zeros(1)])
    if across is not None:
        across = torch.cat([across, across.new_zeros(1, across.shape[1])])
    for index, columns, values in rows.groups:
        residual = values.to(vectors.dtype) - shift[columns]
        if across is not None and left is not None:
            residual = residual - (across[columns] @ left[index][..., None])[..., 0]
        yield index, padded[columns], columns, residual


def _own(system: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    return system if system.dim() == 2 else system[index]


def _solve(system: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """X of S x = b: float [n, e, e] or [e, e], float [n, e] -> float [n, e]."""
    factor = torch.linalg.cholesky(system)
    if system.dim() == 2:
        return torch.cholesky_solve(wanted.T, factor).T
    return torch.cholesky_solve(wanted[..., None], factor)[..., 0]
