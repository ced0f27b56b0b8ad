"""Blocks of self-attention that SASRec and BERT4Rec share."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch.nn import functional

from .network import Dropout
from .sequential import SequentialConfig


class AttentionConfig(SequentialConfig):
    """Hyper-parameters of models made of attention blocks."""

    layers: int = Field(2, ge=1, le=64, description="attention blocks")
    heads: int = Field(1, ge=1, le=64, description="attention heads; must divide dim")
    inner: int = Field(1, ge=1, le=16, description="width of the feed-forward layer, in dims")
    norm: Literal["before", "after", "query"] = Field(
        "before",
        description="before: each sublayer's input is normalised, item vectors scaled (SASRec's paper); after: what "
        "each sublayer adds to is normalised, and the sum of item and position (BERT, RecBole); query: as before, but "
        "keys and values are not normalised, and sublayers add to what is (SASRec's code)",
    )
    activation: Literal["relu", "gelu"] = Field("relu", description="of the feed-forward layer")
    epsilon: float = Field(1e-5, gt=0, le=1e-2, description="added to the variance in each normalisation")

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> AttentionConfig:
        if self.dim % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide dim ({self.dim})")
        return self


class Block(torch.nn.Module):
    """Self-attention and a feed-forward layer, each added to what came in, normalised before or after."""

    def __init__(self, config: AttentionConfig) -> None:
        """Make the parameters."""
        super().__init__()
        dim, inner = config.dim, config.inner
        self.heads = config.heads
        self.norm = config.norm
        self.activation = functional.gelu if config.activation == "gelu" else functional.relu
        self.attention_norm = torch.nn.LayerNorm(dim, config.epsilon)
        self.query_key_value = torch.nn.Linear(dim, 3 * dim)
        self.attention_out = torch.nn.Linear(dim, dim)
        self.forward_norm = torch.nn.LayerNorm(dim, config.epsilon)
        self.forward_in = torch.nn.Linear(dim, inner * dim)
        self.forward_out = torch.nn.Linear(inner * dim, dim)

    def encode(self, x: torch.Tensor, drop: Dropout, mask: torch.Tensor | None = None) -> torch.Tensor:
        """A block's output, float [B, L, d], from its input, float [B, L, d].

        Every position sees those before it and itself; with a mask [B, 1, L or 1, L] those where it is true or, of
        numbers, as much as they add to the logits.
        """
        if self.norm == "after":
            x = self.attention_norm(x + self._attend(x, x, drop, mask))
            normed: torch.Tensor = self.forward_norm(x + self._forward(x, drop))
            return normed
        asking = self.attention_norm(x)
        if self.norm == "query":
            x = self.forward_norm(asking + self._attend(asking, x, drop, mask))
            return x + self._forward(x, drop)
        x = x + self._attend(asking, asking, drop, mask)
        return x + self._forward(self.forward_norm(x), drop)

    def _attend(self, asking: torch.Tensor, x: torch.Tensor, drop: Dropout, mask: torch.Tensor | None) -> torch.Tensor:
        if asking is x:
            parts: torch.Tensor = self.query_key_value(x)
        else:
            weight, bias = self.query_key_value.weight, self.query_key_value.bias
            width = x.shape[-1]
            query = functional.linear(asking, weight[:width], bias[:width])
            parts = torch.cat([query, functional.linear(x, weight[width:], bias[width:])], -1)
        query, key, value = parts.view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        return drop(self.attention_out(read.transpose(1, 2).flatten(2)))

    def _forward(self, x: torch.Tensor, drop: Dropout) -> torch.Tensor:
        return drop(self.forward_out(self.activation(self.forward_in(x))))
