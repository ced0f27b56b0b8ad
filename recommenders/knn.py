"""Item-based nearest neighbours with cosine similarity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from ..datasets.errors import CheckpointError
from ..datasets.log import Float32, Int32, InteractionLog
from ..datasets.split import Split
from .base import ModelConfig, Report
from .consumed import consumed
from .cooccurrence import cooccurrence
from .ranking import top_k
from .sampling import Positives


class ItemKNNConfig(ModelConfig):
    """Hyper-parameters of ItemKNN."""

    neighbours: int = Field(100, ge=1, description="most similar items kept for each item")
    shrinkage: float = Field(10.0, ge=0, description="added to the denominator: doubts similarities of rare items")


class ItemKNN:
    """An item scored by its similarity to what is in the user's history, over its nearest neighbours.

    sim(i, j) = n_ij / (sqrt(n_i n_j) + shrinkage), n in users (or their weights). Milliseconds to fit and able
    to serve users it was not fitted on, hence the base of certificates by bagging.

    Reference: Deshpande and Karypis 2004, Item-based top-N recommendation algorithms, ACM TOIS 22(1); shrinkage
        as in Ferrari Dacrema, Cremonesi and Jannach 2019, RecSys, section 3.2 (ItemKNN).
    """

    name: ClassVar[str] = "itemknn"
    title: ClassVar[str] = "Item-based neighbours"
    family: ClassVar[str] = "neighbour"
    reference: ClassVar[str] = "Deshpande and Karypis 2004, ACM TOIS 22(1)"
    config_type: ClassVar[type[ModelConfig]] = ItemKNNConfig
    epochs: int | None = None

    def __init__(self, config: ItemKNNConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.neighbours: Int32 = np.empty((0, 0), np.int32)  # [I, N], -1 for none
        self.similarities: Float32 = np.empty((0, 0), np.float32)  # [I, N], 0 for none
        self._by_history = sparse.csr_matrix(np.empty((0, 0), np.float32))

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
        """Find the neighbours; only `log` and `weights` matter.

        Raises:
            DataError: nothing to fit, or wrong weights.
        """
        pairs = Positives.of(log, weights)
        norms = np.sqrt(np.bincount(pairs.item, weights=pairs.weight, minlength=log.n_items)).astype(np.float32)
        width = self._width(log.n_items)
        neighbours = np.empty((log.n_items, width), np.int32)
        similarities = np.empty((log.n_items, width), np.float32)
        for rows, together in cooccurrence(pairs):
            together[np.arange(len(together)), np.arange(rows.start, rows.stop)] = 0.0
            # The denominator is positive wherever the count is: an unseen item has neither.
            scale = norms[rows, None] * norms + np.float32(self.config.shrinkage)
            similar = np.divide(together, scale, out=together, where=together > 0)
            similar[similar == 0] = -np.inf
            neighbours[rows], similarities[rows] = top_k(similar, width)
        similarities[neighbours < 0] = 0.0
        self._take(neighbours, similarities, log.n_users, log.n_items)

    def _width(self, n_items: int) -> int:
        return min(self.config.neighbours, n_items)

    def _take(self, neighbours: Int32, similarities: Float32, n_users: int, n_items: int) -> None:
        self.n_users, self.n_items = n_users, n_items
        self.neighbours, self.similarities = neighbours, similarities
        target, place = np.nonzero(neighbours >= 0)
        values = similarities[target, place]
        shape = (n_items, n_items)
        self._by_history = sparse.csr_matrix((values, (neighbours[target, place], target)), shape)

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """Sums of similarities to what these users have in their history.

        Shapes: users int64 [B] -> float32 [B, I].
        """
        found: Float32 = (consumed(history)[users] @ self._by_history).toarray()
        return found

    def state(self) -> dict[str, torch.Tensor]:
        """Neighbours of each item and how similar they are."""
        return {
            "neighbours": torch.from_numpy(self.neighbours),
            "similarities": torch.from_numpy(self.similarities),
        }

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the neighbours.

        Raises:
            CheckpointError: a neighbour is no item.
        """
        neighbours = state["neighbours"].numpy()
        if neighbours.size and (int(neighbours.min()) < -1 or int(neighbours.max()) >= n_items):
            raise CheckpointError(f"itemknn: tensor 'neighbours' holds indices outside -1..{n_items - 1}")
        self._take(neighbours, state["similarities"].numpy(), n_users, n_items)

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """N columns for each item."""
        shape = (n_items, self._width(n_items))
        return {"neighbours": (shape, torch.int32), "similarities": (shape, torch.float32)}
