"""SimGCL: a graph recommender that must also tell each node's noisy views from other nodes'."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from .losses import info_nce
from .pairwise import Encoder, PairBatch, PairwiseConfig, PairwiseModel
from .propagation import adjacency, near, perturbed, propagate
from .sampling import Positives


class SimGCLConfig(PairwiseConfig):
    """Hyper-parameters of SimGCL."""

    layers: int = Field(3, ge=1, le=16, description="propagations over the graph")
    noise: float = Field(0.1, ge=0, description="length of the noise added to a node after every layer")
    contrast: float = Field(0.1, ge=0, description="weight of the contrast between the two noisy views")
    contrast_temperature: float = Field(0.2, gt=0, description="temperature of that contrast")
    contrast_nodes: int = Field(2048, ge=2, description="users, and items, of a batch that are contrasted, at most")


class _Contrast:
    """The mean of layers 1..L, and the contrast of two noisy versions of it."""

    def __init__(self, pairs: Positives, config: SimGCLConfig, device: torch.device) -> None:
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.config = config

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return propagate(self.graph, base, self.config.layers, first=False)

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        config = self.config
        if config.contrast == 0:
            return self.final(base), None
        clean, first, second = perturbed(self.graph, base, config.layers, config.noise, rng)
        most = config.contrast_nodes
        total = base.new_zeros(())
        for nodes in (batch.user, batch.positive):
            # A batch's order is random, so its first distinct nodes are a random choice of them.
            chosen = torch.unique(nodes[:most])
            total = total + info_nce(first[chosen], second[chosen], config.contrast_temperature)
        return clean, config.contrast * total


class SimGCL(PairwiseModel):
    """LightGCN without layer 0, regularised by contrasting two randomly perturbed views.

    The contrast is taken over a bounded sample of each batch's users and items, so that large batches stay cheap.

    Reference: Yu et al. 2022, Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for
    Recommendation.
    """

    name: ClassVar[str] = "simgcl"
    title: ClassVar[str] = "SimGCL"
    family: ClassVar[str] = "graph"
    reference: ClassVar[str] = (
        "Yu et al. 2022, Are Graph Augmentations Necessary? Simple Graph Contrastive Learning for Recommendation, SIGIR"
    )
    config_type: ClassVar[type[SimGCLConfig]] = SimGCLConfig
    config: SimGCLConfig

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """See PairwiseModel."""
        return _Contrast(pairs, self.config, device)
