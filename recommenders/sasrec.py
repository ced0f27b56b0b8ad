"""SASRec: next-item prediction by causal self-attention."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch.nn import functional

from .attention import AttentionConfig, Block
from .network import Dropout, Network
from .sequential import SequentialModel


class SASRecConfig(AttentionConfig):
    """Hyper-parameters of SASRec."""


class _SelfAttention(Network):
    """Item and position vectors, blocks, and a normalisation: the last thing done, or with norm=after the first."""

    def __init__(self, n_items: int, config: SASRecConfig, text_width: int | None) -> None:
        super().__init__(n_items, config.dim, text_width)
        self.position = torch.nn.Parameter(torch.empty(config.max_length, config.dim))
        self.after = config.norm == "after"
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config.layers))
        self.last_norm = torch.nn.LayerNorm(config.dim, config.epsilon)

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See Network; positions count from the beginning of the row."""
        scale = 1.0 if self.after else math.sqrt(table.shape[1])
        x = functional.embedding(items, table) * scale + self.position[: items.shape[1]]
        x = drop(self.last_norm(x) if self.after else x)
        for block in self.blocks:
            own: Block = block  # type: ignore[assignment]
            x = own.encode(x, drop)
        return x if self.after else self.last_norm(x)


class SASRec(SequentialModel):
    """Causal self-attention over the last items of a user; item vectors serve as input and output.

    As in the paper: learned positions, normalisation before each sublayer, residuals, dropout, shared item table.
    Other than in the paper: every position is trained against the softmax over the catalogue (or sampled negatives
    that stand for it) instead of one negative, and attention weights are not dropped.

    Reference: Kang and McAuley 2018, Self-Attentive Sequential Recommendation, section III. For the loss:
    Klenitskiy and Vasilev 2023, Turning Dross Into Gold Loss: is BERT4Rec really better than SASRec?
    """

    name: ClassVar[str] = "sasrec"
    title: ClassVar[str] = "SASRec"
    reference: ClassVar[str] = "Kang and McAuley 2018, Self-Attentive Sequential Recommendation, ICDM"
    config_type: ClassVar[type[SASRecConfig]] = SASRecConfig
    config: SASRecConfig

    def network(self, n_items: int, text_width: int | None = None) -> Network:
        """See SequentialModel."""
        return _SelfAttention(n_items, self.config, text_width)

    def spread(self, name: str, shape: tuple[int, ...]) -> float:
        """See SequentialModel."""
        return 0.1 if name in ("item", "position") else math.sqrt(2.0 / sum(shape))
