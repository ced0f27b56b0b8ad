"""Networks that read sequences of items: where item vectors come from, and dropout that can be repeated."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from ..datasets.seeding import rng as seeded


class Dropout:
    """Inverted dropout whose masks come from a given generator, never from torch's global one."""

    def __init__(self, rate: float, rng: torch.Generator | None) -> None:
        """Without a generator nothing is dropped: scoring."""
        self.limit = round(rate * 0x10000) - 0x8000
        self.scale = 1.0 / (1.0 - rate)
        self.rng = None if rate == 0 else rng

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Drop and rescale; any shape. The rate is rounded to 1/65536: a word of 64 random bits serves four values."""
        if self.rng is None:
            return values
        size = values.numel()
        words = torch.empty(-(-size // 4), dtype=torch.int64, device=values.device)
        words.random_(-(1 << 63), None, generator=self.rng)
        kept = words.view(torch.int16)[:size].view(values.shape) >= self.limit
        return values * kept.to(values.dtype).mul_(self.scale)


def begin(network: torch.nn.Module, seed: int, spread: Callable[[str, tuple[int, ...]], float]) -> None:
    """Fill a network with its first values; none depends on users, so injected ones change none of them.

    Args:
        network: without values.
        seed: each parameter has a stream of its own, by its name.
        spread: standard deviation of a parameter, by name and shape; 1-d ones start at 0, norm weights at 1.
    """
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(1.0 if name.endswith("norm.weight") else 0.0)
                continue
            shape = tuple(parameter.shape)
            start = seeded(seed, "init", name).standard_normal(shape, np.float32)
            parameter.copy_(torch.from_numpy(start * np.float32(spread(name, shape))))


def kept(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of a network, CPU, contiguous, apart from it."""
    return {name: value.detach().cpu().clone().contiguous() for name, value in network.state_dict().items()}


class Network(torch.nn.Module):
    """A causal encoder over item vectors that serve as input and output.

    Item vectors are free parameters `item` [I, d], or made from the items' texts: GELU(Linear(`text`)) with fixed
    `text` [I, D] (Zhang et al. 2024, LoRec, arXiv 2401.17723, the text-based victim).
    """

    item: torch.nn.Parameter
    text: torch.Tensor

    def __init__(self, n_items: int, dim: int, text_width: int | None = None) -> None:
        """Make the parameters of the item vectors, by id or from texts of this width."""
        super().__init__()
        self.reads_text = text_width is not None
        if text_width is None:
            self.item = torch.nn.Parameter(torch.empty(n_items, dim))
        else:
            self.register_buffer("text", torch.empty(n_items, text_width))
            self.project = torch.nn.Linear(text_width, dim)

    def table(self) -> torch.Tensor:
        """Item vectors, float [I, d]."""
        return self.vectors(self.text) if self.reads_text else self.item

    def vectors(self, text: torch.Tensor) -> torch.Tensor:
        """Item vectors of vectors of texts: float [N, D] -> float [N, d]."""
        return functional.gelu(self.project(text))

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        """What the model expects next after each position: int64 [B, L] -> float [B, L, d]; dot with the table.

        Position t depends on items 0..t, and where a network counts positions from the end on the length of the row,
        so whatever fills a row up on the right has no effect.

        Args:
            items: rows, filled up on the right.
            table: float [I, d].
            drop: dropout.
            length: int64 [B], how many items each row has; all of them if not given.
        """
        raise NotImplementedError
