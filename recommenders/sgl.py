"""SGL: LightGCN that must also tell each node from other nodes in two graphs with edges left out."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from .losses import info_nce
from .pairwise import Encoder, PairBatch, PairwiseConfig, PairwiseModel
from .propagation import adjacency, near, propagate
from .sampling import Positives


class SGLConfig(PairwiseConfig):
    """Hyper-parameters of SGL."""

    layers: int = Field(3, ge=1, le=16, description="propagations over the graph")
    keep: float = Field(0.8, gt=0, le=1, description="chance of an edge to be in a view, drawn anew every epoch")
    contrast: float = Field(0.02, ge=0, description="weight of the contrast between the two views")
    contrast_temperature: float = Field(0.2, gt=0, description="temperature of that contrast")
    contrast_nodes: int = Field(2048, ge=2, description="users, and items, of a batch that are contrasted, at most")


class _Dropped:
    """The mean of layers 0..L, and the contrast of the same over two graphs with edges left out."""

    def __init__(self, pairs: Positives, config: SGLConfig, device: torch.device) -> None:
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.pairs = pairs
        self.config = config
        self.source: torch.Generator | None = None
        self.views: list[torch.Tensor] = []

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return propagate(self.graph, base, self.config.layers)

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        config = self.config
        clean = self.final(base)
        if config.contrast == 0:
            return clean, None
        if rng is not self.source:  # every epoch has a generator of its own, and views of its own
            self.source, self.views = rng, self._draw(rng)
        first, second = (propagate(view, base, config.layers) for view in self.views)
        total = base.new_zeros(())
        for nodes in (batch.user, batch.positive):
            # A batch's order is random, so its first distinct nodes are a random choice of them.
            chosen = torch.unique(nodes[: config.contrast_nodes])
            total = total + info_nce(first[chosen], second[chosen], config.contrast_temperature)
        return clean, config.contrast * total

    def _draw(self, rng: torch.Generator) -> list[torch.Tensor]:
        """Two graphs, each of the edges that a draw of its own keeps, normalised by the degrees that are left."""
        pairs, device = self.pairs, self.graph.device
        # One row per pair: injected accounts, whose pairs come last, leave the draws of the others as they are.
        kept = (torch.rand((len(pairs), 2), generator=rng, device=device) < self.config.keep).cpu().numpy()
        return [adjacency(_part(pairs, column), device, self.places) for column in kept.T]


def _part(pairs: Positives, kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Positives:
    return Positives(pairs.user[kept], pairs.item[kept], pairs.n_users, pairs.n_items)


class SGL(PairwiseModel):
    """LightGCN, regularised by contrasting two views of each node, over graphs with a share of the edges left out.

    The variant with edge dropout (SGL-ED), views redrawn every epoch. The contrast is taken over a bounded sample of
    each batch's users and items and averaged, where the paper sums over the batch and compares with all nodes: our
    `contrast` is not its lambda_1.

    Reference: Wu et al. 2021, Self-supervised Graph Learning for Recommendation, equations 6 and 10 to 12.
    """

    name: ClassVar[str] = "sgl"
    title: ClassVar[str] = "SGL"
    family: ClassVar[str] = "graph"
    reference: ClassVar[str] = "Wu et al. 2021, Self-supervised Graph Learning for Recommendation, SIGIR"
    config_type: ClassVar[type[SGLConfig]] = SGLConfig
    config: SGLConfig

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """See PairwiseModel."""
        return _Dropped(pairs, self.config, device)
