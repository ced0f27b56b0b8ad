"""Robust messages: exact on graphs small enough for the hand, and where they break down."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.testing as npt
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import trim_mean
from torch_geometric.nn.aggr import QuantileAggregation

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.defenses.base import shuffled
from recaudit.defenses.robust.propagation import (
    Aggregate,
    RobustEncoder,
    RobustPropagation,
    RobustPropagationConfig,
    Trimmed,
    aggregator,
)
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.propagation import adjacency, propagate
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.sampling import Positives

from .fake import LOG, RECIPES

SETTINGS: list[dict[str, Any]] = [
    {"aggregation": "trimmed", "trim": 0.2},
    {"aggregation": "median"},
    {"aggregation": "soft-medoid", "temperature": 0.5},
]
NEUTRAL: list[dict[str, Any]] = [
    {"aggregation": "trimmed", "trim": 0.0},
    {"aggregation": "soft-medoid", "temperature": 1e7},
]
RECIPE = RECIPES["lightgcn"]


def robust(**settings: Any) -> RobustPropagation:
    return RobustPropagation(RobustPropagationConfig(**settings))


def graph_of(edges: list[tuple[int, int]], users: int, items: int) -> torch.Tensor:
    user, item = np.array(sorted(edges)).T
    return adjacency(Positives(user, item, users, items))


def aggregate(graph: torch.Tensor, **settings: Any) -> Aggregate:
    return aggregator(RobustPropagationConfig(**settings), graph)


def star(values: list[float], **settings: Any) -> float:
    """The message to an item that has one user of each of these values, over the sum of its coefficients."""
    users = len(values)
    graph = graph_of([(user, 0) for user in range(users)], users, 1)
    message = aggregate(graph, **settings)(torch.tensor([[value] for value in [*values, 0.0]]))
    return float(message[users, 0]) / math.sqrt(users)  # the sum of n coefficients 1 / sqrt(n)


def ring(nodes: int, degree: int) -> torch.Tensor:
    """User u has the items u, u + 1, ...: all coefficients are 1 / degree."""
    return graph_of([(u, (u + k) % nodes) for u in range(nodes) for k in range(degree)], nodes, nodes)


def uneven() -> torch.Tensor:
    """Degrees from 0 (a user, an item) upwards."""
    draw = np.random.default_rng(1)
    edges = {(u, i) for u in range(11) for i in range(8) if draw.random() < (i + 1) / 10}
    return graph_of(list(edges), 12, 9)


def random_values(nodes: int, width: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(nodes, width, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_median_ignores_one_extreme_neighbour_of_three() -> None:
    assert star([1, 2, 1e6], aggregation="median") == pytest.approx(2)
    assert star([1, 2, -1e6], aggregation="median") == pytest.approx(1)
    assert star([1, 2, 4, 1e6], aggregation="median") == pytest.approx(3)
    assert star([1, 2, 1e6], aggregation="trimmed", trim=0.0) == pytest.approx(1000003 / 3)


@pytest.mark.parametrize("settings", [SETTINGS[1], SETTINGS[2], {"aggregation": "trimmed", "trim": 0.45}])
def test_a_node_with_more_fakes_than_genuine_neighbours_follows_the_fakes(settings: dict[str, Any]) -> None:
    genuine, fake = [0.0, 0.1, 0.2, 0.3, 0.4], 1e4
    assert abs(star([*genuine, *[fake] * 2], **settings)) < 60  # 2857 without a defence
    assert star([*genuine[:2], *[fake] * 5], **settings) > 9900


def test_trimmed_breaks_down_at_its_share() -> None:
    genuine = [1.0, 2.0, 3.0, 4.0]
    assert star([*genuine, 1e6], aggregation="trimmed", trim=0.2) == pytest.approx(3)
    assert star([*genuine[:3], 1e6, 1e6], aggregation="trimmed", trim=0.2) > 1e5
    # 0.29 of 100 are 29 although their product in binary is less
    assert star([*range(71), *[1e6] * 29], aggregation="trimmed", trim=0.29) == pytest.approx(np.mean(range(29, 71)))


def test_soft_medoid_keeps_the_crowd_but_one_far_fake_can_lend_weight_to_another() -> None:
    genuine = [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]
    settings = {"aggregation": "soft-medoid", "temperature": 0.01}
    assert star([*genuine, 100, 100], **settings) < 0.1
    assert star([*genuine, 100, 1000], **settings) > 90  # what the docstring warns of


@pytest.mark.parametrize("degree", [1, 2, 4, 5, 11])
def test_order_statistics_are_those_of_two_libraries(degree: int) -> None:
    graph = ring(11, degree)
    values = random_values(22)
    nodes = torch.repeat_interleave(torch.arange(22), graph.crow_indices().diff())
    each = values[graph.col_indices().long()]
    want = QuantileAggregation(0.5, "midpoint")(each, nodes, dim_size=22)
    npt.assert_allclose(aggregate(graph, aggregation="median")(values), want, rtol=1e-5, atol=1e-6)
    found = aggregate(graph, aggregation="trimmed", trim=0.3)(values)
    npt.assert_allclose(found, trim_mean(each.reshape(22, degree, 3).numpy(), 0.3, axis=1), rtol=1e-5, atol=1e-6)


def test_soft_medoid_is_that_of_all_pairs_of_squared_distances() -> None:
    graph = uneven()
    values = random_values(21, dtype=torch.float64)
    found = aggregate(graph, aggregation="soft-medoid", temperature=0.7)(values).numpy()
    dense, own = graph.to_dense().double().numpy(), values.numpy()
    for node in range(21):
        near = np.flatnonzero(dense[node])
        if len(near) == 0:
            assert (found[node] == 0).all()
            continue
        pairs = np.square(own[near][:, None] - own[near]).sum((1, 2))  # sums over all others
        # the mean squared distance to the mean is the sum over pairs over 2 n^2
        far = pairs / len(near) / max(pairs.sum() / (2 * len(near) ** 2), 1e-300) / 0.7
        share = dense[node, near] * np.exp(-far)
        npt.assert_allclose(found[node], dense[node].sum() * (share / share.sum()) @ own[near], atol=1e-6)


@pytest.mark.parametrize("settings", NEUTRAL)
def test_neutral_settings_give_lightgcn(settings: dict[str, Any]) -> None:
    graph = uneven()
    values = random_values(21)
    found = RobustEncoder(np.arange(21), aggregate(graph, **settings), 3).final(values)
    npt.assert_allclose(found, propagate(graph, values, 3), rtol=1e-5, atol=1e-6)
    users = np.arange(10)
    trained = robust(**settings).fit(RECIPE, LOG, 2).model.scores(users, LOG)
    npt.assert_allclose(trained, fit(RECIPE, LOG, 2).scores(users, LOG), atol=1e-3)
    assert abs(robust(**SETTINGS[0]).fit(RECIPE, LOG, 2).model.scores(users, LOG) - trained).max() > 0.01


def test_nodes_with_one_or_two_neighbours_get_lightgcns_message() -> None:
    graph = graph_of([(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (3, 2)], 4, 3)  # item 2 has three
    values = random_values(7)
    plain = graph @ values
    for settings in SETTINGS[:2]:
        found = aggregate(graph, **settings)(values)
        npt.assert_allclose(found[:6], plain[:6], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(found[6], plain[6])


@pytest.mark.parametrize("settings", SETTINGS)
def test_gradients_by_finite_differences(settings: dict[str, Any]) -> None:
    encoder = RobustEncoder(np.arange(21), aggregate(uneven(), **settings), 2)
    base = random_values(21, 2, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(encoder.final, (base,), eps=1e-6, atol=1e-5)


def test_equal_values_are_kept_together_so_that_no_order_matters() -> None:
    # two of the three ones would be kept by count; with equal coefficients any two give the same mean as all three
    assert star([1, 1, 1, 5], aggregation="median") == pytest.approx(1)
    users = 4
    graph = graph_of([(user, 0) for user in range(users)], users, 1)
    values = torch.tensor([[1.0], [1.0], [1.0], [5.0], [0.0]], requires_grad=True)
    message = aggregate(graph, aggregation="median")(values)[users, 0]
    (gradient,) = torch.autograd.grad(message, values)
    assert gradient[0] == gradient[1] == gradient[2] > 0 and gradient[3] == 0


@pytest.mark.parametrize("settings", SETTINGS)
def test_accounts_have_no_places(settings: dict[str, Any]) -> None:
    order = np.random.default_rng(0).permutation(LOG.n_users)
    other = shuffled(LOG, order)
    base = random_values(LOG.n_users + LOG.n_items, 4)
    moved = torch.cat([base[: LOG.n_users][order], base[LOG.n_users :]])
    found, again = (
        RobustEncoder(np.arange(len(base)), aggregate(adjacency(Positives.of(log)), **settings), 2).final(values)
        for log, values in ((LOG, base), (other, moved))
    )
    npt.assert_allclose(again[: LOG.n_users], found[: LOG.n_users][order], atol=1e-5)
    npt.assert_allclose(again[LOG.n_users :], found[LOG.n_users :], atol=1e-5)


def test_blocks_hold_every_edge_once_and_little_else() -> None:
    draw = np.random.default_rng(0)
    edges = {(int(u), int(i)) for u, i in zip(draw.zipf(1.3, 30000) % 2000, draw.zipf(1.2, 30000) % 9000, strict=True)}
    graph = graph_of(list(edges), 2000, 9000)
    blocks = Trimmed(graph, lambda degree: (degree - 1) // 2).blocks
    rows = torch.cat([block.rows for block in blocks])
    assert rows.sort().values.equal(torch.nonzero(graph.crow_indices().diff()).ravel())
    real = sum(int((block.at < 11000).sum()) for block in blocks)
    padded = sum(block.at.numel() for block in blocks)
    assert real == 2 * len(edges) and padded < 1.2 * real
    assert all(block.at.numel() <= 2**12 or len(block.rows) == 1 for block in blocks)
    assert all((low <= high).all() for low, high in (block.ends for block in blocks))
    assert all(first.at.shape[1] <= second.at.shape[1] for first, second in pairwise(blocks))


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_model_is_a_lightgcn_that_repeats_itself(settings: dict[str, Any]) -> None:
    defended = robust(**settings).fit(RECIPE, LOG, 4)
    model: Any = defended.model
    assert type(model) is LightGCN and model.epochs == RECIPE.epochs and defended.weights is None
    again: Any = robust(**settings).fit(RECIPE, LOG, 4).model
    other: Any = robust(**settings).fit(RECIPE, LOG, 5).model
    for name, (shape, dtype) in model.shapes(LOG.n_users, LOG.n_items).items():
        table = model.state()[name]
        assert tuple(table.shape) == shape and table.dtype == dtype
        assert torch.equal(table, again.state()[name]) and not torch.equal(table, other.state()[name])
    found = rank(model, None, LOG, 5, watch=np.array([0, 3], np.int32))
    assert found.slate.items.shape[1] == 5 and np.nanmin(found.watched) >= 1
    loaded = LightGCN(model.config)
    loaded.load(model.state(), LOG.n_users, LOG.n_items)
    users = np.arange(7)
    assert (loaded.scores(users, LOG) == model.scores(users, LOG)).all()


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("loss", ["bpr", "sampled_softmax"])
def test_tiny_logs(settings: dict[str, Any], loss: str) -> None:
    recipe = Recipe("lightgcn", {"dim": 4, "layers": 2, "loss": loss, "negatives": 4}, 2)
    for events in (
        [(0, 0)],
        [(0, 1), (2, 1)],
        [(user, user % 2) for user in range(9)],
        [(0, item) for item in range(7)],
    ):
        user, item = np.array(events, np.int32).T
        users, items = int(user.max()) + 2, int(item.max()) + 2  # one of each without events
        log = InteractionLog(user, item, np.arange(users).astype(str), np.arange(items).astype(str))
        scores = robust(**settings).fit(recipe, log, 0).model.scores(np.arange(users), log)
        assert scores.shape == (users, items) and np.isfinite(scores).all()


def test_accounts_of_weight_zero_have_no_edge() -> None:
    weights = np.ones(LOG.n_users, np.float32)
    weights[:30] = 0
    found = []
    for log in (LOG, LOG.without(LOG.user < 30)):
        model = fit(RECIPE, log, 1, weights=weights, harden=lambda own, log=log: robust().harden(own, log, 0, 3))
        found.append(model.scores(np.arange(40, 50), LOG))
    npt.assert_allclose(found[0], found[1], atol=1e-6)


def test_other_models_are_told_why_not_and_settings_are_checked() -> None:
    defense = robust()
    assert defense.why_not(RECIPE, LOG) is None
    for name in ("mf", "simgcl", "feature-lightgcn", "sasrec", "ease"):
        why = defense.why_not(Recipe(name, {}), LOG)
        assert why is not None and name in why
    with pytest.raises(InputError, match="robust-propagation needs the training of lightgcn"):
        defense.fit(RECIPES["mf"], LOG, 0)
    for wrong in ({"trim": 0.5}, {"trim": -0.1}, {"temperature": 0}, {"aggregation": "mean"}):
        with pytest.raises(ValidationError):
            robust(**wrong)
