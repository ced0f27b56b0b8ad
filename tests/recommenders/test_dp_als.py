"""DP-ALS: one user moves the noised sums by no more than the bound, noise is everywhere, the claim is opacus's."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import read_log
from recaudit.datasets.split import Split, make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.dp import gaussian_epsilon, gaussian_noise, local_vectors, on_sphere
from recaudit.recommenders.dp_als import DPALS, DPALSConfig, Sums, contributions, deviations, release, solve_items, sums
from recaudit.recommenders.evaluate import evaluate

USERS, ITEMS = 12, 15


def log_of(matrix: np.ndarray) -> InteractionLog:
    user, item = np.nonzero(matrix)
    ids = [np.array([str(i) for i in range(n)]) for n in matrix.shape]
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *ids)


def random_matrix(source: np.random.Generator, users: int = USERS, items: int = ITEMS) -> np.ndarray:
    return source.random((users, items)) < source.random((users, 1)) * 0.9 + 0.1


def scaled_distance(one: Sums, other: Sums, config: DPALSConfig, noise: float) -> float:
    """How far two releases lie apart, each part in units of its own noise."""
    on_linear, on_gram, on_local = deviations(config, noise)
    square = ((one.linear - other.linear) ** 2).sum() / on_linear**2 + ((one.gram - other.gram) ** 2).sum() / on_gram**2
    if one.local is not None and other.local is not None:
        square += ((one.local - other.local) ** 2).sum() / on_local**2
    return float(np.sqrt(square))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3]), st.sampled_from(["scale", "sample"]), st.integers(1, 20),
    st.sampled_from([0.3, 1.0, 7.0]),
)  # fmt: skip
def test_one_user_moves_a_release_by_at_most_one_over_the_noise(
    seed: int, local: float, way: str, limit: int, noise: float
) -> None:
    source = np.random.default_rng(seed)
    config = DPALSConfig(dim=3, items_per_user=limit, local_share=local, contribution=way)
    dense = random_matrix(source)
    items = source.normal(size=(ITEMS, 3))
    weights = source.choice([0.0, 0.5, 1.0], USERS)
    released = []
    for rows in (dense, np.where(np.arange(USERS)[:, None] == USERS - 1, False, dense)):
        own = log_of(rows).matrix()
        shares = contributions(own, weights, limit, way, np.random.default_rng(1))
        users = on_sphere(local_vectors(own, items, config))
        released.append(
            release(sums(shares, users, weights, bool(local)), config, noise, np.random.default_rng(seed + 1))
        )
    assert scaled_distance(*released, config, noise) <= (1 + 1e-6) / noise


def test_the_bound_is_reached_so_the_noise_is_not_more_than_needed() -> None:
    config = DPALSConfig(dim=2, items_per_user=4, local_share=0.2)
    own = sparse.csr_matrix(np.ones((1, 9), np.float32))
    shares = contributions(own, np.ones(1), 4, "scale", np.random.default_rng(0))
    user = np.array([[0.6, 0.8]])
    with_user = sums(shares, user, np.ones(1), True)
    without = Sums(*(np.zeros_like(part) for part in (with_user.linear, with_user.gram, with_user.local)))
    assert scaled_distance(with_user, without, config, 2.0) == pytest.approx(1 / 2.0)


@pytest.mark.parametrize("way", ["scale", "sample"])
def test_no_user_contributes_more_than_k_items_worth(way: str) -> None:
    own = log_of(random_matrix(np.random.default_rng(3), 40, 30)).matrix()
    shares = contributions(own, np.ones(40), 6, way, np.random.default_rng(0))
    energy = np.asarray(shares.power(2).sum(axis=1)).ravel()
    counts = np.diff(own.indptr)
    np.testing.assert_allclose(energy, np.minimum(counts, 6))
    assert (counts > 6).any() and ((shares != 0).toarray() <= own.toarray().astype(bool)).all()


def test_noise_has_its_size_on_every_item_also_where_no_user_is() -> None:
    config = DPALSConfig(dim=4, items_per_user=9, local_share=0.2, gram_share=0.1)
    nobody = Sums(np.zeros((3_000, 4)), np.zeros((4, 4)), np.zeros((3_000, 4, 4)))
    released = release(nobody, config, 1.5, np.random.default_rng(0))
    assert (released.linear != 0).all()
    assert released.linear.std() == pytest.approx(1.5 * math.sqrt(9 / 0.7), rel=0.02)
    assert released.local is not None
    # what goes in is noise (Z + Z') / 2 of this deviation, cut to its positive part: half of d (d + 1) / 2 energies
    expected = (1.5 * math.sqrt(9 / 0.2)) ** 2 * 10 / 2
    assert (released.local**2).sum(axis=(1, 2)).mean() == pytest.approx(expected, rel=0.05)
    assert np.linalg.eigvalsh(released.local).min() > -1e-9
    assert np.linalg.eigvalsh(released.gram).min() > -1e-9


def test_noise_reaches_items_without_users_in_the_fitted_table() -> None:
    matrix = random_matrix(np.random.default_rng(0), 30, 40)
    matrix[:, 20:] = False
    tables = {}
    for noise in (0.0, 1.0):
        model = DPALS(DPALSConfig(dim=4, noise_multiplier=noise))
        model.fit(log_of(matrix), 0)
        tables[noise] = model.embeddings()[1][20:]
    assert (tables[0.0] == 0).all() and (np.abs(tables[1.0]) > 0).all()


def test_items_are_solved_from_their_normal_equations() -> None:
    source = np.random.default_rng(4)
    config = DPALSConfig(dim=3, local_share=0.1)
    local, gram = (
        part @ np.swapaxes(part, -1, -2) for part in (source.normal(size=(5, 3, 3)), source.normal(size=(3, 3)))
    )
    linear = source.normal(size=(5, 3))
    found = solve_items(Sums(linear, gram, local), config, 7)
    ridge = config.item_regularisation * config.unobserved * 7 * np.eye(3)
    for item in range(5):
        expected = np.linalg.solve(local[item] + config.unobserved * gram + ridge, linear[item])
        np.testing.assert_allclose(found[item], expected, atol=1e-10)
    common = solve_items(Sums(linear, gram, None), config, 7)
    np.testing.assert_allclose(common, np.linalg.solve(config.unobserved * gram + ridge, linear.T).T, atol=1e-10)


def test_a_users_own_vector_reads_nobody_elses_events() -> None:
    source = np.random.default_rng(5)
    dense = random_matrix(source)
    other = random_matrix(source)
    other[3] = dense[3]
    items = source.normal(size=(ITEMS, 4))
    found = [local_vectors(log_of(rows).matrix(), items, DPALSConfig(dim=4))[3] for rows in (dense, other)]
    np.testing.assert_array_equal(*found)


def test_same_seed_same_bytes_and_validation_is_not_read() -> None:
    log = log_of(random_matrix(np.random.default_rng(6)))
    states = []
    for valid in (None, None, Split(log, log, log, "given")):
        model = DPALS(DPALSConfig(dim=3))
        model.fit(log, 7, valid=valid)
        states.append({name: tensor.numpy().tobytes() for name, tensor in model.state().items()})
    assert states[0] == states[1] == states[2]
    other = DPALS(DPALSConfig(dim=3))
    other.fit(log, 8)
    assert other.state()["item_vectors"].numpy().tobytes() != states[0]["item_vectors"]


def test_a_user_of_weight_zero_leaves_no_trace_in_the_items_and_none_may_weigh_more_than_one() -> None:
    dense = random_matrix(np.random.default_rng(8))
    weights = np.ones(USERS, np.float32)
    weights[-1] = 0
    without = dense.copy()
    without[-1] = False
    found = []
    for rows, given_weights in ((dense, weights), (without, None)):
        model = DPALS(DPALSConfig(dim=3))
        model.fit(log_of(rows), 0, weights=given_weights)
        found.append(model.embeddings()[1])
    np.testing.assert_allclose(*found, atol=1e-6)
    with pytest.raises(DataError, match="above 1"):
        DPALS(DPALSConfig(dim=3)).fit(log_of(dense), 0, weights=weights * 2)


def test_epsilon_is_what_opacus_says() -> None:
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis.gdp import eps_from_mu

    log = log_of(random_matrix(np.random.default_rng(9)))
    model = DPALS(DPALSConfig(dim=3, epsilon=3.0))
    model.fit(log, 0, epochs=4)
    claim = model.guarantee()
    noise = claim["noise_multiplier"]
    assert (claim["steps"], claim["sample_rate"], claim["delta"], model.epochs) == (4, 1.0, 1e-5, 4)
    assert claim["epsilon"] == pytest.approx(eps_from_mu(mu=2 / noise, delta=1e-5), abs=1e-9)
    assert 3.0 - 1e-6 < claim["epsilon"] <= 3.0
    bound = RDPAccountant()
    for _ in range(4):
        bound.step(noise_multiplier=noise, sample_rate=1.0)
    assert claim["epsilon"] <= bound.get_epsilon(delta=1e-5) <= 1.3 * claim["epsilon"]
    loaded = DPALS(model.config)
    loaded.load(model.state(), USERS, ITEMS)
    assert loaded.guarantee() == claim and json.dumps(claim)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 50), st.floats(1.01, 3), st.integers(1, 20))
def test_more_noise_or_fewer_releases_mean_less_epsilon(noise: float, factor: float, releases: int) -> None:
    epsilon = gaussian_epsilon(noise, 1e-5, releases)
    assert gaussian_epsilon(noise * factor, 1e-5, releases) <= epsilon <= gaussian_epsilon(noise, 1e-5, releases + 1)
    if 0.01 < epsilon < 100:
        assert gaussian_noise(epsilon, 1e-5, releases) == pytest.approx(noise, rel=1e-6)


def test_without_noise_nothing_is_promised_and_no_accountant_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opacus.accountants.analysis.gdp", None)
    log = log_of(random_matrix(np.random.default_rng(10)))
    model = DPALS(DPALSConfig(dim=3, noise_multiplier=0))
    with pytest.raises(InputError, match="not fitted"):
        model.guarantee()
    model.fit(log, 0)
    assert model.guarantee()["epsilon"] is None
    with pytest.raises(InputError, match=r"pip install 'recaudit\[dp\]'"):
        DPALS(DPALSConfig(dim=3)).fit(log, 0)


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="local_share"):
        DPALS(DPALSConfig(gram_share=0.5, local_share=0.5)).fit(log_of(random_matrix(np.random.default_rng(0))), 0)


def test_quality_on_movielens(shared: Path) -> None:
    split = make_split(read_log(shared / "data" / "movielens-100k"), "ratio:0.8,0.1,0.1")
    found = {}
    for name, config in (
        ("popularity", {}),
        ("dp-als", {"noise_multiplier": 0}),
        ("dp-als", {"epsilon": 10}),
        ("dp-als", {"epsilon": 0.1}),
    ):
        model = fit(Recipe(name, config), split.train, 0)
        found[(name, *config.values())] = evaluate(model, split.test, split.history, cutoffs=(20,))["ndcg@20"]
    popular = found[("popularity",)]
    assert found[("dp-als", 0)] > 1.4 * popular
    assert found[("dp-als", 0)] > found[("dp-als", 10)] > popular > found[("dp-als", 0.1)]
