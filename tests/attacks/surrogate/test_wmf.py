"""Weighted matrix factorisation: exact half-sweeps, and gradients through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from recaudit.attacks.goal import Kind
from recaudit.attacks.surrogate.base import Accounts
from recaudit.attacks.surrogate.ridge import Rows, ridge
from recaudit.attacks.surrogate.wmf import WMF, WMFConfig, mean_ratings
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate

USERS, ITEMS = 20, 15


def small() -> InteractionLog:
    """Twenty users and fifteen items; user 19 and item 14 have no events."""
    log = generate(users=USERS, items=ITEMS, events=120, seed=1)
    keep = (log.user != 19) & (log.item != 14)
    assert log.value is not None and log.time is not None
    return replace(log, user=log.user[keep], item=log.item[keep], value=log.value[keep], time=log.time[keep])


def accounts(rating: float, features: int = 0) -> Accounts:
    """Three accounts with fractions of events."""
    rng = np.random.default_rng(0)
    present = torch.from_numpy(rng.uniform(0.1, 1, (3, ITEMS)))
    own = torch.from_numpy(rng.standard_normal((3, features))) if features else None
    return Accounts(present, present * rating, own)


def slopes(value: Callable[[torch.Tensor], torch.Tensor], at: torch.Tensor, step: float = 1e-5) -> torch.Tensor:
    """Central differences of a scalar at three cells."""
    found = []
    for cell in ((0, 0), (1, 7), (2, 14)):
        ends = []
        for sign in (1, -1):
            moved = at.clone()
            moved[cell] += sign * step
            ends.append(value(moved).item())
        found.append((ends[0] - ends[1]) / (2 * step))
    return torch.tensor(found, dtype=at.dtype)


@pytest.mark.parametrize("shared_system", [True, False])
def test_ridge_solves_each_row(shared_system: bool) -> None:
    """Against a dense solve of every row, those without cells included."""
    rng = np.random.default_rng(0)
    dense = rng.random((9, 6)) * (rng.random((9, 6)) < 0.5)
    dense[4] = 0.0
    matrix = sparse.csr_matrix(dense.astype(np.float32))
    vectors, offset = torch.from_numpy(rng.standard_normal((6, 3))), torch.from_numpy(rng.standard_normal(6))
    system = torch.eye(3, dtype=torch.float64) * (2.0 if shared_system else torch.arange(1.0, 10)[:, None, None])
    right = torch.from_numpy(rng.standard_normal((9, 3)))
    found = ridge(Rows(matrix), vectors, offset, system, right)
    for row in range(9):
        near = torch.from_numpy(np.flatnonzero(dense[row]))
        own = system if shared_system else system[row]
        residual = torch.from_numpy(dense.astype(np.float32).astype(np.float64)[row])[near] - offset[near]
        expected = torch.linalg.solve(own + vectors[near].T @ vectors[near], residual @ vectors[near] + right[row])
        assert torch.allclose(found[row], expected, atol=1e-10)
    assert torch.equal(ridge(Rows(matrix), vectors, offset, system)[4], torch.zeros(3, dtype=torch.float64))


@pytest.mark.parametrize("shared_system", [True, False])
def test_ridge_gradients(shared_system: bool) -> None:
    """Finite differences of every differentiable argument."""
    rng = np.random.default_rng(1)
    dense = (rng.random((5, 4)) * (rng.random((5, 4)) < 0.6)).astype(np.float32)
    dense[2] = 0.0
    rows = Rows(sparse.csr_matrix(dense))

    def leaf(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).requires_grad_(True)

    root = leaf(2, 2) if shared_system else leaf(5, 2, 2)
    left = torch.from_numpy(rng.standard_normal((5, 1)))

    def solved(*x: torch.Tensor) -> torch.Tensor:
        system = x[2] @ x[2].mT + torch.eye(2, dtype=torch.float64)
        return ridge(rows, x[0], x[1], system, x[3], (left, x[4]))

    inputs = (leaf(4, 2), leaf(4), root, leaf(5, 2), leaf(4, 1))
    assert torch.autograd.gradcheck(solved, inputs)


def test_users_are_the_minimum_of_the_implicit_loss() -> None:
    """The objective, dense and written out, has no slope at the users that a fit gives."""
    log = small()
    factors = WMF(log, "implicit", WMFConfig(dim=3), np.random.default_rng(0), torch.float64).fit(accounts(1.0))
    user = factors.user.clone().requires_grad_(True)
    seen = torch.from_numpy(log.matrix().toarray() > 0)
    scores = user @ factors.item.T
    regular = 0.01 * (seen.sum(1) + 0.2 * ITEMS) * (user**2).sum(1)
    loss = ((scores - 1)[seen] ** 2).sum() + 0.2 * (scores**2).sum() + regular.sum()
    (gradient,) = torch.autograd.grad(loss, [user])
    assert gradient.abs().max() < 1e-6 and user.detach().abs().max() > 0.1


def test_users_are_the_minimum_of_the_rating_loss() -> None:
    """Vector and offset of each user, by a dense ridge regression on what the items leave open."""
    log, config = small(), WMFConfig(dim=3)
    factors = WMF(log, "rating", config, np.random.default_rng(0), torch.float64).fit(accounts(3.0))
    ratings = mean_ratings(log)
    centre, dense = float(ratings.data.mean()), ratings.toarray()
    item = factors.item.numpy()
    assert (factors.user[:, 3] == 1).all() and item.shape == (ITEMS, 4)
    for user in range(USERS):
        near = np.flatnonzero(dense[user])
        base = np.c_[item[near, :3], np.ones(len(near))]
        wanted = base.T @ (dense[user, near] - centre - item[near, 3])
        solved = np.linalg.solve(base.T @ base + config.ridge * np.eye(4), wanted)
        assert np.allclose(factors.user[user, :3].numpy(), solved[:3], atol=1e-5)


@pytest.mark.parametrize("kind", ["implicit", "rating"])
@pytest.mark.parametrize("features", [0, 2])
def test_gradient_through_the_unrolled_training(kind: Kind, features: int) -> None:
    """Finite differences in float64, of presence and of ratings, through four sweeps."""
    log, own = small(), accounts(1.0 if kind == "implicit" else 3.0, features)
    side = torch.from_numpy(np.random.default_rng(3).standard_normal((USERS, features))) if features else None
    weight = torch.from_numpy(np.random.default_rng(5).standard_normal((USERS, ITEMS)))

    def value(present: torch.Tensor, rating: torch.Tensor) -> torch.Tensor:
        model = WMF(log, kind, WMFConfig(dim=3, unroll=4), np.random.default_rng(1), torch.float64, side)
        model.fit(own)
        return (model.unrolled(replace(own, present=present, rating=rating)).scores(torch.arange(USERS)) * weight).sum()

    leaves = own.present.clone().requires_grad_(True), own.rating.clone().requires_grad_(True)
    gradients = torch.autograd.grad(value(*leaves), leaves)
    cells = torch.tensor([0, 1, 2]), torch.tensor([0, 7, 14])
    expected = slopes(lambda x: value(x, own.rating), own.present), slopes(lambda x: value(own.present, x), own.rating)
    for gradient, slope in zip(gradients, expected, strict=True):
        assert torch.allclose(gradient[cells], slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["implicit", "rating"])
def test_an_account_is_a_user(kind: Kind) -> None:
    """The same events as a block of accounts and as users of the log give the same model (nothing is centred)."""
    log, extra = small(), generate(users=3, items=ITEMS, events=30, seed=9)
    assert log.value is not None and extra.value is not None
    rating = torch.zeros(3, ITEMS, dtype=torch.float64)
    rating[extra.user.astype(np.int64), extra.item.astype(np.int64)] = torch.from_numpy(extra.value.astype(np.float64))
    present = (rating > 0).double()
    joined = InteractionLog(
        np.concatenate([log.user, extra.user + USERS]).astype(np.int32),
        np.concatenate([log.item, extra.item]),
        np.arange(USERS + 3).astype(str),
        log.item_ids,
        np.concatenate([log.value, extra.value]),
    )
    config = WMFConfig(dim=3, offsets=False)
    one, other = (WMF(each, kind, config, np.random.default_rng(1), torch.float64) for each in (log, joined))
    first = one.fit(Accounts(present, rating if kind == "rating" else present))
    none = torch.zeros(0, ITEMS, dtype=torch.float64)
    second = other.fit(Accounts(none, none))
    assert torch.allclose(first.item, second.item, atol=1e-6)
    assert torch.allclose(first.user, second.user[:USERS], atol=1e-6)


def test_a_call_goes_on_from_the_last_one() -> None:
    """Two calls of two sweeps are one of four; cold ones begin anew."""
    own = accounts(1.0)
    found = []
    for unroll, calls in ((2, 2), (4, 1)):
        model = WMF(small(), "implicit", WMFConfig(dim=3, unroll=unroll), np.random.default_rng(1), torch.float64)
        model.fit(own)
        found.append([model.unrolled(own).item for _ in range(calls)][-1])
    assert torch.allclose(found[0], found[1], atol=1e-12)
    cold = WMF(small(), "implicit", WMFConfig(dim=3, warm=False), np.random.default_rng(1), torch.float64)
    begun = cold.fit(own).item
    assert not torch.allclose(cold.unrolled(own).item, begun), "other first vectors"
    assert begun.shape == (ITEMS, 3)


def test_a_pair_rated_twice_has_the_mean() -> None:
    """2 and 5 on one pair."""
    user, item = np.array([0, 0, 1], np.int32), np.array([1, 1, 0], np.int32)
    log = InteractionLog(user, item, np.array(["a", "b"]), np.array(["x", "y"]), np.array([2, 5, 4], np.float32))
    assert mean_ratings(log).toarray().tolist() == [[0, 3.5], [4, 0]]
