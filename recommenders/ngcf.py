"""NGCF: graph propagation with feature transforms, element-wise products and a non-linearity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog
from ..datasets.seeding import rng as seeded
from .network import Dropout
from .pairwise import Encoder, PairBatch, PairTraining, PairwiseConfig, PairwiseModel
from .propagation import adjacency, near, propagate
from .sampling import Positives

_SLOPE = 0.2  # of LeakyReLU


class NGCFConfig(PairwiseConfig):
    """Hyper-parameters of NGCF."""

    layers: int = Field(3, ge=1, le=16, description="propagations over the graph")
    dropout: float = Field(0.1, ge=0, lt=1, description="share of the messages' entries dropped in training")


class _Transformed:
    """Layers 0..L beside each other, layers 1..L by learned transforms.

    E_l = LeakyReLU((A + I) E_{l-1} W1_l + (A E_{l-1} * E_{l-1}) W2_l), A the normalised adjacency, * by elements.
    """

    def __init__(self, pairs: Positives, transforms: torch.Tensor, dropout: float, device: torch.device) -> None:
        """Over these pairs; transforms float32 [L, 2, d, d], (W1, W2) of each layer."""
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.transforms = transforms
        self.dropout = dropout

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return self.encode(base, Dropout(0.0, None))

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.encode(base, Dropout(self.dropout, rng)), None

    def encode(self, base: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Base [U + I, d] and every layer at length 1, beside each other: float [U + I, (L + 1) d].

        Reference: Wang et al. 2019, NGCF, equations 7 and 9.
        """
        now, every = base, [base]
        for own, product in self.transforms:
            near_by = propagate(self.graph, now, 1, first=False)
            now = functional.leaky_relu((near_by + now) @ own + (near_by * now) @ product, _SLOPE)
            now = drop(now)
            every.append(functional.normalize(now, dim=-1))
        return torch.cat(every, 1)


class _NGCFTraining(PairTraining):
    """Base tables and the transforms under training."""

    weight: torch.nn.Parameter

    def attach(self, weight: torch.nn.Parameter) -> None:
        """Add the encoder's transforms, float32 [L, 2, d, d]."""
        self.weight = weight

    def resume(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take base tables and transforms of a model's `state`."""
        super().resume(state)
        with torch.no_grad():
            self.weight.copy_(state["transforms"])

    def parameters(self) -> list[torch.nn.Parameter]:
        """The base table and the transforms."""
        return [self.base, self.weight]


class NGCF(PairwiseModel):
    """Layers of graph convolution with weights, concatenated; scores are products of the concatenations.

    `state` holds the concatenated vectors ("user", "item", (L + 1) d long), what they are made from ("user_base",
    "item_base", d long) and "transforms", [L, 2, d, d]: W1 and W2 of each layer. The encoder is neither linear nor
    self-adjoint in the base tables.

    As in the paper: a node's message from itself and its neighbours by W1, the product of both by W2, LeakyReLU of
    slope 0.2, Xavier's first transforms, message dropout in training, concatenation of all layers. As in the authors'
    code: each layer enters the concatenation at length 1, and goes to the next layer as it is.

    Other than in the paper: no node dropout; all layers are as long as the base vectors; the ranking loss is
    sampled softmax unless `loss` is bpr, whose L2 term acts on base vectors alone.

    Reference: Wang et al. 2019, Neural Graph Collaborative Filtering.
    """

    name: ClassVar[str] = "ngcf"
    title: ClassVar[str] = "NGCF"
    family: ClassVar[str] = "graph"
    reference: ClassVar[str] = "Wang et al. 2019, Neural Graph Collaborative Filtering, SIGIR"
    config_type: ClassVar[type[NGCFConfig]] = NGCFConfig
    config: NGCFConfig

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """With the fitted transforms; see PairwiseModel.

        Raises:
            InputError: the model has none yet.
        """
        if "transforms" not in self._state:
            raise InputError("ngcf propagates by transforms that it learns: fit it, or load a state, before it encodes")
        return _Transformed(pairs, self._state["transforms"].to(device), self.config.dropout, device)

    def training(self, log: InteractionLog, pairs: Positives, seed: int, device: torch.device) -> PairTraining:
        """See PairwiseModel."""
        config = self.config
        drawn = seeded(seed, "init", "transforms").standard_normal((config.layers, 2, config.dim, config.dim))
        drawn *= math.sqrt(2.0 / (config.dim + config.dim))
        weight = torch.nn.Parameter(torch.from_numpy(drawn.astype(np.float32)).to(device))

        def keep(base: torch.Tensor, final: torch.Tensor) -> None:
            self._state = {"transforms": weight.detach().cpu().clone()}
            self._take(base, final)

        encoder = _Transformed(pairs, weight, config.dropout, device)
        training = _NGCFTraining(config, pairs, encoder, seed, device, keep)
        training.attach(weight)
        return training

    def _take(self, base: torch.Tensor, final: torch.Tensor) -> None:
        transforms = self._state["transforms"]
        super()._take(base, final)
        self._state["transforms"] = transforms

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        layers, dim = self.config.layers, self.config.dim
        sizes: dict[str, tuple[int, ...]] = {"transforms": (layers, 2, dim, dim)}
        for side, rows in (("user", n_users), ("item", n_items)):
            sizes |= {side: (rows, (layers + 1) * dim), side + "_base": (rows, dim)}
        return {name: (size, torch.float32) for name, size in sizes.items()}
