"""SASRec: next-item prediction by causal self-attention."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

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
    norm: Literal["before", "after"] = Field(
        "before",
        description="before: each sublayer's input is normalised, item vectors are scaled, as in the paper; after: what "
        "each sublayer adds to is normalised, and the sum of item and position, as in BERT and RecBole",
    )
    activation: Literal["relu", "gelu"] = Field("relu", description="of the feed-forward layer")
    epsilon: float = Field(1e-5, gt=0, le=1e-2, description="added to the variance in each normalisation")

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> SASRecConfig:
        if self.dim % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide dim ({self.dim})")
        return self


class _Block(torch.nn.Module):
    """Self-attention and a feed-forward layer, each added to what came in, normalised before or after."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        dim, inner = config.dim, config.inner
        self.heads = config.heads
        self.after = config.norm == "after"
        self.activation = functional.gelu if config.activation == "gelu" else functional.relu
        self.attention_norm = torch.nn.LayerNorm(dim, config.epsilon)
        self.query_key_value = torch.nn.Linear(dim, 3 * dim)
        self.attention_out = torch.nn.Linear(dim, dim)
        self.forward_norm = torch.nn.LayerNorm(dim, config.epsilon)
        self.forward_in = torch.nn.Linear(dim, inner * dim)
        self.forward_out = torch.nn.Linear(inner * dim, dim)

    def encode(self, x: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """A block's output, float [B, L, d], from its input, float [B, L, d]."""
        if self.after:
            x = self.attention_norm(x + self._attend(x, drop))
            normed: torch.Tensor = self.forward_norm(x + self._forward(x, drop))
            return normed
        x = x + self._attend(self.attention_norm(x), drop)
        return x + self._forward(self.forward_norm(x), drop)

    def _attend(self, x: torch.Tensor, drop: Dropout) -> torch.Tensor:
        parts: torch.Tensor = self.query_key_value(x)
        query, key, value = parts.view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return drop(self.attention_out(seen.transpose(1, 2).flatten(2)))

    def _forward(self, x: torch.Tensor, drop: Dropout) -> torch.Tensor:
        return drop(self.forward_out(self.activation(self.forward_in(x))))


class _SelfAttention(Network):
    """Item and position vectors, blocks, and a normalisation: the last thing done, or with norm=after the first."""

    def __init__(self, n_items: int, config: SASRecConfig, text_width: int | None) -> None:
        super().__init__(n_items, config.dim, text_width)
        self.position = torch.nn.Parameter(torch.empty(config.max_length, config.dim))
        self.after = config.norm == "after"
        self.blocks = torch.nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.last_norm = torch.nn.LayerNorm(config.dim, config.epsilon)

    def encode(self, items: torch.Tensor, table: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """See Network; positions count from the beginning of the row."""
        scale = 1.0 if self.after else math.sqrt(table.shape[1])
        x = functional.embedding(items, table) * scale + self.position[: items.shape[1]]
        x = drop(self.last_norm(x) if self.after else x)
        for block in self.blocks:
            assert_block: _Block = block  # type: ignore[assignment]
            x = assert_block.encode(x, drop)
        return x if self.after else self.last_norm(x)  # type: ignore[no-any-return]


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
