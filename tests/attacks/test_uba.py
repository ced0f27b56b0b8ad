"""UBA: the budget dealt out to groups of users."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from recaudit.attacks import catalogue
from recaudit.attacks.base import Attack, Draft, Goal, Knowledge
from recaudit.attacks.injection import crafted
from recaudit.attacks.knowledge import Grant
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.base import Factors
from recaudit.attacks.surrogate.descent import block
from recaudit.attacks.surrogate.wmf import WMF, WMFConfig
from recaudit.attacks.uba import UBA, UBAConfig, allocate, clusters, shown
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.seeding import rng

from .conformance import TARGET, examine_profiles, log_for, run

GOAL = Goal((TARGET,), 7, 9, "implicit")


def planned(config: UBAConfig, log: InteractionLog, goal: Goal):  # type: ignore[no-untyped-def]
    """Plan and accounts."""
    attack = UBA(config)
    return attack.plan(Knowledge.of(log, attack.needs(goal)), goal, rng(0))


def test_allocation_by_hand() -> None:
    # the first group gains only from three together, the second from each alike, the third from the first one most
    value = np.array([[0, 0, 0, 7, 7], [0, 2, 4, 6, 8], [0, 4, 5, 5, 5]], float)
    assert allocate(value).tolist() == [3, 0, 1]  # 7 + 0 + 4 = 11; two and two would give 0 + 4 + 5
    assert allocate(value[:, :4]).tolist() == [0, 2, 1]  # 0 + 4 + 4 = 8 against 7
    assert allocate(value[:, :1]).tolist() == [0, 0, 0]
    assert allocate(np.array([[3.0, 3.0, 2.0], [1.0, 0.0, 0.0]])).tolist() == [0, 0]  # nobody gains: none is spent


def test_allocation_is_the_best_there_is() -> None:
    draw = rng(0)
    for _ in range(60):
        groups, budget = int(draw.integers(1, 5)), int(draw.integers(0, 6))
        value = draw.integers(-3, 8, (groups, budget + 1)).astype(float)
        choices = [c for c in product(range(budget + 1), repeat=groups) if sum(c) <= budget]
        sums = [sum(value[g, b] for g, b in enumerate(choice)) for choice in choices]
        found = allocate(value)
        assert found.sum() <= budget and value[np.arange(groups), found].sum() == max(sums)
        fewest = min(sum(c) for c, total in zip(choices, sums, strict=True) if total == max(sums))
        assert found.sum() == fewest


def test_clusters() -> None:
    draw = rng(0)
    middles = np.array([[0, 0], [10, 0], [0, 10]])
    truth = np.repeat(np.arange(3), 20)
    found = clusters(middles[truth] + draw.standard_normal((60, 2)), 3, rng(1))
    assert len({(a, b) for a, b in zip(truth.tolist(), found.tolist(), strict=True)}) == 3
    assert clusters(np.ones((5, 2)), 3, rng(0)).tolist() == [0] * 5
    assert clusters(np.ones((1, 2)), 1, rng(0)).tolist() == [0]
    assert np.unique(clusters(draw.standard_normal((40, 3)), 7, rng(2))).tolist() == list(range(7))


def test_chance_of_being_shown_by_hand() -> None:
    factors = Factors(torch.eye(2), torch.tensor([[3.0, 0.0], [2.0, 1.0], [1.0, 4.0], [0.0, 2.0]]))
    users, targets = torch.tensor([0, 1]), torch.tensor([1])
    consumed = torch.tensor([[True, False, False, False], [False, False, False, False]])
    hits = UBAConfig(measure="hits", cutoff=1)
    # user 0 has item 0, so that the target is on top; for user 1 it is third of scores 0, 1, 4, 2
    assert shown(factors, users, consumed, targets, hits).tolist() == [1, 0]
    assert shown(factors, users, consumed, targets, hits.model_copy(update={"cutoff": 3})).tolist() == [1, 1]
    soft = shown(factors, users, consumed, targets, UBAConfig(temperature=0.5))
    for user, rivals in ((0, [2.0, 1.0, 0.0]), (1, [0.0, 1.0, 4.0, 2.0])):
        width = 0.5 * np.std([[3, 2, 1, 0], [0, 1, 4, 2]][user], ddof=1)
        own = factors.item[1, user].item()
        wanted = np.exp(own / width) / np.exp(np.array(rivals) / width).sum()
        assert soft[user].item() == pytest.approx(wanted, rel=1e-5)
    both = shown(factors, users, consumed, torch.tensor([0, 1]), hits)
    assert both.tolist() == [0.5, 0]  # a consumed target counts 0


def test_the_plan_holds_the_budget_and_is_the_best_by_its_own_gains() -> None:
    log = log_for("implicit")
    plan, accounts = planned(UBAConfig(groups=4), log, GOAL)
    assert sum(n for _, n in accounts) == GOAL.accounts and plan.accounts.sum() <= GOAL.accounts
    assert plan.levels.tolist() == [0, 1, 2, 4, 7] and plan.gain.shape == (4, 5)
    assert len(plan.users) == np.count_nonzero(~np.isin(np.arange(60), log.user[log.item == TARGET]))
    assert np.bincount(plan.group).min() > 0
    every = np.stack([np.interp(np.arange(8), plan.levels, own) for own in plan.gain])
    sums = [sum(every[g, b] for g, b in enumerate(c)) for c in product(range(8), repeat=4) if sum(c) <= GOAL.accounts]
    assert every[np.arange(4), plan.accounts].sum() == pytest.approx(max(sums))


def test_clones_come_from_the_group() -> None:
    log = log_for("implicit")
    goal = replace(GOAL, profile=5)
    plan, accounts = planned(UBAConfig(groups=4), log, goal)
    history = [set(log.item[log.user == u].tolist()) for u in range(log.n_users)]
    for group, (profiles, _) in enumerate(accounts[:-1]):
        members = plan.users[plan.group == group]
        for own in profiles.item.reshape(goal.accounts, -1).tolist():
            assert any(set(own) - {TARGET} <= history[user] for user in members)


class Rest(RandomFillers):
    """An attack that needs more than the log."""

    name = "rest"
    grants: ClassVar[frozenset[Grant]] = frozenset({"catalogue", "item_features"})

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Never reached."""
        raise AssertionError


