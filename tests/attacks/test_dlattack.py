"""DLAttack: accounts written by a model bent towards the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.dlattack import DLAttack, DLAttackConfig, attack_loss, poisoned
from recaudit.attacks.injection import crafted
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.twin import Twin
from recaudit.datasets.seeding import rng

from .conformance import examine_edges, log_for, run
from .twin_tools import cold, learnt, medium, overlap, own_standing


def model() -> tuple[Twin, Audience]:
    """A model in which two new accounts hold the target alone."""
    goal = Goal((cold(medium()),), 2, 20)
    start = np.full((2, 1), goal.targets[0], np.int32)
    return learnt("mf").refitted(start, 2, rng(7)), Audience.of(medium(), goal)


def test_the_loss_is_the_stated_one() -> None:
    twin, audience = model()
    target = int(audience.targets[0])
    config = DLAttackConfig(cutoff=3, eta=2.0, kappa=0.5)
    users, consumed = audience.sample(rng(0))
    with torch.no_grad():
        user, item = twin.vectors()
        log_p = twin.logits(user, item).double().log_softmax(-1).numpy()
    gaps = []
    for row, held in zip(users.tolist(), consumed.numpy(), strict=True):
        free = [log_p[row, i] for i in range(medium().n_items) if not held[i] and i != target]
        gaps.append(max(sorted(free)[-3] - log_p[row, target], -0.5))
    evenness = np.mean((np.exp(log_p[-2:]) ** 2).sum(axis=1))
    found = attack_loss(twin, 2, audience, config, rng(0))
    assert float(found.detach()) == pytest.approx(evenness + 2.0 * np.mean(gaps), rel=1e-4)


def test_the_loss_has_a_gradient_at_users_targets_and_rivals() -> None:
    twin, audience = model()
    config = DLAttackConfig()
    loss = attack_loss(twin, 2, audience, config, rng(0))
    (gradient,) = torch.autograd.grad(loss, twin.training.base)
    n_users, target = medium().n_users, int(audience.targets[0])
    length = gradient.norm(dim=1)
    assert float(length[n_users + 2 + target]) > 0
    assert int((length[:n_users] > 0).sum()) > n_users // 2 and float(length[n_users]) > 0
    others = length[n_users + 2 :].clone()
    others[target] = 0
    assert int((others > 0).sum()) > 1
    # along the gradient the loss falls as finite differences have it
    step, base = 1e-2 / float(gradient.norm()), twin.training.base
    with torch.no_grad():
        values = []
        for sign in (-1, 1):
            base += sign * step * gradient
            values.append(float(attack_loss(twin, 2, audience, config, rng(0))))
            base -= sign * step * gradient
    assert (values[1] - values[0]) / (2 * step) == pytest.approx(float(gradient.square().sum()), rel=0.05)


def test_rounds_bend_the_model_and_the_best_round_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    twin, audience = model()
    before = twin.standing(audience.sample(rng(0)), audience.targets, 20)
    values, tastes = [], []
    original = Twin.standing

    def note(self: Twin, *given: object) -> tuple[float, float]:
        values.append(original(self, *given))  # type: ignore[arg-type]
        tastes.append(self.tastes())
        return values[-1]

    monkeypatch.setattr(Twin, "standing", note)
    found = poisoned(twin, 2, audience, DLAttackConfig(), rng(0), rng(1))
    assert len(values) == 4 and max(values) > before
    assert torch.equal(found, tastes[values.index(max(values))]) and found.shape == (2, medium().n_items)


def test_blocks_see_the_accounts_before_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    original = Twin.refitted

    def note(self: Twin, accounts: np.ndarray, *given: object) -> Twin:  # type: ignore[type-arg]
        seen.append((accounts >= 0).sum(axis=1).tolist())
        return original(self, accounts, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Twin, "refitted", note)
    run(DLAttack(DLAttackConfig(blocks=2)), log_for("implicit"), Goal((11,), 4, 9))
    assert seen == [[1, 1], [9, 9, 1, 1]]
    seen.clear()
    run(DLAttack(), log_for("implicit"), Goal((11, 30), 2, 9))  # no more blocks than accounts
    assert seen == [[2], [9, 2]]


def test_marking_down_keeps_accounts_apart() -> None:
    goal = Goal((cold(medium()),), 8, 20)
    copies, marked = (
        overlap(crafted(DLAttack(DLAttackConfig(decay=decay)), medium(), goal, 0).item.reshape(8, -1))
        for decay in (1.0, 0.5)
    )
    assert marked < copies - 0.1


def test_it_beats_random_accounts_on_its_own_family() -> None:
    goals = [Goal((cold(medium(), place),), 6, 20) for place in (5, 15, 40)]
    own, random = (
        np.mean([own_standing(attack, "mf", goal) for goal in goals]) for attack in (DLAttack(), RandomFillers())
    )
    assert own > random


def test_edges() -> None:
    examine_edges(DLAttack)
