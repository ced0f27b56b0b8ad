"""Graph propagation at the price of the bare sparse product, forward and backward.

The normalised adjacency is symmetric, so the gradient of a product with it is the same product again; autograd
would transpose the matrix anew in every step.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch_geometric.nn import LGConv

from ..datasets.log import Float32, Int64
from .sampling import Positives


def adjacency(pairs: Positives, device: torch.device | str = "cpu", places: Int64 | None = None) -> torch.Tensor:
    """The symmetrically normalised bipartite adjacency, users first.

    Entry (u, U + i) is 1 / sqrt(deg(u) deg(i)) where u interacted with i; nodes without edges have empty rows.

    Args:
        pairs: the edges.
        device: where to put it.
        places: the row of each node, int64 [U + I], if not its number (`near`).

    Shapes: P pairs -> torch CSR float32 [U + I, U + I] with 2P entries.

    Reference: He et al. 2020, LightGCN, equations 7 and 8.
    """
    return weighted_adjacency(pairs, None, device, places)


def weighted_adjacency(
    pairs: Positives, weights: Float32 | None, device: torch.device | str = "cpu", places: Int64 | None = None
) -> torch.Tensor:
    """`adjacency` with edges that count what their user counts: w_u / sqrt(deg_u deg_i) with weighted degrees.

    Args:
        pairs: the edges.
        weights: float32 [U], above 0 for users with edges; None for all ones.
        device: as above.
        places: as above.
    """
    nodes = pairs.n_users + pairs.n_items
    user, item = pairs.user, pairs.item + pairs.n_users
    weight = np.ones(len(user)) if weights is None else weights[user].astype(np.float64)
    if places is not None:
        user, item = places[user], places[item]
    ends = np.concatenate([user, item]), np.concatenate([item, user])
    degree = np.bincount(ends[0], np.concatenate([weight, weight]), minlength=nodes)
    value = (weight / np.sqrt(degree[user] * degree[item])).astype(np.float32)
    return on_device(sparse.csr_matrix((np.concatenate([value, value]), ends), shape=(nodes, nodes)), device)


def on_device(
    matrix: sparse.csr_matrix, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """A scipy CSR matrix as a torch one, with indices as small as they may be."""
    index = np.int32 if matrix.nnz < np.iinfo(np.int32).max else np.int64
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse ")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(index)),
            torch.from_numpy(matrix.indices.astype(index)),
            torch.from_numpy(matrix.data).to(dtype),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )


def near(pairs: Positives, sweeps: int = 10) -> Int64:
    """A row for each node such that neighbours lie near each other: int64 [U + I], users' rows before items'.

    Users and items are ranked in turn by the mean rank of their neighbours, so that nodes with common neighbours
    drift together. A product with the reordered adjacency finds more of its rows in the cache, the more the larger
    the tables; on tables that fit the cache it changes nothing.

    Reference: Sugiyama, Tagawa and Toda 1981, Methods for Visual Understanding of Hierarchical System Structures
    (the barycentre heuristic).
    """
    rows = sparse.csr_matrix(
        (np.ones(len(pairs), np.float32), (pairs.user, pairs.item)), shape=(pairs.n_users, pairs.n_items)
    )
    columns = rows.T.tocsr()
    degrees = [np.diff(matrix.indptr).clip(1) for matrix in (rows, columns)]
    user, item = np.arange(pairs.n_users), np.arange(pairs.n_items)
    for _ in range(sweeps):
        user = _ranks(rows @ item / degrees[0])
        item = _ranks(columns @ user / degrees[1])
    return np.concatenate([user, item + pairs.n_users])


def _ranks(values: NDArray[np.float64]) -> Int64:
    order = np.argsort(values, kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def propagate(graph: torch.Tensor, base: torch.Tensor, layers: int, *, first: bool = True) -> torch.Tensor:
    """The mean of the embeddings of all layers, differentiable in `base`.

    Args:
        graph: what `adjacency` gives, float32 CSR [n, n].
        base: layer 0, float32 [n, d].
        layers: L, the number of propagations.
        first: whether layer 0 counts in the mean: layers 0..L (LightGCN) or 1..L (SimGCL).
    """
    result: torch.Tensor = _Views.apply(graph, base, layers, first, 0.0, None)[0]  # type: ignore[no-untyped-call]
    return result


def perturbed(
    graph: torch.Tensor, base: torch.Tensor, layers: int, strength: float, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean of layers 1..L, and twice the same with noise of a fixed length added after every layer.

    The noise of a node is a random direction within the orthant of its embedding, `strength` long. It does not
    depend on the base smoothly, so all three have the same Jacobian and share one backward propagation.

    Reference: Yu et al. 2022, Are Graph Augmentations Necessary? (SimGCL), equations 7 to 9.
    """
    views: tuple[torch.Tensor, torch.Tensor, torch.Tensor] = _Views.apply(  # type: ignore[no-untyped-call]
        graph, base, layers, False, strength, rng
    )
    return views


@cache
def _product() -> LGConv:
    """torch-geometric's LightGCN layer; the adjacency comes normalised."""
    return LGConv(normalize=False)


def _mean_of_layers(
    graph: torch.Tensor, base: torch.Tensor, layers: int, first: bool, once: torch.Tensor | None = None
) -> torch.Tensor:
    """(x + A x + ... + A^L x) / (L + 1), or (A x + ... + A^L x) / L, by Horner's rule; `once` is A x if known."""
    product = _product()
    total = base
    for layer in range(layers):
        total = once.clone() if layer == 0 and once is not None else product(total, graph)
        if first or layer < layers - 1:
            total += base
    return total / (layers + first) if first or layers > 1 else total


def _noisy_mean(
    graph: torch.Tensor, once: torch.Tensor, layers: int, strength: float, rng: torch.Generator
) -> torch.Tensor:
    product = _product()
    now = once.clone()
    total = torch.zeros_like(once)
    for layer in range(layers):
        now = product(now, graph) if layer else now
        noise = torch.rand(now.shape, generator=rng, device=now.device)
        length = noise.norm(dim=-1, keepdim=True).clamp_min_(1e-12)
        now += noise.div_(length).mul_(now.sign()).mul_(strength)
        total += now
    return total.div_(layers)


class _Views(torch.autograd.Function):
    """Mean of layers, alone or with two noisy copies; the backward is the same mean of layers."""

    @staticmethod
    def forward(
        ctx: Any,
        graph: torch.Tensor,
        base: torch.Tensor,
        layers: int,
        first: bool,
        strength: float,
        rng: torch.Generator | None,
    ) -> tuple[torch.Tensor, ...]:
        ctx.save_for_backward(graph)
        ctx.shape = layers, first
        if rng is None:
            return (_mean_of_layers(graph, base, layers, first),)
        once = _product()(base, graph)  # the first product is the same in all views
        clean = _mean_of_layers(graph, base, layers, first, once)
        return (clean, *(_noisy_mean(graph, once, layers, strength, rng) for _ in range(2)))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (graph,) = ctx.saved_tensors
        total = gradients[0]
        for gradient in gradients[1:]:
            total = total + gradient
        return None, _mean_of_layers(graph, total.contiguous(), *ctx.shape), None, None, None, None
