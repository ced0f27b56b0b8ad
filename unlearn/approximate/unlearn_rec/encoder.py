"""The influence encoder: from the edges to forget, and the vectors before, to a shift of the base tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch.nn import functional

from ....datasets.log import InteractionLog
from ....recommenders.propagation import on_device, propagate
from ....recommenders.sampling import Positives


def dependency(forgotten: Positives, kept: NDArray[np.bool_] | None = None) -> torch.Tensor:
    """A_delta, the adjacency of the forgotten pairs alone, normalised symmetrically by their own degrees.

    Args:
        forgotten: F pairs.
        kept: bool [F], edges that a view has; what is left is divided by the share that is left. None: all.

    Returns:
        float32 CSR [U + I, U + I], users first; nodes without a forgotten pair have empty rows.
    """
    user, item = forgotten.user, forgotten.item + forgotten.n_users
    nodes = forgotten.n_users + forgotten.n_items
    degree = np.bincount(np.concatenate([user, item]), minlength=nodes)
    value = 1.0 / np.sqrt(degree[user] * degree[item])
    if kept is not None:
        user, item, value = user[kept], item[kept], value[kept] / max(kept.mean(), 1e-12)
    both = np.concatenate([value, value]).astype(np.float32)
    ends = np.concatenate([user, item]), np.concatenate([item, user])
    return on_device(sparse.csr_matrix((both, ends), shape=(nodes, nodes)))


@dataclass(frozen=True, eq=False)
class Influence:
    """What a request says.

    Attributes:
        pairs: the forgotten pairs.
        graph: A_delta, float32 CSR [n, n].
        final: the final vectors before the request, float32 [n, d], users first.
        touched: bool [n, 1], nodes with a forgotten pair.
    """

    pairs: Positives
    graph: torch.Tensor
    final: torch.Tensor
    touched: torch.Tensor

    @classmethod
    def of(cls, forgotten: InteractionLog, final: torch.Tensor) -> Influence:
        """Of a forget set, and of the model that has learnt it."""
        pairs = Positives.of(forgotten)
        touched = np.zeros((len(final), 1), np.bool_)
        touched[pairs.user] = touched[pairs.n_users + pairs.item] = True
        return cls(pairs, dependency(pairs), final, torch.from_numpy(touched))


class InfluenceEncoder:
    """delta = eta(H - alpha W): H is what learnt vectors become along the forgotten edges, W the withdraw term.

    H = H_0 + A_delta H_0 + ... + A_delta^L H_0, and W = A_delta^L (tau * final): the final vectors that the request's
    nodes have given each other. eta is x <- LeakyReLU(x M + b), twice, M = 1 and b = 0 at first. So is H_0.

    Reference: Chen, Xia, Huang 2025, Pre-training for Recommendation Unlearning, SIGIR, on the influence encoder.

    Attributes:
        hidden: H_0, float32 [n, d].
        withdraw: tau, float32 [n, 1].
        mix: M and b of both layers of eta, float32 [d, d] and [d].
    """

    def __init__(self, hidden: torch.Tensor, withdraw: torch.Tensor, layers: int, alpha: float, slope: float) -> None:
        """Take copies of H_0 and tau.

        Args:
            hidden: H_0, float32 [n, d].
            withdraw: tau, float32 [n, 1].
            layers: L, at least 1.
            alpha: weight of the withdraw term.
            slope: of LeakyReLU below 0.
        """
        self.hidden = torch.nn.Parameter(hidden.clone())
        self.withdraw = torch.nn.Parameter(withdraw.clone())
        dim = hidden.shape[1]
        self.mix = [torch.nn.Parameter(part) for _ in range(2) for part in (torch.eye(dim), torch.zeros(dim))]
        self.depth = layers
        self.alpha = alpha
        self.slope = slope

    def layers(self, graph: torch.Tensor) -> list[torch.Tensor]:
        """H_0 to H_L over a graph, each float32 [n, d]."""
        found: list[torch.Tensor] = [self.hidden]
        for _ in range(self.depth):
            found.append(propagate(graph, found[-1], 1, first=False))
        return found

    def shift(self, influence: Influence, *, masked: bool, layers: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Delta, float32 [n, d].

        Args:
            influence: the request.
            masked: keep it off the nodes that have no forgotten pair.
            layers: what `layers` gives, if known.
        """
        back = self.withdraw * influence.final
        for _ in range(self.depth):
            back = propagate(influence.graph, back, 1, first=False)
        found = torch.stack(layers or self.layers(influence.graph)).sum(0) - self.alpha * back
        for matrix, offset in (self.mix[:2], self.mix[2:]):
            found = functional.leaky_relu(found @ matrix + offset, self.slope)
        return found * influence.touched if masked else found