def test_other_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_for("rating")
    goal = replace(GOAL, kind="rating")
    config = UBAConfig(base="segment", settings={"head": 0.0}, groups=3)
    _, accounts = planned(config, log, goal)
    groups = [set(profiles.item.tolist()) for profiles, _ in accounts[:-1]]
    assert len({frozenset(group) for group in groups}) > 1  # the segment of each group
    for base in ("segment", "random", "average", "revadv"):
        examine_profiles(run(UBA(UBAConfig(base=base, groups=2)), log, goal), log, goal)
    with pytest.raises(InputError, match="does not apply"):
        run(UBA(UBAConfig(base="gradient-sequences")), log, goal)
    with pytest.raises(InputError, match="clone-and-push"):
        run(UBA(UBAConfig(base="clone-and-pull")), log, goal)
    with pytest.raises(ValidationError, match="another attack"):
        UBAConfig(base="uba")
    monkeypatch.setattr("recaudit.attacks.uba.build", lambda name, settings: Rest())
    with pytest.raises(InputError, match="more than the log"):
        run(UBA(), log, goal)


def test_edges() -> None:
    log = log_for("implicit")
    one = log.take(log.user == 3)
    for seen, goal in (
        (one, replace(GOAL, accounts=3)),  # one user: one group, and copies of one profile
        (log, replace(GOAL, accounts=1)),
        (log, replace(GOAL, audience=(5,))),
        (log, replace(GOAL, profile=49)),
        (log.take(log.item != TARGET), GOAL),
    ):
        examine_profiles(run(UBA(), seen, goal), seen, goal)


def promoted(attack: Attack, log: InteractionLog, goal: Goal, seeds: tuple[int, ...] = (11, 12, 13)) -> float:
    """Sum of the target's softmax over the audience on fresh surrogates, mean over seeds."""
    profiles: Profiles = crafted(attack, log, goal, 0)
    audience = Audience.of(log, goal)
    users, consumed = audience.sample(rng(0))
    found = []
    for seed in seeds:
        factors = WMF(log, goal.kind, WMFConfig(), rng(seed)).fit(block(profiles, log.n_items, False))
        found.append(float(shown(factors, users, consumed, audience.targets, UBAConfig()).sum()))
    return float(np.mean(found))


def islands(seed: int) -> InteractionLog:
    """Four groups of 40 users, each with 20 items of its own of which a user has eight; item 0 is rare."""
    draw = rng(seed, "islands")
    island = np.arange(160) // 40
    chosen = np.argsort(draw.random((160, 20)), axis=1)[:, :8] + 20 * island[:, None]
    user, item = np.repeat(np.arange(160), 8), chosen.ravel()
    kept = (item != 0) | (user < 4)
    ids = np.arange(160).astype(str), np.arange(80).astype(str)
    return InteractionLog(user[kept].astype(np.int32), item[kept].astype(np.int32), *ids)


@pytest.mark.parametrize("island", [0, 2])
def test_accounts_reach_an_audience_that_the_base_does_not_aim_at(island: int) -> None:
    audience = tuple(range(40 * island, 40 * island + 40))
    for seed in range(3):
        log = islands(seed)
        goal = Goal((0,), 6, 8, "implicit", audience=audience)
        base = promoted(catalogue.build("clone-and-push"), log, goal)
        assert promoted(UBA(UBAConfig(groups=4)), log, goal) > 1.2 * base


def test_groups_are_the_islands() -> None:
    plan, _ = planned(UBAConfig(groups=4), islands(0), Goal((0,), 6, 8, "implicit"))
    assert len(set(zip((plan.users // 40).tolist(), plan.group.tolist(), strict=True))) == 4
