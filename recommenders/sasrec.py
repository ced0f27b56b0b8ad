"""SASRec: next-item prediction by causal self-attention."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch.nn import functional

from .network import Dropout, Network
from .sequential import SequentialConfig, SequentialModel


class SASRecConfig(SequentialConfig):
    """Hyper-parameters of SASRec."""

    layers: int = Field(2, ge=1, le=64, description="attention blocks")
    heads: int = Field(1, ge=1, le=64, description="attention heads; must divide dim")
    inner: int = Field(1, ge=1, le=16, description="width of the feed-forward layer, in dims")

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> SASRecConfig:
        if self.dim % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide dim ({self.dim})")
        return self


class _Block(torch.nn.Module):
    """Self-attention and a feed-forward layer, each normalised before and added to what came in."""

    def __init__(self, dim: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = torch.nn.LayerNorm(dim)
        self.query_key_value = torch.nn.Linear(dim, 3 * dim)
        self.attention_out = torch.nn.Linear(dim, dim)
        self.forward_norm = torch.nn.LayerNorm(dim)
        self.forward_in = torch.nn.Linear(dim, inner * dim)
        self.forward_out = torch.nn.Linear(inner * dim, dim)

    def encode(self, x: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """A block's output, float [B, L, d], from its input, float [B, L, d]."""
        parts: torch.Tensor = self.query_key_value(self.attention_norm(x))
        query, key, value = parts.view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + drop(self.attention_out(seen.transpose(1, 2).flatten(2)))
        wide = functional.relu(self.forward_in(self.forward_norm(x)))
        added: torch.Tensor = x + drop(self.forward_out(wide))
        return added


class _SelfAttention(Network):
    """Item and position vectors, blocks, a last normalisation."""

    def __init__(self, n_items: int, config: SASRecConfig, text_width: int | None) -> None:
        super().__init__(n_items, config.dim, text_width)
        self.position = torch.nn.Parameter(torch.empty(config.max_length, config.dim))
        self.blocks = torch.nn.ModuleList(_Block(config.dim, config.heads, config.inner) for _ in range(config.layers))
        self.last_norm = torch.nn.LayerNorm(config.dim)

    def encode(self, items: torch.Tensor, table: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """See Network; positions count from the beginning of the row."""
        scale = math.sqrt(table.shape[1])
        x = drop(functional.embedding(items, table) * scale + self.position[: items.shape[1]])
        for block in self.blocks:
            assert_block: _Block = block  # type: ignore[assignment]
            x = assert_block.encode(x, drop)
        last: torch.Tensor = self.last_norm(x)
        return last


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
