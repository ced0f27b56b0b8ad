"""LightGCN: embeddings averaged over the interaction graph."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from .pairwise import Encoder, PairBatch, PairwiseConfig, PairwiseModel
from .propagation import adjacency, near, propagate
from .sampling import Positives


class LightGCNConfig(PairwiseConfig):
    """Hyper-parameters of LightGCN."""

    layers: int = Field(3, ge=1, le=16, description="propagations over the graph")


class _Propagation:
    """The mean of layers 0..L."""

    def __init__(self, pairs: Positives, layers: int, device: torch.device) -> None:
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.layers = layers

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return propagate(self.graph, base, self.layers)

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.final(base), None


class LightGCN(PairwiseModel):
    """Mean of the base embeddings and their propagations over the normalised user-item graph.

    The graph is that of the training pairs; a user of weight zero has no edge in it, any other weight acts in the
    loss alone.

    Reference: He et al. 2020, LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation.
    """

    name: ClassVar[str] = "lightgcn"
    title: ClassVar[str] = "LightGCN"
    family: ClassVar[str] = "graph"
    reference: ClassVar[str] = (
        "He et al. 2020, LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR"
    )
    config_type: ClassVar[type[LightGCNConfig]] = LightGCNConfig
    config: LightGCNConfig

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """See PairwiseModel."""
        return _Propagation(pairs, self.config.layers, device)
