"""NCL: LightGCN that is contrasted with its neighbours in the graph and with its cluster of like vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, ValidationInfo, field_validator
from torch.nn import functional

from ..datasets.log import InteractionLog
from ..datasets.seeding import rng as seeded
from .losses import info_nce
from .pairwise import Encoder, PairBatch, PairTraining, PairwiseConfig, PairwiseModel
from .propagation import adjacency, near, propagate
from .sampling import Positives

_STEPS = 10  # of Lloyd, in an E-step
_SAMPLE = 256  # nodes a cluster that the means are taken from, at most
_CELLS = 1 << 22  # distances that are held at a time


class NCLConfig(PairwiseConfig):
    """Hyper-parameters of NCL."""

    layers: int = Field(3, ge=1, le=16, description="propagations over the graph")
    contrast: float = Field(0.005, ge=0, description="weight of the contrasts; 0 is LightGCN")
    contrast_layer: int = Field(
        2,
        ge=2,
        le=16,
        multiple_of=2,
        validate_default=True,
        description="the even layer that layer 0 is contrasted with, at most `layers`",
    )
    contrast_temperature: float = Field(0.2, gt=0, description="temperature of both contrasts")
    contrast_nodes: int = Field(2048, ge=2, description="users, and items, of a batch that are contrasted, at most")
    items: float = Field(1.0, ge=0, description="what items count in the contrasts beside users (alpha)")
    prototypes: float = Field(1.0, ge=0, description="what the contrast with clusters counts beside that with layers")
    clusters: int = Field(
        100, ge=2, le=100_000, description="clusters of users, and of items; at most one for every five of them"
    )
    warm_up: int = Field(20, ge=0, description="epochs before the first clusters are made")
    refresh_every: int = Field(1, ge=1, description="epochs that clusters last")

    @field_validator("contrast_layer")
    @classmethod
    def _layer_is_there(cls, value: int, info: ValidationInfo) -> int:
        if info.data.get("contrast", 0) > 0 and value > info.data.get("layers", value):
            raise ValueError(f"must be at most layers, {info.data['layers']}, unless contrast is 0")
        return value


class _Neighbours:
    """The mean of layers 0..L, and the contrasts of layer 0 with layer k and with prototypes."""

    def __init__(self, pairs: Positives, config: NCLConfig, device: torch.device) -> None:
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.config = config
        # Nodes without events have no part in the clusters: their vectors are noise.
        self.sides = [
            torch.from_numpy(self.places[np.unique(nodes)]).to(device)
            for nodes in (pairs.user, pairs.item + pairs.n_users)
        ]
        # Of users and of items: unit vectors [K, d], and the cluster of each node [U + I]; none before the warm-up.
        self.clusters: list[tuple[torch.Tensor, torch.Tensor]] = []

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return propagate(self.graph, base, self.config.layers)

    def cluster(self, base: torch.Tensor, rng: np.random.Generator) -> None:
        """Make the clusters of these base vectors [U + I, d] (the E-step)."""
        self.clusters = []
        for nodes in self.sides:
            vectors = functional.normalize(functional.embedding(nodes, base), dim=-1)
            centres, own = k_means(vectors, max(1, min(self.config.clusters, len(nodes) // 5)), rng)
            label = torch.zeros(len(base), dtype=torch.int64, device=base.device)
            label[nodes] = own
            self.clusters.append((functional.normalize(centres, dim=-1), label))

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        config = self.config
        if config.contrast == 0:
            return self.final(base), None
        layers = [base]
        for _ in range(config.layers):
            layers.append(propagate(self.graph, layers[-1], 1, first=False))
        total = base.new_zeros(())
        for side, (nodes, share) in enumerate(((batch.user, 1.0), (batch.positive, config.items))):
            # A batch's order is random, so its first distinct nodes are a random choice of them.
            chosen = torch.unique(nodes[: config.contrast_nodes])
            own = functional.embedding(chosen, base)
            far = functional.embedding(chosen, layers[config.contrast_layer])
            value = info_nce(far, own, config.contrast_temperature)
            if self.clusters and config.prototypes:
                centres, label = self.clusters[side]
                value = value + config.prototypes * prototype_loss(
                    own, centres, label[chosen], config.contrast_temperature
                )
            total = total + share * value
        mean = torch.stack(layers).mean(0)
        return mean, config.contrast * total


def prototype_loss(
    vectors: torch.Tensor, centres: torch.Tensor, label: torch.Tensor, temperature: float
) -> torch.Tensor:
    """Each vector should be nearer to its own cluster's centre than to all others, in cosines.

    Shapes: vectors float [n, d]; centres float [K, d], of length 1; label int64 [n] -> scalar, mean over vectors.

    Reference: Lin et al. 2022, NCL, section 3.3 (the prototype-contrastive objective).
    """
    return functional.cross_entropy(functional.normalize(vectors, dim=-1) @ centres.T / temperature, label)


def k_means(vectors: torch.Tensor, count: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Lloyd's algorithm from random vectors, ten steps on a sample of at most 256 vectors a cluster.

    A cluster that loses all its vectors keeps its centre. Sums are matrix products, so that they have one order on
    any device.

    Args:
        vectors: float [n, d].
        count: clusters K, at most n.
        rng: draws the sample and the first centres.

    Returns:
        Centres float [K, d], and the nearest centre of every vector int64 [n].
    """
    drawn = rng.permutation(len(vectors))[: _SAMPLE * count]
    sample = vectors[torch.from_numpy(drawn).to(vectors.device)]
    centres, rows = sample[:count].clone(), max(1, _CELLS // count)
    for _ in range(_STEPS):
        sums, sizes = torch.zeros_like(centres), centres.new_zeros(count)
        for part in torch.split(sample, rows):
            member = functional.one_hot(_nearest(part, centres), count).to(part.dtype)
            sums += member.T @ part
            sizes += member.sum(0)
        centres = torch.where(sizes[:, None] > 0, sums / sizes.clamp(min=1)[:, None], centres)
    return centres, torch.cat([_nearest(part, centres) for part in torch.split(vectors, rows)])


def _nearest(vectors: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    return (vectors @ centres.T - 0.5 * centres.square().sum(1)).argmax(1)


class _NCLTraining(PairTraining):
    """LightGCN's training, which makes clusters anew at the start of epochs after the warm-up."""

    neighbours: _Neighbours
    source: int
    epoch: int
    every: int
    warm_up: int

    def attach(self, neighbours: _Neighbours, seed: int, config: NCLConfig) -> None:
        """Take the encoder, the seed of the clusters, and the settings."""
        self.neighbours, self.source, self.epoch = neighbours, seed, 0
        # Without contrast there is nothing to cluster for.
        self.every = config.refresh_every if config.contrast and config.prototypes else 0
        self.warm_up = config.warm_up

    def resume(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take the base tables of a model's `state`; the warm-up lies behind them."""
        super().resume(state)
        self.warm_up = 0

    def batches(self, rng: np.random.Generator) -> Iterator[PairBatch]:
        """See PairTraining; before the first batch, an E-step if its time has come."""
        late, self.epoch = self.epoch - self.warm_up, self.epoch + 1
        if self.every and late >= 0 and late % self.every == 0:
            with torch.no_grad():
                self.neighbours.cluster(self.first().detach(), seeded(self.source, "clusters", self.epoch))
        yield from super().batches(rng)


class NCL(PairwiseModel):
    """LightGCN, regularised by two contrasts of base vectors: with even layer k, and with cluster centres.

    An even layer gathers nodes of the same side (users who share items); clusters gather nodes that are alike without
    being connected. With cosines s, temperature t and all sums over the nodes of one side, the loss adds
    `contrast` times the mean over users and, times `items`, over items of

        -log e^{s(z_k, z_0) / t} / sum_v e^{s(z_k, z_0v) / t}
            - prototypes log e^{s(z_0, c) / t} / sum_j e^{s(z_0, c_j) / t}.

    As in the paper: LightGCN's propagation and scores; both contrasts, items weighed by alpha; clusters by k-means of
    the base vectors, made anew as training goes on, after a warm-up without them.

    Other than in the paper: the contrast with layers is over a bounded sample of each batch's users and items, and
    both are averaged where the paper sums: our weights are not its lambdas. Clusters are of vectors of length 1, for
    cosines are what is contrasted; their number is bounded by the number of nodes with events. The ranking loss is
    sampled softmax unless `loss` is bpr. A training that resumes from a state has no warm-up.

    Reference: Lin et al. 2022, Improving Graph Collaborative Filtering with Neighborhood-enriched Contrastive Learning.
    """

    name: ClassVar[str] = "ncl"
    title: ClassVar[str] = "NCL"
    family: ClassVar[str] = "graph"
    reference: ClassVar[str] = (
        "Lin et al. 2022, Improving Graph Collaborative Filtering with Neighborhood-enriched Contrastive Learning, WWW"
    )
    config_type: ClassVar[type[NCLConfig]] = NCLConfig
    config: NCLConfig

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """See PairwiseModel."""
        return _Neighbours(pairs, self.config, device)

    def training(self, log: InteractionLog, pairs: Positives, seed: int, device: torch.device) -> PairTraining:
        """See PairwiseModel."""
        encoder = _Neighbours(pairs, self.config, device)
        training = _NCLTraining(self.config, pairs, encoder, seed, device, self._take)
        training.attach(encoder, seed, self.config)
        return training
