"""LightGCN as a surrogate: the fake accounts' edges act in the propagation, in its degrees and in the loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch.nn import functional

from ...datasets.log import InteractionLog
from ...recommenders.propagation import on_device
from ..base import AttackConfig
from .adam import AdamTrained
from .base import Accounts, Factors

_SPREAD = 0.1
_MIN_STEPS = 16  # of an epoch, as the victim has it: small logs get small batches


class GraphConfig(AttackConfig):
    """Settings of the LightGCN that an attacker trains."""

    dim: int = Field(default=32, ge=1, le=1024, description="length of the surrogate's vectors")
    layers: int = Field(default=3, ge=1, le=16, description="propagations over the graph")
    temperature: float = Field(default=0.2, ge=0.025, description="of the training loss")
    negatives: int = Field(default=256, ge=1, description="shared negatives a step")
    batch: int = Field(default=4096, ge=1, description="genuine pairs a step, less in small logs")
    epochs: int = Field(default=8, ge=1, description="of a fit from fresh parameters, counted in genuine pairs")
    unroll: int = Field(default=3, ge=1, description="steps that the gradient goes through")
    learning_rate: float = Field(default=1e-2, gt=0, description="of Adam")


class GraphSurrogate(AdamTrained):
    """Vectors averaged over the layers of a graph of genuine edges and the accounts' weighted ones; cosine scores.

    The accounts' edges are a dense block beside the sparse genuine graph, so the adjacency is never dense. Their
    weights count in the degrees that normalise it, and as weights of the accounts' pairs in the loss, a softmax of
    cosines over one positive and negatives that all pairs share. A step sees all pairs of the accounts and a batch of
    the genuine ones, which stands for them all. Ratings are not read.

    Reference: He et al. 2020, LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation, SIGIR;
        loss: Wu et al. 2024, On the Effectiveness of Sampled Softmax Loss for Item Recommendation, equation 4.
    """

    def __init__(
        self, log: InteractionLog, config: GraphConfig, rng: np.random.Generator, dtype: torch.dtype = torch.float32
    ) -> None:
        """Take the visible log.

        Args:
            log: what the attacker sees, at least one event.
            config: size and steps.
            rng: first vectors, batches and negatives, in streams of their own.
            dtype: of all vectors; float64 where gradients are checked.
        """
        matrix = log.matrix()
        pairs = matrix.tocoo()
        self.user, self.item = (torch.from_numpy(ends.astype(np.int64)) for ends in (pairs.row, pairs.col))
        self.batch = min(config.batch, -(-len(self.user) // _MIN_STEPS))
        steps = config.epochs * -(-len(self.user) // self.batch)
        super().__init__(steps, config.unroll, rate=config.learning_rate, decay=0.0)
        self.config, self.dtype = config, dtype
        self.by_first, self.by_batch = rng.spawn(2)
        self.n_users, self.n_items = matrix.shape
        self.edges = tuple(on_device(side, dtype=dtype) for side in (matrix, sparse.csr_matrix(matrix.T)))
        self.degrees = [
            torch.from_numpy(np.bincount(ends, minlength=size)).to(dtype)
            for ends, size in ((pairs.row, self.n_users), (pairs.col, self.n_items))
        ]

    def first(self, accounts: int) -> list[torch.Tensor]:
        """The base table: users, items, accounts, [U + I + A, d]."""
        draws = [
            by.standard_normal((rows, self.config.dim)) * _SPREAD
            for by, rows in zip(self.by_first.spawn(3), (self.n_users, self.n_items, accounts), strict=True)
        ]
        return [torch.from_numpy(np.concatenate(draws)).to(self.dtype)]

    def loss(self, parameters: Sequence[torch.Tensor], accounts: Accounts) -> torch.Tensor:
        """Mean of the softmax loss over all pairs, the genuine ones estimated by a batch."""
        present = accounts.present
        user, item, account = self.final(parameters[0], present)
        batch = torch.from_numpy(self.by_batch.integers(len(self.user), size=self.batch))
        negative = torch.from_numpy(self.by_batch.integers(self.n_items, size=self.config.negatives))
        times = torch.bincount(negative, minlength=self.n_items).to(self.dtype)
        users, items = self.user[batch], self.item[batch]
        own = (user[users] * item[items]).sum(1)
        genuine = self._losses(own, self._sums(user[users], item[negative]), times[items]).sum()
        fake = present * self._losses(account @ item.T, self._sums(account, item[negative])[:, None], times)
        share = len(self.user) / self.batch
        return (share * genuine + fake.sum()) / (len(self.user) + present.sum())

    def _sums(self, users: torch.Tensor, negatives: torch.Tensor) -> torch.Tensor:
        """Sums of exp over the shared negatives, less the largest possible logit: [n, d], [N, d] -> [n]."""
        return torch.exp((users @ negatives.T - 1) / self.config.temperature).sum(1)

    def _losses(self, own: torch.Tensor, total: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """-log softmax of pairs with these cosines, which occur so many times among the negatives themselves."""
        logit = (own - 1) / self.config.temperature
        # occurrences of the pair's own item among the negatives do not count
        return torch.log(total + (1 - times) * torch.exp(logit)) - logit

    def factors(self, parameters: Sequence[torch.Tensor], accounts: Accounts) -> Factors:
        """See AdamTrained; unit vectors."""
        user, item, _ = self.final(parameters[0], accounts.present)
        return Factors(user, item)

    def final(self, base: torch.Tensor, present: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Unit vectors of users, items and accounts: the mean of layers 0..L of the graph, normalised.

        Shapes: base float [U + I + A, d], present float [A, I] -> float [U, d], [I, d], [A, d].
        """
        sizes = [self.n_users, self.n_items, len(present)]
        # a degree below 1, of an item that only an edge in the making touches, counts as 1: no infinite slope at 0
        degrees = self.degrees[0], self.degrees[1] + present.sum(0), present.sum(1)
        scale = torch.cat(degrees).clamp_min(1.0).rsqrt()[:, None]
        total = base
        for _ in range(self.config.layers):
            user, item, account = torch.split(total * scale, sizes)
            by_user, by_item = self.edges
            to_user = _product(by_user, by_item, item)
            to_item = _product(by_item, by_user, user) + present.T @ account
            # Horner's rule for the sum of the layers
            total = base + torch.cat([to_user, to_item, present @ item]) * scale
        final = functional.normalize(total / (self.config.layers + 1), dim=1)
        found = torch.split(final, sizes)
        return found[0], found[1], found[2]


def _product(matrix: torch.Tensor, transposed: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = _Product.apply(matrix, transposed, dense)  # type: ignore[no-untyped-call]
    return found


class _Product(torch.autograd.Function):
    """A constant sparse matrix times a dense one, differentiable as often as wanted, without transposing anew."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, transposed: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        ctx.edges = matrix, transposed
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        matrix, transposed = ctx.edges
        return None, None, _product(transposed, matrix, gradient)
