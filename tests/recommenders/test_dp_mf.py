"""DP-MF: gradients are those of the loss, clipped a user at a time; noise is on every row; the claim is opacus's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import read_log
from recaudit.datasets.split import Split, make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.dp import on_sphere, sampled_epsilon, sampled_noise
from recaudit.recommenders.dp_mf import DPMF, DPMFConfig, clipped
from recaudit.recommenders.evaluate import evaluate

USERS, ITEMS = 12, 15


def log_of(matrix: np.ndarray) -> InteractionLog:
    user, item = np.nonzero(matrix)
    ids = [np.array([str(i) for i in range(n)]) for n in matrix.shape]
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *ids)


def random_matrix(source: np.random.Generator, users: int = USERS, items: int = ITEMS) -> np.ndarray:
    return source.random((users, items)) < source.random((users, 1)) * 0.9 + 0.1


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20))
def test_the_gradient_is_that_of_the_loss_clipped_user_by_user(seed: int, clip: float) -> None:
    source = np.random.default_rng(seed)
    dense = random_matrix(source)
    users = on_sphere(source.normal(size=(USERS, 3))) * dense.any(axis=1, keepdims=True)
    items = source.normal(size=(ITEMS, 3)) * source.choice([0.1, 1.0, 10.0])
    weights = source.choice([0.0, 0.4, 1.0], USERS)
    expected = np.zeros_like(items)
    for own, user, weight in zip(dense, users, weights, strict=True):
        table = torch.tensor(items, requires_grad=True)
        score = table @ torch.from_numpy(user)
        observed = torch.from_numpy(own.astype(float))
        loss = (observed * (score - 1) ** 2 + 0.3 * score**2).sum() / 2
        loss.backward()
        gradient = table.grad.numpy()
        expected += weight * gradient * min(1.0, clip / max(np.linalg.norm(gradient), 1e-300))
    found = clipped(log_of(dense).matrix(), users, items, 0.3, clip, weights)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, USERS - 1), st.sampled_from([0.01, 0.5, 3.0]))
@example(391, 0, 0.01)  # in float32 another user of the group moved by its last digits
def test_with_the_same_noise_one_user_moves_a_step_by_at_most_the_clip(seed: int, gone: int, clip: float) -> None:
    source = np.random.default_rng(seed)
    dense = random_matrix(source)
    without = dense.copy()
    without[gone] = False
    model = DPMF(DPMFConfig(dim=3, clip=clip, sample_rate=0.7))
    items = source.normal(size=(ITEMS, 3)) * source.choice([0.01, 1.0, 100.0])
    one, other = (
        model.noised_gradient(log_of(rows).matrix(), items, np.ones(USERS), 1.3, np.random.default_rng(seed))
        for rows in (dense, without)
    )
    assert np.linalg.norm(one - other) <= clip / (0.7 * USERS) * (1 + 1e-9)
    in_sample = np.random.default_rng(seed).random(USERS)[gone] < 0.7
    assert (np.abs(one - other).max() > 0) == bool(in_sample and dense[gone].any())


def test_noise_is_on_every_row_of_every_step_also_if_nobody_is_sampled() -> None:
    own = log_of(np.eye(50, 2_000, dtype=bool)).matrix()
    model = DPMF(DPMFConfig(dim=4, clip=2.0, sample_rate=1e-6))
    found = model.noised_gradient(own, np.ones((2_000, 4)), np.ones(50), 1.5, np.random.default_rng(0))
    assert (found != 0).all()
    assert found.std() == pytest.approx(1.5 * 2.0 / (1e-6 * 50), rel=0.03)


def test_noise_reaches_items_without_users_in_the_fitted_table() -> None:
    matrix = random_matrix(np.random.default_rng(0), 30, 40)
    matrix[:, 20:] = False
    tables = {}
    for noise in (0.0, 1.0):
        model = DPMF(DPMFConfig(dim=4, noise_multiplier=noise, epochs=3))
        model.fit(log_of(matrix), 0)
        tables[noise] = model.embeddings()[1][20:]
    assert (np.abs(tables[1.0] - tables[0.0]).max(axis=1) > 1e-4).all()


def test_same_seed_same_bytes_and_validation_is_not_read() -> None:
    log = log_of(random_matrix(np.random.default_rng(6)))
    states = []
    for valid in (None, None, Split(log, log, log, "given")):
        model = DPMF(DPMFConfig(dim=3, epochs=2))
        model.fit(log, 7, valid=valid)
        states.append({name: tensor.numpy().tobytes() for name, tensor in model.state().items()})
    assert states[0] == states[1] == states[2]
    other = DPMF(DPMFConfig(dim=3, epochs=2))
    other.fit(log, 8)
    assert other.state()["item_vectors"].numpy().tobytes() != states[0]["item_vectors"]


def test_a_user_of_weight_zero_leaves_no_trace_in_the_items_and_none_may_weigh_more_than_one() -> None:
    dense = random_matrix(np.random.default_rng(8))
    weights = np.ones(USERS, np.float32)
    weights[2] = 0
    without = dense.copy()
    without[2] = False
    found = []
    for rows, given_weights in ((dense, weights), (without, None)):
        model = DPMF(DPMFConfig(dim=3, epochs=2))
        model.fit(log_of(rows), 0, weights=given_weights)
        found.append(model.embeddings()[1])
    np.testing.assert_allclose(*found, atol=1e-6)
    with pytest.raises(DataError, match="above 1"):
        DPMF(DPMFConfig(dim=3)).fit(log_of(dense), 0, weights=weights * 2)


def test_epsilon_is_what_opacus_says() -> None:
    from opacus.accountants import RDPAccountant

    log = log_of(random_matrix(np.random.default_rng(9)))
    model = DPMF(DPMFConfig(dim=3, epsilon=3.0, sample_rate=0.25))
    model.fit(log, 0, epochs=5)
    claim = model.guarantee()
    assert (claim["steps"], claim["sample_rate"], claim["delta"], model.epochs) == (20, 0.25, 1e-5, 5)
    assert 2.95 < claim["epsilon"] <= 3.0
    direct = RDPAccountant()
    for _ in range(20):
        direct.step(noise_multiplier=claim["noise_multiplier"], sample_rate=0.25)
    # the same accountant, at its own choice of Renyi orders
    assert claim["epsilon"] == pytest.approx(direct.get_epsilon(delta=1e-5), rel=0.02)
    loaded = DPMF(model.config)
    loaded.load(model.state(), USERS, ITEMS)
    assert loaded.guarantee() == claim and json.dumps(claim)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 20), st.floats(1.01, 3), st.sampled_from([0.05, 0.3, 1.0]), st.integers(1, 200))
def test_more_noise_fewer_steps_and_smaller_samples_mean_less_epsilon(
    noise: float, factor: float, rate: float, steps: int
) -> None:
    epsilon = sampled_epsilon(noise, 1e-5, rate, steps)
    assert sampled_epsilon(noise * factor, 1e-5, rate, steps) <= epsilon
    assert epsilon <= sampled_epsilon(noise, 1e-5, rate, steps + 1)
    assert sampled_epsilon(noise, 1e-5, rate / 2, steps) <= epsilon


def test_a_budget_below_the_accountant_and_a_missing_accountant_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="raise epsilon"):
        sampled_noise(1e-3, 1e-5, 0.2, 10)
    log = log_of(random_matrix(np.random.default_rng(10)))
    monkeypatch.setitem(sys.modules, "opacus.accountants.utils", None)
    model = DPMF(DPMFConfig(dim=3, noise_multiplier=0, epochs=1))
    model.fit(log, 0)
    assert model.guarantee()["epsilon"] is None
    with pytest.raises(InputError, match=r"pip install 'recaudit\[dp\]'"):
        DPMF(DPMFConfig(dim=3)).fit(log, 0)


def test_quality_on_movielens(shared: Path) -> None:
    split = make_split(read_log(shared / "data" / "movielens-100k"), "ratio:0.8,0.1,0.1")
    found = {}
    for name, config in (
        ("popularity", {}),
        ("dp-mf", {"noise_multiplier": 0}),
        ("dp-mf", {"epsilon": 10}),
        ("dp-mf", {"epsilon": 0.1}),
    ):
        model = fit(Recipe(name, config), split.train, 0)
        found[(name, *config.values())] = evaluate(model, split.test, split.history, cutoffs=(20,))["ndcg@20"]
    popular = found[("popularity",)]
    assert found[("dp-mf", 0)] > 1.4 * popular
    assert found[("dp-mf", 0)] > found[("dp-mf", 10)] > popular > found[("dp-mf", 0.1)]
