"""What a victim is: one protocol, and small protocols for what only some can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..datasets.log import Float32, InteractionLog
from ..datasets.split import Split

Report = Callable[[int, int, str], None]
"""Progress of a training: step, steps, text."""


class ModelConfig(BaseModel):
    """Base of every model's hyper-parameters; unknown fields are refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@runtime_checkable
class Recommender(Protocol):
    """Anything that scores items for users.

    `n_users` and `n_items` are those of the log it was fitted on. `history` is what may be read of the
    users' past when scoring: sequence and item-based models do, models with user factors ignore it. It is
    never used to mask: masking consumed items is the ranking's job (ranking.py).
    """

    n_users: int
    n_items: int

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """Scores of all items for these users.

        Shapes: users int64 [B] -> float32 [B, I]; higher ranks first.
        """
        ...


class Model(Protocol):
    """A native recommender: built from a recipe, fitted on a log, saved as tensors.

    A model file holds a pydantic config and a class with these members, and one line in `catalogue.py`.
    Fitting is deterministic: the same log, config, seed and epochs give the same bytes.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    family: ClassVar[str]  # "popularity", "neighbour", "linear", "factor", "graph" or "sequential"
    reference: ClassVar[str]
    config_type: ClassVar[type[ModelConfig]]
    config: Any
    n_users: int
    n_items: int
    epochs: int | None  # epochs that fit() ran and kept; None for models without epochs

    def __init__(self, config: Any) -> None:
        """Store the config; compute nothing."""
        ...

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
        """Fit from scratch.

        Args:
            log: the training events.
            seed: seeds every random choice.
            valid: with it, training stops early by validation NDCG@20 and keeps the best epoch.
            weights: float32 [U], a weight per user in the loss (all ones if None).
            epochs: run exactly so many epochs, without validation: how refits repeat the owner's training.
            report: called with progress.
            device: a torch device for models that train by gradient.
        """
        ...

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """The fitted tensors, CPU, contiguous."""
        ...

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take fitted tensors; `shapes` has already been checked by the checkpoint reader."""
        ...

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor that `state` gives at this size; -1 where free (nnz)."""
        ...


class Embeds(Protocol):
    """A model whose score is a dot product of a user and an item vector."""

    def embeddings(self) -> tuple[Float32, Float32]:
        """Final user float32 [U, d] and item float32 [I, d] vectors."""
        ...


@runtime_checkable
class ReadsText(Recommender, Protocol):
    """A model that scores items by their texts, so that a new text takes effect without training.

    Attributes:
        reads_text: False for a model of such a class that was fitted on ids alone.
    """

    reads_text: bool

    def reading(self, log: InteractionLog) -> Self:
        """This model after it has read the texts of the log's items again."""
        ...

    def text_scores(self, users: NDArray[np.int64], history: InteractionLog, texts: Sequence[str]) -> Float32:
        """What items with these texts would score for users who have none of them: float32 [B, N]."""
        ...


@dataclass(frozen=True)
class Recipe:
    """How to build a model again: its name, hyper-parameters and number of epochs."""

    model: str
    config: Mapping[str, Any]
    epochs: int | None = None
