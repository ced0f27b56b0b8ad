"""The influence step: exact on quadratics, near the retrain on a convex loss, towards it on a graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.datasets.seeding import derive
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, fit
from recaudit.recommenders.sampling import Positives
from recaudit.unlearn.approximate.gradients import FixedPairs, fixed, gradient, product
from recaudit.unlearn.approximate.influence import Influence, InfluenceConfig, chosen, conjugate_gradient, scope
from recaudit.unlearn.request import Request

from ..conformance import examine, requests, served, small_log

LOG = small_log()


@pytest.mark.parametrize("model", ["mf", "lightgcn", "simgcl"])
def test_conformance(model: str) -> None:
    examine(Influence(), Recipe(model, {"dim": 8, "max_epochs": 2}, 2))


def test_conformance_with_bpr_and_the_full_hessian() -> None:
    examine(
        Influence(InfluenceConfig(curvature="hessian", hops=0, sample=300)),
        Recipe("lightgcn", {"dim": 8, "max_epochs": 3, "loss": "bpr"}, 3),
    )


def test_other_models_are_refused() -> None:
    for model in ("ease", "feature-lightgcn", "sasrec"):
        assert model in str(Influence().why_not(Recipe(model, {}), LOG))


def test_one_step_is_the_retrain_of_a_quadratic_loss() -> None:
    draw = np.random.default_rng(0)
    x, y = torch.from_numpy(draw.standard_normal((50, 6))), torch.from_numpy(draw.standard_normal(50))
    ridge = 0.5 * torch.eye(6, dtype=torch.float64)

    def trained(rows: slice) -> torch.Tensor:
        found: torch.Tensor = torch.linalg.solve(x[rows].T @ x[rows] + ridge, x[rows].T @ y[rows])
        return found

    kept = slice(10, None)
    start, b = trained(slice(None)), x[:10].T @ (x[:10] @ trained(slice(None)) - y[:10])
    move = conjugate_gradient(lambda v: x[kept].T @ (x[kept] @ v) + ridge @ v, b, 0.0, 20, 1e-12)
    torch.testing.assert_close(start + move, trained(kept), rtol=0, atol=1e-6)


def test_damping_shortens_and_negative_curvature_stops() -> None:
    b = torch.tensor([3.0, 4.0], dtype=torch.float64)
    assert float(conjugate_gradient(lambda v: v, b, 1.0, 5, 0).norm()) == pytest.approx(2.5)
    assert not conjugate_gradient(lambda v: -v, b, 0.5, 5, 0).any()
    saddle = torch.tensor([1.0, -0.1], dtype=torch.float64)
    first = conjugate_gradient(lambda v: saddle * v, torch.tensor([1.0, 0.1], dtype=torch.float64), 0.0, 5, 0)
    assert first[0] > 0.9 and abs(float(first[1])) < 0.2


def _minimum(pairs: FixedPairs, base: torch.Tensor, free: torch.Tensor) -> torch.Tensor:
    """Newton's method on the users' rows."""
    for _ in range(30):
        slope = free * gradient(pairs, base, lambda x: x)
        if float(slope.norm()) < 1e-10:
            break

        def times(vector: torch.Tensor, at: torch.Tensor = base) -> torch.Tensor:
            return free * product(pairs, at, lambda x: x, vector)

        base = base - conjugate_gradient(times, slope, 0.0, 200, 1e-10)
    return base


def test_the_step_is_near_the_retrain_of_a_convex_loss_and_nothing_else_moves() -> None:
    request = requests(LOG)["pairs"]
    retained = request.retained(LOG)
    model = build(Recipe("mf", {"dim": 4, "loss": "bpr", "l2": 0.3}))
    draw = np.random.default_rng(0)
    base = torch.from_numpy(draw.standard_normal((LOG.n_users + LOG.n_items, 4)))
    users = np.arange(len(base)) < LOG.n_users
    free = torch.from_numpy(users).double()[:, None]
    before, after = fixed(model.config, Positives.of(LOG), Positives.of(retained), derive(5, "gradient"))
    start = _minimum(before, base, free)
    truth = _minimum(after, start, free) - start
    move = Influence(InfluenceConfig(damping=0, steps=100)).step(model, start, LOG, retained, 5, users)  # type: ignore[arg-type]
    assert float(torch.nn.functional.cosine_similarity(move.flatten(), truth.flatten(), dim=0)) > 0.9
    assert float(move.norm() / truth.norm()) == pytest.approx(1, abs=0.2)
    assert not move[LOG.n_users :].any()
    untouched = np.setdiff1d(np.arange(LOG.n_users), LOG.user[request.rows])
    assert not move[untouched].any()


def test_a_gradient_that_training_left_is_not_trained_away() -> None:
    """A table far from any minimum, all rows free, one step along b: of the users only the one who asked moves."""
    request = Request.of(LOG, "one pair", rows=np.array([0]))
    model = build(Recipe("mf", {"dim": 4, "loss": "bpr", "l2": 0.1}))
    base = torch.from_numpy(np.random.default_rng(0).standard_normal((LOG.n_users + LOG.n_items, 4)))
    retained, everything = request.retained(LOG), np.ones(len(base), np.bool_)
    unlearner = Influence(InfluenceConfig(steps=1))
    move = unlearner.step(model, base, LOG, retained, 0, everything)  # type: ignore[arg-type]
    moved = torch.nonzero(move.any(1))[:, 0].numpy()
    user, item = int(LOG.user[0]), int(LOG.item[0]) + LOG.n_users
    assert moved[moved < LOG.n_users].tolist() == [user]
    assert item in moved and len(moved) < 10
    assert float((base[user] * move[item] + base[item] * move[user]).sum()) < 0


def test_scope_grows_by_hops() -> None:
    old = Positives(np.array([0, 1, 1, 2]), np.array([0, 0, 1, 1]), 4, 3)
    kept = Positives(old.user[1:], old.item[1:], 4, 3)
    expected = {0: {0, 4}, 1: {0, 1, 4}, 2: {0, 1, 4, 5}, 3: {0, 1, 2, 4, 5}}
    for hops, nodes in expected.items():
        assert set(np.flatnonzero(scope(old, kept, hops))) == nodes


def test_sampled_pairs_stand_for_all() -> None:
    pairs = Positives.of(LOG)
    free = np.zeros(LOG.n_users + LOG.n_items, np.bool_)
    free[:5] = True
    near = pairs.user < 5
    found = chosen(pairs, free, 200, 0)
    assert found.sum() == pytest.approx(len(pairs), rel=1e-5)
    np.testing.assert_array_equal(found[near], 1)
    assert (found > 0).sum() == 200
    small = chosen(pairs, free, 30, 0)
    assert small[near].sum() == pytest.approx(near.sum(), rel=1e-5)
    assert (small > 0).sum() == 30


@pytest.mark.parametrize("model", ["mf", "lightgcn"])
def test_forgotten_pairs_move_towards_the_retrain(model: str) -> None:
    log = small_log(users=150, items=80, events=3000)
    before = served(Recipe(model, {"dim": 16, "max_epochs": 30, "negatives": 64}), log)
    request = Request.of(log, "pairs", rows=np.random.default_rng(0).choice(len(log), 150, replace=False))
    after = Influence().forget(before, request, 0)
    retrain = fit(before.recipe, after.log, 9)
    forgotten = request.forgotten(log)

    def mean(found: object) -> float:
        user, item = forgotten.user.astype(np.int64), forgotten.item.astype(np.int64)
        return float(percentiles(found, user, item, after.log).mean())  # type: ignore[arg-type]

    old, new, target = mean(before.model), mean(after.model), mean(retrain)
    assert old > target + 0.02
    assert abs(new - target) < 0.6 * (old - target)
