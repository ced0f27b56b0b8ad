"""The same list for everybody: items by their number of users, ever or lately."""

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
from .sampling import Positives

_DAY = 86_400


class PopularityConfig(ModelConfig):
    """Popularity has nothing to choose."""


class RecentPopularityConfig(ModelConfig):
    """Hyper-parameters of RecentPopularity."""

    days: float = Field(7.0, gt=0, description="how far back from the last event users are counted")


class Popularity:
    """Items scored by their number of distinct users.

    What a personalised model must beat; and what an attack with few accounts can hardly move for a popular
    item but easily for the tail.

    Reference: Cremonesi, Koren and Turrin 2010, Performance of Recommender Algorithms on Top-N Recommendation
        Tasks, RecSys, section 3.1 (TopPop).
    """

    name: ClassVar[str] = "popularity"
    title: ClassVar[str] = "Popularity"
    family: ClassVar[str] = "popularity"
    reference: ClassVar[str] = "Cremonesi, Koren and Turrin 2010, RecSys, section 3.1 (TopPop)"
    config_type: ClassVar[type[ModelConfig]] = PopularityConfig
    epochs: int | None = None

    def __init__(self, config: ModelConfig) -> None:
        """Store the config; compute nothing."""
        self.config = config
        self.n_users = self.n_items = 0
        self.counts: Float32 = np.empty(0, np.float32)

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
        """Count; only `log` and `weights` (a user counts by its weight) matter.

        Raises:
            DataError: nothing to count, or weights that are no weights.
        """
        pairs = Positives.of(self.counted(log, weights), weights)
        counts = np.bincount(pairs.item, weights=pairs.weight, minlength=log.n_items)
        self.n_users, self.n_items, self.counts = log.n_users, log.n_items, counts.astype(np.float32)

    def counted(self, log: InteractionLog, weights: NDArray[np.float32] | None) -> InteractionLog:
        """The events that count: all."""
        return log

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """The counts, once for each user.

        Shapes: users int64 [B] -> float32 [B, I].
        """
        return np.tile(self.counts, (len(users), 1))

    def state(self) -> dict[str, torch.Tensor]:
        """The counts."""
        return {"counts": torch.from_numpy(self.counts)}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the counts."""
        self.n_users, self.n_items, self.counts = n_users, n_items, state["counts"].numpy()

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """One number an item."""
        return {"counts": ((n_items,), torch.float32)}


class RecentPopularity(Popularity):
    """Items scored by their number of distinct users in the last days of the log.

    Where tastes follow releases it beats most personalised models on a split by time: an audit that shows
    only all-time popularity flatters its victim.

    Reference: Ji, Sun, Zhang and Li 2020, A Re-visit of the Popularity Baseline in Recommender Systems, SIGIR
        (RecentPop).
    """

    name: ClassVar[str] = "recent-popularity"
    title: ClassVar[str] = "Recent popularity"
    reference: ClassVar[str] = "Ji, Sun, Zhang and Li 2020, SIGIR (RecentPop)"
    config_type: ClassVar[type[ModelConfig]] = RecentPopularityConfig
    config: RecentPopularityConfig

    def counted(self, log: InteractionLog, weights: NDArray[np.float32] | None) -> InteractionLog:
        """The events of the last days before the last event; users of weight zero do not set the end.

        Raises:
            DataError: the log has no times.
        """
        if log.time is None:
            raise DataError("recent popularity needs times (Unix seconds); this log has none, use popularity")
        present = np.ones(len(log), bool)
        if weights is not None and np.shape(weights) == (log.n_users,):  # else Positives says what is wrong
            present = np.asarray(weights)[log.user] > 0
        if not present.any():
            return log
        last = int(log.time[present].max())
        return log.take(present & (log.time > last - self.config.days * _DAY))
