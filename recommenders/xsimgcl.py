"""XSimGCL: one noisy propagation that is both ranked by and contrasted with one of its own layers."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch.nn import functional

from .losses import info_nce
from .pairwise import Encoder, PairBatch, PairwiseConfig, PairwiseModel
from .propagation import adjacency, near, propagate
from .sampling import Positives


class XSimGCLConfig(PairwiseConfig):
    """Hyper-parameters of XSimGCL."""

    layers: int = Field(3, ge=1, le=16, description="propagations over the graph")
    noise: float = Field(0.1, ge=0, description="length of the noise added to a node after every layer, in training")
    contrast: float = Field(0.02, ge=0, description="weight of the contrast between the final vectors and one layer's")
    contrast_layer: int = Field(
        1, ge=1, le=16, description="the layer that is contrasted with the mean of all, 1 to `layers`"
    )
    contrast_temperature: float = Field(0.2, gt=0, description="temperature of that contrast")
    contrast_nodes: int = Field(2048, ge=2, description="users, and items, of a batch that are contrasted, at most")

    @field_validator("contrast_layer")
    @classmethod
    def _layer_is_there(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("layers", value):
            raise ValueError(f"must be at most layers, {info.data['layers']}")
        return value


class _CrossLayer:
    """The mean of layers 1..L; in training a noisy one, and its contrast with one of its layers."""

    def __init__(self, pairs: Positives, config: XSimGCLConfig, device: torch.device) -> None:
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.config = config

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return propagate(self.graph, base, self.config.layers, first=False)

    def noisy(self, base: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """The mean of layers 1..L with noise added after each, and layer `contrast_layer`: float [U + I, d] each.

        Reference: Yu et al. 2023, XSimGCL (cross-layer contrast).
        """
        config = self.config
        now, total, chosen = base, torch.zeros_like(base), base
        for layer in range(1, config.layers + 1):
            now = propagate(self.graph, now, 1, first=False)
            now = now + config.noise * _direction(now.detach(), rng)
            total = total + now
            chosen = now if layer == config.contrast_layer else chosen
        return total / config.layers, chosen

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        config = self.config
        if config.contrast == config.noise == 0:
            return self.final(base), None
        mean, layer = self.noisy(base, rng)
        if config.contrast == 0:
            return mean, None
        total = base.new_zeros(())
        for nodes in (batch.user, batch.positive):
            # A batch's order is random, so its first distinct nodes are a random choice of them.
            chosen = torch.unique(nodes[: config.contrast_nodes])
            total = total + info_nce(
                functional.embedding(chosen, mean), functional.embedding(chosen, layer), config.contrast_temperature
            )
        return mean, config.contrast * total


def _direction(values: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """A random unit vector in the orthant of each row, float [n, d]; constant, so that no gradient passes."""
    noise = torch.rand(values.shape, generator=rng, device=values.device)
    return functional.normalize(noise, dim=-1) * values.sign()


class XSimGCL(PairwiseModel):
    """LightGCN without layer 0, trained on noisy vectors that must resemble their own layer `contrast_layer`.

    As in the paper: noise of a fixed length in the orthant of the node after every layer; one propagation per step,
    whose mean of layers 1..L serves both the ranking loss and the contrast; the contrast is between that mean and one
    layer, users and items apart; no noise when scoring.

    Other than in the paper: the contrast is a mean over a bounded sample of each batch's users and items, so that
    large batches stay cheap; the ranking loss is sampled softmax unless `loss` is bpr. Without contrast the training
    is still on noisy vectors; without contrast and noise it is SimGCL's without contrast.

    Reference: Yu et al. 2023, XSimGCL: Towards Extremely Simple Graph Contrastive Learning for Recommendation.
    """

    name: ClassVar[str] = "xsimgcl"
    title: ClassVar[str] = "XSimGCL"
    family: ClassVar[str] = "graph"
    reference: ClassVar[str] = (
        "Yu et al. 2023, XSimGCL: Towards Extremely Simple Graph Contrastive Learning for Recommendation, TKDE"
    )
    config_type: ClassVar[type[XSimGCLConfig]] = XSimGCLConfig
    config: XSimGCLConfig

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """See PairwiseModel."""
        return _CrossLayer(pairs, self.config, device)
