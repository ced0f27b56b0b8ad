"""PGA: the implicit gradient of a factorisation, and what it is worth."""

from __future__ import annotations

from copy import copy
from functools import cache

import numpy as np
import pytest
import torch
from scipy import sparse

from recaudit.attacks.base import Goal
from recaudit.attacks.goal import Kind
from recaudit.attacks.injection import crafted
from recaudit.attacks.pga import PGA, PGAConfig, random_accounts
from recaudit.attacks.scale import RatingScale
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.base import Accounts
from recaudit.attacks.surrogate.descent import block
from recaudit.attacks.surrogate.losses import softmax_loss
from recaudit.attacks.surrogate.ridge import Rows, ridge
from recaudit.attacks.surrogate.wmf import WMF, WMFConfig
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate

from .conformance import examine_profiles, log_for, run


@cache
def medium(kind: Kind) -> InteractionLog:
    """A generated log in which a factorisation can learn something."""
    return generate(users=200, items=80, events=4000, seed=1, ratings=kind == "rating")


def cold(log: InteractionLog) -> int:
    """An item with few events."""
    return int(np.argsort(log.item_counts, kind="stable")[4])


def test_a_half_step_has_the_derivative_of_the_optimality_conditions() -> None:
    """d x / d m = (lambda I + sum of y y')^-1 y: by the formula and by autograd through `ridge`."""
    draw = rng(0)
    genuine = draw.integers(1, 6, (4, 6)) * (draw.random((4, 6)) < 0.5)
    others = torch.from_numpy(draw.standard_normal((6, 3)))
    fakes = torch.from_numpy(draw.standard_normal((2, 3)))
    held = torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)  # accounts by rows
    rating = (held * 3).requires_grad_(True)
    eye = 2.0 * torch.eye(3, dtype=torch.float64)
    outer = torch.einsum("ar,ad,ae->rde", held, fakes, fakes)
    rows = Rows(sparse.csr_matrix(genuine.astype(np.float32)))
    found = ridge(rows, others, torch.zeros(6, dtype=torch.float64), eye + outer, rating.T @ fakes)
    for row in range(4):
        near = others[torch.from_numpy(genuine[row] > 0)]
        inverse = torch.linalg.inv(eye + outer[row] + near.T @ near)
        for account in range(2):
            if not held[account, row]:
                continue
            by_autograd = [torch.autograd.grad(found[row, d], rating, retain_graph=True)[0] for d in range(3)]
            assert torch.allclose(
                torch.stack([g[account, row] for g in by_autograd]), inverse @ fakes[account], atol=1e-12
            )


def cosines(kind: Kind, updates: tuple[int, ...]) -> list[float]:
    """Cosine of the gradient in the fillers' ratings with that of the loss of a training run to convergence.

    The latter by central differences, ALS continued from its optimum until nothing moves any more.
    """
    log = generate(users=30, items=20, events=250, seed=0, ratings=kind == "rating")
    goal = Goal((5,), 2, 7, kind)
    scale = RatingScale.of(log.value) if log.value is not None else None
    start = random_accounts(goal, log.n_items, scale, rng(0, "start"))
    accounts = Accounts(start.present.double(), start.rating.double())
    audience = Audience.of(log, goal)
    optimum = WMF(log, kind, WMFConfig(dim=3, sweeps=300), rng(0, "fit"), torch.float64)
    optimum.fit(accounts)

    def loss(updates: int, rating: torch.Tensor) -> torch.Tensor:
        surrogate = copy(optimum)
        surrogate.config = WMFConfig(dim=3, unroll=updates)
        users, consumed = audience.sample(rng(0))
        scores = surrogate.unrolled(Accounts(accounts.present, rating)).scores(users)
        return softmax_loss(scores, audience.targets, consumed)

    cells = torch.nonzero(accounts.present)
    cells = cells[cells[:, 1] != 5]
    moved = []
    for account, item in cells.tolist():
        by = torch.zeros_like(accounts.rating)
        by[account, item] = 1e-3
        with torch.no_grad():
            moved.append(loss(100, accounts.rating + by) - loss(100, accounts.rating - by))
    wanted = torch.stack(moved)
    found = []
    for number in updates:
        rating = accounts.rating.clone().requires_grad_(True)
        gradient = torch.autograd.grad(loss(number, rating), rating)[0][cells[:, 0], cells[:, 1]]
        found.append(float(torch.cosine_similarity(gradient, wanted, dim=0)))
    return found


def test_how_far_one_half_step_is_from_the_full_derivative() -> None:
    one, three, thirty = cosines("rating", (1, 3, 30))
    assert one > 0.97 and three > one and thirty > 0.99999
    one, three, thirty = cosines("implicit", (1, 3, 30))
    assert one > 0.85 and three > one and thirty > 0.99999


@pytest.mark.parametrize("kind", ["rating", "implicit"])
def test_the_gradient_raises_the_target_on_fresh_surrogates(kind: Kind) -> None:
    log = medium(kind)
    goal = Goal((cold(log),), 6, 15, kind)
    audience = Audience.of(log, goal)
    found = []
    for steps in (0, 20):
        accounts = block(crafted(PGA(PGAConfig(steps=steps)), log, goal, 0), log.n_items, kind == "rating")
        users, consumed = audience.sample(rng(0))
        ranks = []
        for seed in (11, 12, 13):
            scores = WMF(log, kind, WMFConfig(), rng(seed)).fit(accounts).scores(users)
            scores = scores.masked_fill(consumed, -torch.inf)
            ranks.append((1 + (scores > scores[:, [goal.targets[0]]]).sum(1)).float().log2().mean())
        found.append(float(np.mean(ranks)))
    assert found[1] < found[0] - (0.5 if kind == "rating" else 0.0)


def test_random_accounts() -> None:
    goal = Goal((2, 4), 50, 6, "rating")
    scale = RatingScale.of(np.array([1, 2, 3], np.float32))
    accounts = random_accounts(goal, 9, scale, rng(0))
    assert (accounts.present.sum(1) == 6).all() and (accounts.rating[:, [2, 4]] == 3).all()
    inside = accounts.rating[accounts.present > 0]
    assert ((inside >= 1) & (inside <= 3)).all() and (accounts.rating[accounts.present == 0] == 0).all()
    share = np.delete(accounts.present.mean(0).numpy(), [2, 4])
    assert share.min() > 0.35 and share.max() < 0.8  # four of seven each
    plain = random_accounts(goal, 9, None, rng(0))
    assert torch.equal(plain.present, accounts.present) and torch.equal(plain.rating, plain.present)


def test_edges() -> None:
    log = log_for("rating")
    nearly_all = Goal((11,), 2, log.n_items, "rating")
    examine_profiles(run(PGA(PGAConfig(steps=2)), log, nearly_all), log, nearly_all)
    one = log.take(log.user == 3)
    goal = Goal((11,), 1, 5, "rating")
    examine_profiles(run(PGA(PGAConfig(steps=2)), one, goal), one, goal)
    with pytest.raises(InputError, match="catalogue of 50"):
        run(PGA(), log, Goal((11,), 1, 51, "rating"))
