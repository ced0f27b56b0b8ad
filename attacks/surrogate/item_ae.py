"""An autoencoder of items as a surrogate: the fake accounts are rows of its training and columns of its input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import Field
from scipy import sparse

from ...datasets.log import InteractionLog
from ..base import AttackConfig
from ..goal import Kind
from .adam import AdamTrained
from .base import Accounts, Factors
from .wmf import mean_ratings

_MKL: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
_CELLS = 1 << 12  # gathered vectors at a time
_ZEROS = 0.2  # weight of a pair without interaction, where there are no ratings


class ItemAEConfig(AttackConfig):
    """Settings of the autoencoder that an attacker trains."""

    dim: int = Field(default=64, ge=1, le=1024, description="width of the hidden layer")
    steps: int = Field(default=300, ge=1, description="steps of a fit from fresh parameters, each over all pairs")
    unroll: int = Field(default=15, ge=1, description="steps that the gradient goes through")
    learning_rate: float = Field(default=1e-2, gt=0, description="of Adam")
    decay: float = Field(
        default=5.0, ge=0, description="weight of half the parameters' squared norm, beside the sum of errors"
    )


class Cells:
    """The observed cells of a matrix, read along its rows and along its columns; memory linear in them.

    Attributes:
        shape: U rows, I columns.
        values: float [P], row by row.
    """

    def __init__(self, matrix: sparse.csr_matrix, dtype: torch.dtype = torch.float32) -> None:
        """Take a matrix without repeated cells; explicit zeros are cells too."""
        self.shape: tuple[int, int] = matrix.shape
        self.values = torch.from_numpy(matrix.data).to(dtype)
        self._row = torch.from_numpy(np.repeat(np.arange(self.shape[0]), np.diff(matrix.indptr)))
        self._column = torch.from_numpy(matrix.indices.astype(np.int64))
        places = sparse.csr_matrix((np.arange(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape).tocsc()
        self._place = torch.from_numpy(places.data.astype(np.int64))
        self._pointers = tuple(torch.from_numpy(x.indptr.astype(np.int64)) for x in (matrix, places))
        self._inner = self._column, torch.from_numpy(places.indices.astype(np.int64))

    def products(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        """The dot product of each cell's row and column vector: float [U, e], float [I, e] -> float [P].

        Differentiable as often as wanted, like `times`.
        """
        found: torch.Tensor = _Products.apply(left, right, self)  # type: ignore[no-untyped-call]
        return found

    def times(self, values: torch.Tensor, dense: torch.Tensor, *, along: int = 0) -> torch.Tensor:
        """The product of the matrix with these values, or its transpose (`along` 1), and a dense one.

        Shapes: float [P], float [I, e] ([U, e] if transposed) -> float [U, e] ([I, e]).
        """
        found: torch.Tensor = _Times.apply(values, dense, along, self)  # type: ignore[no-untyped-call]
        return found

    def _matrix(self, values: torch.Tensor, along: int) -> torch.Tensor:
        if along:
            values = values[self._place]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse")
            return torch.sparse_csr_tensor(
                self._pointers[along],
                self._inner[along],
                values,
                self.shape[::-1] if along else self.shape,
                check_invariants=False,
            )

    def _products(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if _MKL:  # twenty times as fast as gathering
            pattern = self._matrix(left.new_zeros(len(self._row)), 0)
            found: torch.Tensor = torch.sparse.sampled_addmm(pattern, left, right.T, beta=0.0).values()
            return found
        starts = range(0, len(self._row), _CELLS)
        cuts = ((self._row[start : start + _CELLS], self._column[start : start + _CELLS]) for start in starts)
        return torch.cat([(left[row] * right[column]).sum(-1) for row, column in cuts])


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, left: torch.Tensor, right: torch.Tensor, cells: Cells) -> torch.Tensor:
        ctx.save_for_backward(left, right)
        ctx.cells = cells
        return cells._products(left, right)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        left, right = ctx.saved_tensors
        return ctx.cells.times(gradient, right), ctx.cells.times(gradient, left, along=1), None


class _Times(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, dense: torch.Tensor, along: int, cells: Cells) -> torch.Tensor:
        ctx.save_for_backward(values, dense)
        ctx.along, ctx.cells = along, cells
        return cells._matrix(values, along) @ dense

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, dense = ctx.saved_tensors
        cells, along = ctx.cells, ctx.along
        to_values = to_dense = None
        if ctx.needs_input_grad[0]:
            to_values = cells.products(*((dense, gradient) if along else (gradient, dense)))
        if ctx.needs_input_grad[1]:
            to_dense = cells.times(values, gradient, along=1 - along)
        return to_values, to_dense, None, None


class ItemAE(AdamTrained):
    """Restores each item's column over users and accounts from itself, through one layer of tanh.

    Item i enters as x_i, its ratings less their mean, or ones on interactions, and 0 elsewhere; its vector is
    h_i = tanh(W x_i + b), its score for user u is v_u h_i + c_u. With ratings the loss is the squared error on rated
    pairs. Without, every pair counts by a small weight as a zero; that sum is one of Gram matrices, so that no
    users x items array exists. A fake account acts in two ways: as a row that is restored, which trains h and W, and
    as a coordinate of the input x, which moves h at once.

    Reference: Sedhain et al. 2015, AutoRec: Autoencoders Meet Collaborative Filtering, WWW, the item-based one; as a
        surrogate: Tang, Wen and Wang 2020, Revisiting Adversarially Learned Injection Attacks, RecSys, section 3.
    """

    def __init__(
        self,
        log: InteractionLog,
        kind: Kind,
        config: ItemAEConfig,
        rng: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the visible log.

        Args:
            log: what the attacker sees.
            kind: "rating" for a model of ratings; else one of who has what.
            config: size and steps.
            rng: first parameters.
            dtype: of all parameters; float64 where gradients are checked.
        """
        self.dim, self.rng, self.dtype = config.dim, rng, dtype
        self.rating = kind == "rating" and log.value is not None
        matrix, self.centre = log.matrix(), 0.0
        if self.rating:
            matrix = mean_ratings(log)
            self.centre = float(matrix.data.mean())
            matrix.data -= np.float32(self.centre)
        self.cells = Cells(matrix, dtype)
        # the loss is a mean over pairs
        decay = config.decay / max(matrix.nnz, 1)
        super().__init__(config.steps, config.unroll, rate=config.learning_rate, decay=decay)

    def first(self, accounts: int) -> list[torch.Tensor]:
        """Rows of W [U + A, d], b [d], and v with c beside it [U + A, d + 1]."""
        rows = self.cells.shape[0] + accounts
        spread = (2.0 / (rows + self.dim)) ** 0.5
        into, out = (
            torch.from_numpy(self.rng.standard_normal((rows, self.dim)) * spread).to(self.dtype) for _ in range(2)
        )
        return [into, into.new_zeros(self.dim), torch.cat([out, out.new_zeros(rows, 1)], 1)]

    def loss(self, parameters: Sequence[torch.Tensor], accounts: Accounts) -> torch.Tensor:
        """Squared error, over the number of genuine pairs."""
        user, account, item = self._vectors(parameters, accounts)
        scores = account @ item.T
        # the accounts' part up to a constant: sum of present times (score - rating)^2
        total = (accounts.present * scores**2 - 2 * self._wanted(accounts) * scores).sum()
        total = total + ((self.cells.products(user, item) - self.cells.values) ** 2).sum()
        if not self.rating:
            out = parameters[2]
            total = total + _ZEROS * ((out.T @ out) * (item.T @ item)).sum()
        return total / max(len(self.cells.values), 1)

    def factors(self, parameters: Sequence[torch.Tensor], accounts: Accounts) -> Factors:
        """See AdamTrained."""
        user, _, item = self._vectors(parameters, accounts)
        return Factors(user, item)

    def _vectors(
        self, parameters: Sequence[torch.Tensor], accounts: Accounts
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Users [U, d + 1], accounts [A, d + 1] and items [I, d + 1], whose last column is 1."""
        into, bias, out = parameters
        users = self.cells.shape[0]
        inside = self.cells.times(self.cells.values, into[:users], along=1) + self._wanted(accounts).T @ into[users:]
        hidden = torch.tanh(inside + bias)
        return out[:users], out[users:], torch.cat([hidden, hidden.new_ones(len(hidden), 1)], 1)

    def _wanted(self, accounts: Accounts) -> torch.Tensor:
        """The accounts' centred ratings, 0 where there is no event: float [A, I]."""
        return accounts.rating - self.centre * accounts.present
