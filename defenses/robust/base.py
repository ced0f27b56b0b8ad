"""What the robust trainings share: a wrapper around the victim's own training, warm-up, losses by user."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from pydantic import Field

from ...datasets.log import InteractionLog
from ...recommenders.trainer import Compared, RankingTraining, Trainable
from ..base import DefenseConfig


class WarmUpConfig(DefenseConfig):
    """Settings of the trainings that change something only after, or gradually during, the first epochs."""

    warm_up: int | None = Field(default=5, ge=0, description="epochs of the warm-up, at most; null: no limit")
    warm_up_share: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="and at most this share of all epochs, so that short trainings are defended",
    )


class Hardened(Trainable[Any]):
    """A victim's training whose comparison of vectors is changed; all else is the victim's own.

    Attributes:
        config: the defence's settings.
        training: the victim's.
        nodes: what `training.users` stays below.
        seed: of everything the defence draws; the victim's own draws are not touched.
        planned: how many epochs will be run, or None if that is not known.
        epoch: the epoch that runs, from 1.
        step: steps that were made in it.
    """

    def __init__(
        self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None, config: Any
    ) -> None:
        """Keep them; compute nothing."""
        self.config = config
        self.training = training
        self.nodes = log.n_users + log.n_items
        self.seed = seed
        self.planned = epochs
        self.epoch = 0
        self.step = 0

    def parameters(self) -> list[torch.nn.Parameter]:
        """See Trainable."""
        return self.training.parameters()

    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """The victim's batches; every call is an epoch."""
        self.epoch, self.step = self.epoch + 1, 0
        self.begin()
        yield from self.rows(rng)

    def begin(self) -> None:
        """Called when an epoch begins; `epoch` is its number."""

    def rows(self, rng: np.random.Generator) -> Iterator[Any]:
        """The batches of the epoch."""
        yield from self.training.batches(rng)

    def loss(self, batch: Any, rng: torch.Generator) -> torch.Tensor:
        """See Trainable; the rest of the victim's loss stays as it is."""
        vectors, rest = self.training.vectors(batch, rng)
        value = self.compared(vectors, batch)
        self.step += 1
        return value if rest is None else value + rest

    @abstractmethod
    def compared(self, vectors: Compared, batch: Any) -> torch.Tensor:
        """What stands for `training.ranking`."""

    def refresh(self) -> None:
        """See Trainable."""
        self.training.refresh()

    def warm_up(self, config: WarmUpConfig) -> int:
        """Epochs of the warm-up: the smaller of both limits, rounded down; a share of what is not known is no limit."""
        limits = [] if config.warm_up is None else [config.warm_up]
        limits += [] if self.planned is None else [int(config.warm_up_share * self.planned)]
        return min(limits, default=0)


class UserMeans:
    """The mean loss of each user over an epoch's rows, and over epochs if `keep` is not zero."""

    def __init__(self, nodes: int, keep: float = 0.0) -> None:
        """Nothing is known yet; `keep` is what an older mean counts against the newest epoch's."""
        self.nodes = nodes
        self.keep = keep
        self.sum: torch.Tensor | None = None
        self.count: torch.Tensor | None = None
        self.mean: torch.Tensor | None = None

    def add(self, users: torch.Tensor, losses: torch.Tensor) -> None:
        """Count rows. Shapes: users int64 [B], losses float [B]."""
        if self.sum is None or self.count is None:
            self.sum, self.count = losses.new_zeros(self.nodes), losses.new_zeros(self.nodes)
        self.sum.index_add_(0, users, losses)
        self.count.index_add_(0, users, torch.ones_like(losses))

    def close(self) -> torch.Tensor | None:
        """End an epoch: the means, float [nodes], NaN where nothing was counted; None if nothing was at all."""
        if self.sum is not None and self.count is not None:
            newest = self.sum / self.count
            older = newest if self.mean is None else self.mean
            self.mean = torch.where(older.isnan(), newest, self.keep * older + (1 - self.keep) * newest)
            self.sum = self.count = None
        return self.mean


def weighed(weights: torch.Tensor | None, factor: torch.Tensor | None) -> torch.Tensor | None:
    """The log's weights of the rows times the defence's, either of which may be None for all ones."""
    if weights is None or factor is None:
        return factor if weights is None else weights
    return weights * factor
