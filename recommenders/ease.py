"""EASE: a linear item-to-item model with a closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ..datasets.errors import DataError
from ..datasets.log import Float32, InteractionLog
from ..datasets.split import Split
from .base import ModelConfig, Report
from .consumed import consumed
from .cooccurrence import cooccurrence
from .sampling import Positives


class EASEConfig(ModelConfig):
    """Hyper-parameters of EASE."""

    regularisation: float = Field(300.0, gt=0, description="lambda, the weight of the squared item weights")
    memory_gb: float = Field(4.0, gt=0, description="refuse catalogues whose two I x I matrices need more")


class EASE:
    """Each item predicted from the others, the least squares solution with a zero diagonal.

    With W the user weights and P the inverse of X'WX + lambda 1, the item weights are B = 1 - P / diag(P) by
    columns. Exact and fast, so it is the yardstick beside a victim and the exact oracle of unlearning.

    Reference: Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data, WWW, equation 8.
    """

    name: ClassVar[str] = "ease"
    title: ClassVar[str] = "EASE"
    family: ClassVar[str] = "linear"
    reference: ClassVar[str] = "Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data, WWW"
    config_type: ClassVar[type[ModelConfig]] = EASEConfig
    epochs: int | None = None

    def __init__(self, config: EASEConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.item_weights: Float32 = np.empty((0, 0), np.float32)

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
        """Solve; only `log` and `weights` matter.

        Raises:
            DataError: the catalogue is too large for I x I memory, nothing to fit, or wrong weights.
        """
        need = 2 * 4 * log.n_items**2 / 1e9
        if need > self.config.memory_gb:
            raise DataError(
                f"EASE needs {need:.1f} GB for two {log.n_items:,} x {log.n_items:,} item matrices, "
                f"memory_gb allows {self.config.memory_gb:g}; raise it, or use ials or itemknn"
            )
        gram = torch.empty(log.n_items, log.n_items)
        for rows, values in cooccurrence(Positives.of(log, weights)):
            gram[rows] = torch.from_numpy(values)
        gram.diagonal().add_(self.config.regularisation)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if int(failed):
            raise DataError(f"EASE: regularisation {self.config.regularisation:g} is too small for these data")
        inverse = torch.cholesky_inverse(factor, out=gram)
        inverse /= -inverse.diagonal().clone()
        inverse.fill_diagonal_(0.0)
        self.n_users, self.n_items, self.item_weights = log.n_users, log.n_items, inverse.numpy()

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """Sums of the item weights of what these users have in their history.

        Shapes: users int64 [B] -> float32 [B, I].
        """
        found: Float32 = consumed(history)[users] @ self.item_weights
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """The item weights."""
        return {"item_weights": torch.from_numpy(self.item_weights)}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the item weights."""
        self.n_users, self.n_items, self.item_weights = n_users, n_items, state["item_weights"].numpy()

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """A square matrix over items."""
        return {"item_weights": ((n_items, n_items), torch.float32)}
