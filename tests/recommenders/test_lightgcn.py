"""LightGCN: propagation against the dense formula, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.propagation import adjacency, near, propagate
from recaudit.recommenders.sampling import Positives

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT, content, fitted
from .planted import make_log

LOG = make_log([0, 0, 1, 2, 2, 2, 4, 4], [0, 1, 1, 0, 2, 4, 4, 4], 5, 6)


def dense_adjacency() -> torch.Tensor:
    """D^-1/2 [[0, R], [R', 0]] D^-1/2 with 0 for nodes without edges."""
    seen = torch.from_numpy(LOG.matrix().toarray()).double()
    n_users, n_items = seen.shape
    whole = torch.zeros(n_users + n_items, n_users + n_items, dtype=torch.float64)
    whole[:n_users, n_users:] = seen
    whole[n_users:, :n_users] = seen.T
    root = whole.sum(1).rsqrt().nan_to_num(posinf=0.0)
    return root[:, None] * whole * root


def dense_mean(graph: torch.Tensor, base: torch.Tensor, layers: int, first: bool) -> torch.Tensor:
    """The mean of layers, added up one by one."""
    every = [base]
    for _ in range(layers):
        every.append(graph @ every[-1])
    return torch.stack(every if first else every[1:]).mean(0)


def test_adjacency_is_the_normalised_one() -> None:
    graph = adjacency(Positives.of(LOG))
    assert graph.layout == torch.sparse_csr
    assert torch.allclose(graph.to_dense().double(), dense_adjacency(), atol=1e-7)
    assert torch.equal(graph.to_dense(), graph.to_dense().T)


def test_reordered_adjacency_is_the_same_graph() -> None:
    pairs = Positives.of(SPLIT.train)
    places = near(pairs)
    assert np.array_equal(np.sort(places), np.arange(pairs.n_users + pairs.n_items))
    assert places[: pairs.n_users].max() < pairs.n_users
    plain, moved = adjacency(pairs).to_dense(), adjacency(pairs, "cpu", places).to_dense()
    assert torch.equal(plain, moved[places][:, places])


def test_neighbours_come_near_each_other() -> None:
    """Tastes that do not overlap end up in separate runs of rows."""
    source = np.random.default_rng(5)
    user = np.repeat(np.arange(60), 20)
    item = 3 * source.integers(0, 30, len(user)) + user % 3
    pairs = Positives.of(make_log(user, item, 60, 90))
    places = near(pairs, sweeps=60)
    span = [np.ptp(places[:60][np.arange(60) % 3 == group]) for group in range(3)]
    assert max(span) < 40


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_propagation_and_its_gradient_are_the_dense_ones(layers: int, first: bool) -> None:
    graph = adjacency(Positives.of(LOG))
    base = torch.randn(11, 4, generator=torch.Generator().manual_seed(1))
    pull = torch.randn(11, 4, generator=torch.Generator().manual_seed(2))
    ours, plain = base.clone().requires_grad_(), base.double().requires_grad_()
    value = propagate(graph, ours, layers, first=first)
    expected = dense_mean(dense_adjacency(), plain, layers, first)
    assert torch.allclose(value.double(), expected, atol=1e-6)
    (value * pull).sum().backward()
    (expected * pull).sum().backward()
    assert ours.grad is not None
    assert plain.grad is not None
    assert torch.allclose(ours.grad.double(), plain.grad, atol=1e-6)
    assert torch.equal(ours.detach(), base)


def test_saved_vectors_are_the_propagated_base() -> None:
    model = fitted(LightGCN)
    state = model.state()
    graph = adjacency(Positives.of(SPLIT.train))
    whole = propagate(graph, torch.cat([state["user_base"], state["item_base"]]), model.config.layers)
    assert torch.allclose(whole, torch.cat([state["user"], state["item"]]), atol=1e-6)


def test_softmax_model_can_be_scored_by_dot_products() -> None:
    cosine, dot = fitted(LightGCN), fitted(LightGCN, score="dot")
    assert content(cosine) == content(dot)
    user, item = dot.state()["user"].numpy(), dot.state()["item"].numpy()
    assert np.allclose(dot.scores(np.arange(3), SPLIT.train), user[:3] @ item.T, atol=1e-5)
    lengths = np.linalg.norm(user[:3], axis=1)[:, None] * np.linalg.norm(item, axis=1)
    assert np.allclose(cosine.scores(np.arange(3), SPLIT.train) * lengths, user[:3] @ item.T, atol=1e-5)


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[LightGCN]], None]) -> None:
    examine(LightGCN)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[LightGCN], str], None], loss: str) -> None:
    examine(LightGCN, loss)
