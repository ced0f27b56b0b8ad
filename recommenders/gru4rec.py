"""GRU4Rec: next-item prediction by a gated recurrent unit."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from .network import Dropout, Network
from .sequential import SequentialConfig, SequentialModel


class GRU4RecConfig(SequentialConfig):
    """Hyper-parameters of GRU4Rec."""

    hidden: int = Field(64, ge=1, le=4096, description="width of the recurrent state")
    layers: int = Field(1, ge=1, le=16, description="recurrent layers")
    bias: bool = Field(True, description="whether the recurrent unit has biases; RecBole's has none")


class _Recurrent(Network):
    """Item vectors, a GRU, and a dense layer back to the length of an item vector."""

    def __init__(self, n_items: int, config: GRU4RecConfig, text_width: int | None) -> None:
        super().__init__(n_items, config.dim, text_width)
        self.gru = torch.nn.GRU(config.dim, config.hidden, config.layers, bias=config.bias, batch_first=True)
        self.dense = torch.nn.Linear(config.hidden, config.dim)

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See Network."""
        states, _ = self.gru(drop(functional.embedding(items, table)))
        out: torch.Tensor = self.dense(drop(states))
        return out


class GRU4Rec(SequentialModel):
    """A gated recurrent unit over the last items of a user; item vectors serve as input and output.

    Other than in the paper: whole sequences of users instead of sessions in parallel, and the softmax over the
    catalogue (or sampled negatives that stand for it) as loss.

    Reference: Hidasi et al. 2016, Session-based Recommendations with Recurrent Neural Networks. For sampled losses
    with popularity-drawn negatives: Hidasi and Karatzoglou 2018, Recurrent Neural Networks with Top-k Gains.
    """

    name: ClassVar[str] = "gru4rec"
    title: ClassVar[str] = "GRU4Rec"
    reference: ClassVar[str] = "Hidasi et al. 2016, Session-based Recommendations with Recurrent Neural Networks, ICLR"
    config_type: ClassVar[type[GRU4RecConfig]] = GRU4RecConfig
    config: GRU4RecConfig

    def network(self, n_items: int, text_width: int | None = None) -> Network:
        """See SequentialModel."""
        return _Recurrent(n_items, self.config, text_width)

    def spread(self, name: str, shape: tuple[int, ...]) -> float:
        """See SequentialModel."""
        return 0.1 if name == "item" else 1.0 / math.sqrt(shape[-1])
