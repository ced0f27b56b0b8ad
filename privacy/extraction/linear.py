"""A student for models that read a history as a set: scores are sums over its items, of low rank."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch.nn import functional

from ...recommenders.base import ModelConfig
from ...recommenders.network import Dropout, Network
from ...recommenders.sequential import SequentialConfig, SequentialModel


class _Sums(Network):
    """Item vectors as output, others as input: the state is the sum of the inputs so far over the root of their number.

    The root changes no ranking; it keeps scores of long and short histories of one size, as the loss has fixed margins.
    """

    def __init__(self, n_items: int, dim: int) -> None:
        super().__init__(n_items, dim)
        self.read = torch.nn.Parameter(torch.empty(n_items, dim))

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See Network."""
        number = torch.arange(1, items.shape[1] + 1, dtype=table.dtype, device=table.device)
        return drop(functional.embedding(items, self.read)).cumsum(1) / number.sqrt()[:, None]


class LinearStudent(SequentialModel):
    """Linear item-to-item weights of rank `dim`: what EASE and ItemKNN are, of less rank.

    It has no positions, so histories longer than those it was trained on are read whole, up to `max_length`.
    """

    name: ClassVar[str] = "linear"
    title: ClassVar[str] = "Linear item weights of low rank"
    reference: ClassVar[str] = "the form of Steck 2019, Embarrassingly Shallow Autoencoders for Sparse Data, WWW"
    config_type: ClassVar[type[ModelConfig]] = SequentialConfig

    def network(self, n_items: int, text_width: int | None = None) -> Network:
        """See SequentialModel; items are ids."""
        return _Sums(n_items, self.config.dim)

    def spread(self, name: str, shape: tuple[int, ...]) -> float:
        """See SequentialModel."""
        return 0.1
