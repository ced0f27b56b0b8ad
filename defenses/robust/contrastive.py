"""CL4SRec: two distorted views of a user's sequence should end in like states."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from ...datasets.log import InteractionLog
from ...recommenders.sequential import SequenceBatch, SequenceTraining
from ...recommenders.trainer import Compared
from ..base import DefenseConfig
from .base import Hardened
from .sequences import Drawing, SequenceHardening


class CL4SRecConfig(DefenseConfig):
    """Settings of CL4SRec."""

    weight: float = Field(default=0.1, ge=0, description="of the contrastive loss (lambda); 0 changes nothing")
    crop: float = Field(default=0.6, gt=0, le=1, description="share of a sequence that cropping keeps (eta)")
    mask: float = Field(default=0.3, ge=0, le=1, description="share of the items that masking hides (gamma)")
    reorder: float = Field(default=0.6, ge=0, le=1, description="share of a sequence that is shuffled (beta)")


_ROUNDING = 1e-9  # .29 of 100 items are 29, whatever their product in binary


def _share(length: torch.Tensor, share: float) -> torch.Tensor:
    return (length.double() * share + _ROUNDING).floor().long()


def cropped(
    items: torch.Tensor, length: torch.Tensor, share: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A random run of floor(share n) items, at least 1, moved to the front.

    Shapes: items int64 [B, L], length int64 [B] -> the same; behind the new length there is anything.
    """
    kept = _share(length, share).clamp(min=1)
    place = torch.arange(items.shape[1], device=items.device)
    source = (_start(length, kept, rng)[:, None] + place).clamp(max=items.shape[1] - 1)
    return items.gather(1, source), kept


def masked(items: torch.Tensor, length: torch.Tensor, share: float, token: int, rng: torch.Generator) -> torch.Tensor:
    """`token` instead of floor(share n) random items; shapes as for `cropped`."""
    key = torch.rand(items.shape, generator=rng, device=items.device)
    place = torch.arange(items.shape[1], device=items.device)
    key = key.masked_fill(place >= length[:, None], 2.0)
    rank = key.argsort(dim=1, stable=True).argsort(dim=1)
    return items.masked_fill(rank < _share(length, share)[:, None], token)


def reordered(items: torch.Tensor, length: torch.Tensor, share: float, rng: torch.Generator) -> torch.Tensor:
    """A random run of floor(share n) items shuffled; shapes as for `cropped`."""
    run = _share(length, share)[:, None]
    start = _start(length, run[:, 0], rng)[:, None]
    place = torch.arange(items.shape[1], device=items.device)
    inside = (place >= start) & (place < start + run)
    key = start + run * torch.rand(items.shape, generator=rng, device=items.device, dtype=torch.float64)
    return items.gather(1, torch.where(inside, key, place.double()).argsort(dim=1, stable=True))


def _start(length: torch.Tensor, run: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Where a run of this length begins, uniformly."""
    left = length - run
    return torch.minimum((torch.rand(len(length), generator=rng, device=length.device) * (left + 1)).long(), left)


def contrast(
    first: torch.Tensor, second: torch.Tensor, users: torch.Tensor, weight: torch.Tensor | None
) -> torch.Tensor:
    """InfoNCE of two views of each row by dot products: a view's partner against all views of other users.

    Mean over all views, of -log exp(v.v') / (exp(v.v') + sum over others exp(v.w)).

    Shapes: first, second float [B, d]; users int64 [B]; weight float [B], a factor on each row -> scalar.
    """
    views, owner = torch.cat([first, second]), users.repeat(2)
    rows = torch.arange(len(views), device=views.device)
    partner = rows.roll(len(first))
    hidden = owner[:, None] == owner
    hidden[rows, partner] = False
    each = functional.cross_entropy((views @ views.T).masked_fill(hidden, -torch.inf), partner, reduction="none")
    return each.mean() if weight is None else (each * weight.repeat(2)).mean()


class Contrasted(Drawing):
    """The victim's loss and, times `weight`, the contrast of two views of every window of the batch."""

    config: CL4SRecConfig

    def compared(self, vectors: Compared, batch: SequenceBatch) -> torch.Tensor:
        """See Hardened."""
        value = self.training.ranking(vectors, batch, batch.weight)
        return value + self.config.weight * self.contrast(batch) if self.config.weight else value

    def contrast(self, batch: SequenceBatch) -> torch.Tensor:
        """Two different ones of crop, mask and reorder for each window, and the InfoNCE of their last states."""
        begins = batch.places % batch.items.shape[1] == 0
        length = batch.length
        table = self.training.network.table()
        table = torch.cat([table, table.new_zeros(1, table.shape[1])])  # the last row stands for a mask token
        one = self._integers(3, length)
        other = (one + 1 + self._integers(2, length)) % 3
        first, second = (
            self.last(*self.view(kind, batch.items, length, len(table) - 1), table) for kind in (one, other)
        )
        weight = None if batch.weight is None else batch.weight[begins]
        return contrast(first, second, batch.user[begins], weight)

    def view(
        self, kind: torch.Tensor, items: torch.Tensor, length: torch.Tensor, token: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Each row cropped (kind 0), masked (1) or reordered (2), and the lengths that result."""
        config, kind_of_row = self.config, kind[:, None]
        crop, kept = cropped(items, length, config.crop, self.noise)
        mask = masked(items, length, config.mask, token, self.noise)
        order = reordered(items, length, config.reorder, self.noise)
        found = torch.where(kind_of_row == 0, crop, torch.where(kind_of_row == 1, mask, order))
        return found, torch.where(kind == 0, kept, length)

    def last(self, items: torch.Tensor, length: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        """The state after the last item of each row, float [B, d]."""
        return self.encoded(items, table, length)[torch.arange(len(items), device=items.device), length - 1]

    def _integers(self, below: int, like: torch.Tensor) -> torch.Tensor:
        return torch.randint(below, like.shape, generator=self.noise, device=like.device)


class CL4SRec(SequenceHardening):
    """Two views of a user's sequence should end in like states, other than those of other users.

    The networks have no mask token: a vector of zeros stands for it (in SASRec its position is added), so that nothing
    new is learnt and the victim has the parameters that it always has.
    """

    name: ClassVar[str] = "cl4srec"
    title: ClassVar[str] = "Contrastive learning with cropped, masked and reordered sequences"
    reference: ClassVar[str] = "Xie et al. 2022, Contrastive Learning for Sequential Recommendation, ICDE, section III"
    config_type: ClassVar[type[CL4SRecConfig]] = CL4SRecConfig

    def around(self, training: SequenceTraining, log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See SequenceHardening."""
        return Contrasted(training, log, seed, epochs, self.config)
