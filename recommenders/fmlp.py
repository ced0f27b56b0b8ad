"""FMLP-Rec: next-item prediction by filters over the sequence and feed-forward layers, without attention."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from .network import Dropout, Network
from .sequential import SequentialConfig, SequentialModel


class FMLPRecConfig(SequentialConfig):
    """Hyper-parameters of FMLP-Rec."""

    layers: int = Field(2, ge=1, le=64, description="blocks of a filter and a feed-forward layer")
    inner: int = Field(4, ge=1, le=16, description="width of the feed-forward layer, in dims")


class _Block(torch.nn.Module):
    """A filter and a feed-forward layer, each added to what came in and normalised."""

    def __init__(self, dim: int, inner: int, longest: int) -> None:
        super().__init__()
        self.filter = torch.nn.Parameter(torch.empty(longest, dim))
        self.filter_norm = torch.nn.LayerNorm(dim)
        self.forward_in = torch.nn.Linear(dim, inner * dim)
        self.forward_out = torch.nn.Linear(inner * dim, dim)
        self.forward_norm = torch.nn.LayerNorm(dim)

    def encode(self, x: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """A block's output, float [B, L, d], from its input, float [B, L, d]."""
        x = self.filter_norm(x + drop(filtered(x, self.filter)))
        wide = functional.gelu(self.forward_in(x))
        out: torch.Tensor = self.forward_norm(x + drop(self.forward_out(wide)))
        return out


def filtered(x: torch.Tensor, taps: torch.Tensor) -> torch.Tensor:
    """y_t = sum_s taps_s * x_{t-s}, channel by channel, by FFT: float [B, L, d] and [>= L, d] -> [B, L, d].

    Rows are padded to twice their length, so that the product of spectra is no circular convolution and position t
    takes nothing from later ones.
    """
    length = x.shape[1]
    size = 2 * length
    spectrum = torch.fft.rfft(x, size, dim=1) * torch.fft.rfft(taps[:length], size, dim=0)
    found: torch.Tensor = torch.fft.irfft(spectrum, size, dim=1)[:, :length]
    return found


class _Filters(Network):
    """Item and position vectors, normalised, and blocks."""

    def __init__(self, n_items: int, config: FMLPRecConfig, text_width: int | None) -> None:
        super().__init__(n_items, config.dim, text_width)
        self.position = torch.nn.Parameter(torch.empty(config.max_length, config.dim))
        self.first_norm = torch.nn.LayerNorm(config.dim)
        self.blocks = torch.nn.ModuleList(
            _Block(config.dim, config.inner, config.max_length) for _ in range(config.layers)
        )

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See Network; positions count from the beginning of the row."""
        x = drop(self.first_norm(functional.embedding(items, table) + self.position[: items.shape[1]]))
        for block in self.blocks:
            assert_block: _Block = block  # type: ignore[assignment]
            x = assert_block.encode(x, drop)
        return x


class FMLPRec(SequentialModel):
    """Learnable filters over the last items of a user, and feed-forward layers; item vectors are input and output.

    As in the paper: positions, a learnt filter for every channel and block, residuals, normalisation after each
    sublayer. Other than in the paper: the filter is causal. The paper multiplies the spectrum of the whole row, a
    circular convolution in which every position sees all others, and can therefore learn from the last position of a
    prefix alone; a causal one lets every position be a target, as in the other sequence models here, with the same
    softmax over the catalogue (or sampled negatives that stand for it) as loss.

    Reference: Zhou et al. 2022, Filter-enhanced MLP is All You Need for Sequential Recommendation, section 3.
    """

    name: ClassVar[str] = "fmlp-rec"
    title: ClassVar[str] = "FMLP-Rec"
    reference: ClassVar[str] = (
        "Zhou et al. 2022, Filter-enhanced MLP is All You Need for Sequential Recommendation, WWW, section 3"
    )
    config_type: ClassVar[type[FMLPRecConfig]] = FMLPRecConfig
    config: FMLPRecConfig

    def network(self, n_items: int, text_width: int | None = None) -> Network:
        """See SequentialModel."""
        return _Filters(n_items, self.config, text_width)

    def spread(self, name: str, shape: tuple[int, ...]) -> float:
        """See SequentialModel."""
        if name in ("item", "position"):
            return 0.1
        return 0.02 if name.endswith("filter") else math.sqrt(2.0 / sum(shape))
