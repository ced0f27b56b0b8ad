"""SASRec with rows that are filled up on the left: positions count to the end, and attention reads what fills up."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from .attention import AttentionConfig, Block
from .network import Dropout, Network
from .sequential import SequentialModel


class LeftSASRecConfig(AttentionConfig):
    """Hyper-parameters of SASRec with rows filled up on the left."""

    epsilon: float = Field(1e-8, gt=0, le=1e-2, description="added to the variance in each normalisation")
    carried: bool = Field(
        True, description="whether what fills a row up goes through the blocks as items do, or is zero before each"
    )


class _LeftAttention(Network):
    """Item and position vectors, blocks, and a normalisation as the last thing done.

    What fills rows up is all alike at every depth, for it sees nothing but its like: one place stands for all of it, of
    which attention takes as many as it stands for by adding the logarithm of their number.
    """

    def __init__(self, n_items: int, config: LeftSASRecConfig, text_width: int | None) -> None:
        super().__init__(n_items, config.dim, text_width)
        self.position = torch.nn.Parameter(torch.empty(config.max_length, config.dim))
        self.carried = config.carried
        self.blocks = torch.nn.ModuleList(Block(config) for _ in range(config.layers))
        self.last_norm = torch.nn.LayerNorm(config.dim, config.epsilon)

    def encode(
        self, items: torch.Tensor, table: torch.Tensor, drop: Dropout, length: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See Network; positions count to the end of the row, which is the last one."""
        most, width = len(self.position), items.shape[1]
        length = torch.full((len(items),), width, device=items.device) if length is None else length
        place = (most - length[:, None] + torch.arange(width, device=items.device)).clamp(max=most - 1)
        x = functional.embedding(items, table) * math.sqrt(table.shape[1]) + functional.embedding(place, self.position)
        x = functional.pad(drop(x), (0, 0, 1, 0))  # in front, what fills up: zero
        mask = self._mask(most - length, width, x)
        for block in self.blocks:
            own: Block = block  # type: ignore[assignment]
            x = own.encode(x, drop, mask)
            if not self.carried:
                x = functional.pad(x[:, 1:], (0, 0, 1, 0))
        found: torch.Tensor = self.last_norm(x[:, 1:])
        return found

    @staticmethod
    def _mask(missing: torch.Tensor, width: int, like: torch.Tensor) -> torch.Tensor:
        """What is added to the logits, float [B, 1, 1 + L, 1 + L]: log of how many, -inf for what comes later."""
        later = torch.full((width + 1, width + 1), -torch.inf, dtype=like.dtype, device=like.device).triu(1)
        mask = later.expand(len(missing), 1, -1, -1).clone()
        mask[:, 0, 1:, 0] = torch.log(missing.to(like.dtype))[:, None]
        return mask


class LeftSASRec(SequentialModel):
    """SASRec as SASRec.pytorch computes it: the last item always stands at the last position.

    Short rows are filled up on the left with zero vectors, and attention reads them as it reads items. Three ways to
    normalise (`norm`) and two to treat what fills up (`carried`) are found among its versions and forks. Other than
    there: all of a user's events are trained on, in windows, not the last `max_length` alone; attention weights are not
    dropped, nor what the feed-forward layer's first half gives.

    Reference: Kang and McAuley 2018, Self-Attentive Sequential Recommendation, section III; SASRec.pytorch (pmixer).
    """

    name: ClassVar[str] = "sasrec-left"
    title: ClassVar[str] = "SASRec, rows filled up on the left"
    reference: ClassVar[str] = "Kang and McAuley 2018, Self-Attentive Sequential Recommendation, ICDM; SASRec.pytorch"
    config_type: ClassVar[type[LeftSASRecConfig]] = LeftSASRecConfig
    config: LeftSASRecConfig

    def network(self, n_items: int, text_width: int | None = None) -> Network:
        """See SequentialModel."""
        return _LeftAttention(n_items, self.config, text_width)

    def spread(self, name: str, shape: tuple[int, ...]) -> float:
        """See SequentialModel."""
        return 0.1 if name in ("item", "position") else math.sqrt(2.0 / sum(shape))
