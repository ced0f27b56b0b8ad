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
    bias: bool = Field(False, description="whether a layer adds a vector before its non-linearity (RecBole)")
    unit: bool = Field(False, description="whether the next layer reads a layer at length 1 (RecBole), or as it is")


class _Transformed:
    """Layers 0..L beside each other, layers 1..L by learned transforms.

    E_l = LeakyReLU((A + I) E_{l-1} W1_l + (A E_{l-1} * E_{l-1}) W2_l + b_l), A the normalised adjacency, * by elements.
    """

    def __init__(
        self, config: NGCFConfig, pairs: Positives, learned: Mapping[str, torch.Tensor], device: torch.device
    ) -> None:
        """Over these pairs, with what is learned (see `NGCF.learned`)."""
        self.places = near(pairs)
        self.graph = adjacency(pairs, device, self.places)
        self.learned = learned
        self.config = config

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return self.encode(base, Dropout(0.0, None))

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.encode(base, Dropout(self.config.dropout, rng)), None

    def encode(self, base: torch.Tensor, drop: Dropout) -> torch.Tensor:
        """Base [U + I, d] and every layer at length 1, beside each other: float [U + I, (L + 1) d].

        Reference: Wang et al. 2019, NGCF, equations 7 and 9.
        """
        now, every = base, [base]
        for layer, (own, product) in enumerate(self.learned["transforms"]):
            near_by = propagate(self.graph, now, 1, first=False)
            mixed = (near_by + now) @ own + (near_by * now) @ product
            if self.config.bias:
                mixed = mixed + self.learned["biases"][layer]
            now = drop(functional.leaky_relu(mixed, _SLOPE))
            every.append(functional.normalize(now, dim=-1))
            now = every[-1] if self.config.unit else now
        return torch.cat(every, 1)


class _NGCFTraining(PairTraining):
    """Base tables and what else is learned under training."""

    learned: Mapping[str, torch.nn.Parameter]

    def attach(self, learned: Mapping[str, torch.nn.Parameter]) -> None:
        """Add what the encoder learns, see `NGCF.learned`."""
        self.learned = learned

    def resume(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take base tables and the rest of a model's `state`."""
        super().resume(state)
        with torch.no_grad():
            for name, parameter in self.learned.items():
                parameter.copy_(state[name])

    def parameters(self) -> list[torch.nn.Parameter]:
        """The base table and the rest."""
        return [self.base, *self.learned.values()]


class NGCF(PairwiseModel):
    """Layers of graph convolution with weights, concatenated; scores are products of the concatenations.

    `state` holds the concatenated vectors ("user", "item", (L + 1) d long), what they are made from ("user_base",
    "item_base", d long) and what else is learned: "transforms", [L, 2, d, d], W1 and W2 of each layer, and with `bias`
    "biases", [L, d]. The encoder is neither linear nor self-adjoint in the base tables.

    As in the paper: a node's message from itself and its neighbours by W1, the product of both by W2, LeakyReLU of
    slope 0.2, Xavier's first transforms, message dropout in training, concatenation of all layers. As in the authors'
    code: each layer enters the concatenation at length 1, and goes to the next layer as it is (but see `unit`).

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
        learned = {name: self._state[name].to(device) for name in self.learned()}
        return _Transformed(self.config, pairs, learned, device)

    def learned(self) -> dict[str, tuple[int, ...]]:
        """What is learned beside the base tables: shapes by name."""
        layers, dim = self.config.layers, self.config.dim
        found: dict[str, tuple[int, ...]] = {"transforms": (layers, 2, dim, dim)}
        return found | {"biases": (layers, dim)} if self.config.bias else found

    def training(self, log: InteractionLog, pairs: Positives, seed: int, device: torch.device) -> PairTraining:
        """See PairwiseModel."""
        config = self.config
        drawn = seeded(seed, "init", "transforms").standard_normal((config.layers, 2, config.dim, config.dim))
        drawn *= math.sqrt(2.0 / (config.dim + config.dim))
        learned = {"transforms": torch.nn.Parameter(torch.from_numpy(drawn.astype(np.float32)).to(device))}
        if config.bias:
            learned["biases"] = torch.nn.Parameter(torch.zeros(config.layers, config.dim, device=device))

        def keep(base: torch.Tensor, final: torch.Tensor) -> None:
            self._state = {name: parameter.detach().cpu().clone() for name, parameter in learned.items()}
            self._take(base, final)

        encoder = _Transformed(config, pairs, learned, device)
        training = _NGCFTraining(config, pairs, encoder, seed, device, keep)
        training.attach(learned)
        return training

    def _take(self, base: torch.Tensor, final: torch.Tensor) -> None:
        learned = {name: self._state[name] for name in self.learned()}
        super()._take(base, final)
        self._state |= learned

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Name, shape and dtype of every tensor of `state` at this size."""
        layers, dim = self.config.layers, self.config.dim
        sizes = self.learned()
        for side, rows in (("user", n_users), ("item", n_items)):
            sizes |= {side: (rows, (layers + 1) * dim), side + "_base": (rows, dim)}
        return {name: (size, torch.float32) for name, size in sizes.items()}
