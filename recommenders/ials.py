"""iALS: matrix factorisation of implicit feedback by alternating exact least squares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ..datasets.errors import DataError
from ..datasets.log import Float32, Int64, InteractionLog
from ..datasets.seeding import rng as seeded
from ..datasets.split import Split
from .base import ModelConfig, Report
from .sampling import Positives

_CELLS = 16_384  # gathered vectors of a group: 4 MB at 64 dimensions
_ROWS = 1_024  # systems of a group: 16 MB at 64 dimensions


class IALSConfig(ModelConfig):
    """Hyper-parameters of iALS."""

    dim: int = Field(64, ge=1, le=2048, description="length of the vectors")
    unobserved: float = Field(0.2, gt=0, description="weight of a pair without interaction (alpha_0)")
    regularisation: float = Field(0.01, gt=0, description="lambda, scaled by frequency")
    exponent: float = Field(1.0, ge=0, le=1, description="nu, how strongly frequency scales lambda")
    init: float = Field(0.1, gt=0, description="norm scale of the first item vectors")
    sweeps: int = Field(6, ge=1, description="updates of all items and users")


class IALS:
    """User and item vectors whose product is 1 on interactions and 0, with a small weight, elsewhere.

    Minimises, with user weights w, over all users u and items i

        sum_u w_u [ sum_{i in N(u)} (x_u y_i - 1)^2 + alpha_0 sum_i (x_u y_i)^2 + lambda_u |x_u|^2 ]
            + sum_i lambda_i |y_i|^2,

    lambda_u = lambda (|N(u)| + alpha_0 I)^nu, lambda_i = lambda (sum_{u in N(i)} w_u + alpha_0 sum_u w_u)^nu. A user
    of weight zero leaves no trace in the items, but still gets a vector fitted to them.

    Reference: Hu, Koren and Volinsky 2008, Collaborative Filtering for Implicit Feedback Datasets, ICDM; loss and
        frequency-scaled regularisation of Rendle, Krichene, Zhang and Koren 2022, Revisiting the Performance
        of iALS on Item Recommendation Benchmarks, RecSys.
    """

    name: ClassVar[str] = "ials"
    title: ClassVar[str] = "iALS"
    family: ClassVar[str] = "factor"
    reference: ClassVar[str] = "Hu, Koren and Volinsky 2008, ICDM; Rendle et al. 2022, RecSys"
    config_type: ClassVar[type[ModelConfig]] = IALSConfig

    def __init__(self, config: IALSConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.epochs: int | None = None
        self.user_vectors = self.item_vectors = torch.empty(0, config.dim)

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        *,
        valid: Split | None = None,
        weights: NDArray[np.float32] | None = None,
        epochs: int | None = None,
        report: Report | None = None,
        device: str = "cpu",
    ) -> None:
        """Alternate between users and items, `epochs` or else `sweeps` times.

        There is no early stopping, `valid` is not read: the loss falls with every update and quality is flat
        after a few. `device` is not used.

        Raises:
            DataError: nothing to fit, wrong weights, or a regularisation too small to solve in float32.
        """
        config = self.config
        pairs = Positives.of(log, weights)
        by_user = log.matrix()
        values = np.ones(len(pairs), np.float32) if pairs.weight is None else pairs.weight
        by_item = sparse.csr_matrix((values, (pairs.item, pairs.user)), by_user.shape[::-1])
        weight = np.ones(log.n_users, np.float32) if weights is None else np.asarray(weights, np.float32)
        of_users = _scaled(config, np.diff(by_user.indptr), float(log.n_items))
        of_items = _scaled(config, by_item.sum(axis=1).A1, float(weight.sum(dtype=np.float64)))

        draw = seeded(seed, "ials", "init").standard_normal((log.n_items, config.dim), np.float32)
        items = torch.from_numpy(draw * np.float32(config.init / config.dim**0.5))
        users = solve(by_user, items, config.unobserved * (items.T @ items), of_users)
        row_weight = torch.from_numpy(weight)[:, None]
        sweeps = config.sweeps if epochs is None else epochs
        for sweep in range(sweeps):
            items = solve(by_item, users, config.unobserved * (users.T @ (row_weight * users)), of_items)
            users = solve(by_user, items, config.unobserved * (items.T @ items), of_users)
            if report is not None:
                report(sweep + 1, sweeps, "ials")
        self.n_users, self.n_items, self.epochs = log.n_users, log.n_items, sweeps
        self.user_vectors, self.item_vectors = users, items

    def embeddings(self) -> tuple[Float32, Float32]:
        """User float32 [U, d] and item float32 [I, d] vectors."""
        return self.user_vectors.numpy(), self.item_vectors.numpy()

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """Products of user and item vectors.

        Shapes: users int64 [B] -> float32 [B, I].
        """
        found: Float32 = (self.user_vectors[torch.from_numpy(users)] @ self.item_vectors.T).numpy()
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """User and item vectors."""
        return {"user_vectors": self.user_vectors, "item_vectors": self.item_vectors}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the vectors."""
        self.n_users, self.n_items = n_users, n_items
        self.user_vectors, self.item_vectors = state["user_vectors"], state["item_vectors"]

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """A vector for each user and item."""
        dim = self.config.dim
        return {
            "user_vectors": ((n_users, dim), torch.float32),
            "item_vectors": ((n_items, dim), torch.float32),
        }


def _scaled(config: IALSConfig, own: NDArray[np.number], others: float) -> Float32:
    """Regularisation of each row from its frequency and the number (weight) of all on the other side."""
    scale = np.asarray(own, np.float64) + config.unobserved * others
    return (config.regularisation * scale**config.exponent).astype(np.float32)


def solve(
    matrix: sparse.csr_matrix, vectors: torch.Tensor, gram: torch.Tensor, regularisation: NDArray[np.floating]
) -> torch.Tensor:
    """Exact update of one side: for each row r the least squares x_r given the other side's vectors y.

    x_r = (sum_c m_rc y_c y_c' + G + lambda_r 1)^-1 sum_c m_rc y_c, in groups of rows of similar length that are
    padded to one length, so that a few batched products and Cholesky factorisations do the work.

    Args:
        matrix: weights m, float32 CSR [R, C].
        vectors: y, float32 or float64 [C, d].
        gram: G, [d, d] of the same type, what all pairs contribute whether observed or not.
        regularisation: lambda, [R] of the same type.

    Returns:
        [R, d] of the same type; rows without cells are zero.

    Raises:
        DataError: a system is singular in that type.
    """
    dim = vectors.shape[1]
    solved = torch.zeros(matrix.shape[0], dim, dtype=vectors.dtype)
    padded = torch.cat([vectors, torch.zeros(1, dim, dtype=vectors.dtype)])
    counts = np.diff(matrix.indptr)
    weighted = bool((matrix.data != 1).any())
    for rows in _groups(counts):
        place = np.arange(counts[rows[-1]])
        present = place < counts[rows][:, None]
        cells = np.where(present, matrix.indptr[rows][:, None] + place, 0)
        near = padded[torch.from_numpy(np.where(present, matrix.indices[cells], len(vectors)))]
        scaled = near
        if weighted:
            scaled = near * torch.from_numpy(matrix.data[cells])[..., None]
        system = torch.baddbmm(gram.expand(len(rows), dim, dim), near.mT, scaled)
        system.diagonal(dim1=1, dim2=2).add_(torch.from_numpy(regularisation[rows])[:, None])
        factor, failed = torch.linalg.cholesky_ex(system, upper=True)
        if bool(failed.any()):
            raise DataError("iALS: the regularisation is too small to solve in float32; raise it")
        solved[torch.from_numpy(rows)] = torch.cholesky_solve(scaled.sum(1)[..., None], factor, upper=True)[..., 0]
    return solved


def _groups(counts: NDArray[np.integer]) -> Iterator[Int64]:
    """Rows that have cells, in groups of similar counts, limited in rows and in cells after padding."""
    order = np.argsort(counts, kind="stable")
    start = int(np.searchsorted(counts[order], 1))
    while start < len(order):
        ahead = counts[order[start : start + _ROWS]].astype(np.int64)
        size = max(1, int(np.count_nonzero(np.arange(1, len(ahead) + 1) * ahead <= _CELLS)))
        yield order[start : start + size]
        start += size
