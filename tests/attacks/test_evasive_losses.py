"""Candidates whose target row is fitted best."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from recaudit.attacks.base import Goal
from recaudit.attacks.draws import head
from recaudit.attacks.evasive_losses import (
    EvasiveLosses,
    EvasiveLossesConfig,
    candidates,
    target_losses,
)
from recaudit.attacks.goal import Kind
from recaudit.attacks.surrogate.twin import with_targets
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.sampling import Positives

from .conformance import TARGET, examine, examine_declaration, examine_edges, log_for, run

CONFIG = EvasiveLossesConfig()


@cache
def medium() -> InteractionLog:
    return generate(users=300, items=120, events=6000, seed=3, ratings=False)


@pytest.mark.parametrize("kind", ["implicit", "rating"])
def test_conformance(kind: Kind) -> None:
    examine(EvasiveLosses, kind, "push")


def test_declaration_and_edges() -> None:
    examine_declaration(EvasiveLosses)
    examine_edges(EvasiveLosses)
    assert not EvasiveLosses.applies("sequence", "push") and not EvasiveLosses.applies("implicit", "nuke")


def test_candidates_go_from_popular_to_co_consumed() -> None:
    log = medium()
    goal = Goal((int(np.argsort(log.item_counts)[60]),), 20, 12)
    found = candidates(log, goal, CONFIG, rng(0))
    assert found.shape == (80, 11) and found.min() >= 0 and not np.isin(found, goal.targets).any()
    assert all(len(set(row)) == 11 for row in found.tolist())
    popular = head(log.item_counts, CONFIG.head)[found].mean(axis=1)
    # six items are the head: a candidate without co-consumed ones holds them all
    assert popular[0] == pytest.approx(6 / 11) and popular[:20].mean() > popular[-20:].mean() + 0.1
    assert candidates(log, goal, EvasiveLossesConfig(candidates=1), rng(0)).shape == (20, 11)


def camps() -> InteractionLog:
    """200 users of items 20..59 and 100 of items 0..19, who share nothing: what is popular does not go with item 3."""
    draw = rng(8)
    first = [(user, item) for user in range(100) for item in draw.choice(20, 8, replace=False)]
    second = [(user, item) for user in range(100, 300) for item in 20 + draw.choice(40, 20, replace=False)]
    user, item = np.array(first + second, np.int32).T.copy()
    return InteractionLog(user, item, np.arange(300).astype(str), np.arange(60).astype(str))


def test_a_fresh_surrogate_fits_the_kept_accounts_better() -> None:
    log, goal = camps(), Goal((3,), 10, 9)
    crafted = run(EvasiveLosses(), log, goal).item.reshape(10, 9)
    kept = {frozenset(row) for row in crafted.tolist()}
    # the candidates of that very craft: the streams below the seed are those of `Attack.profiles` and `craft`
    by_candidate = rng(0, "craft").spawn(3)[0].spawn(2)[0]
    accounts = with_targets(candidates(log, goal, CONFIG, by_candidate), goal)
    chosen = np.array([frozenset(row) in kept for row in accounts.tolist()])
    assert chosen.sum() == 10 and len(accounts) == 40
    losses = target_losses(Positives.of(log), accounts, goal, CONFIG, rng(99))
    assert np.isfinite(losses).all() and losses.min() > 0
    assert losses[chosen].mean() < losses[~chosen].mean() - 0.5 * losses.std()
    # and they are those that go with the target
    assert (crafted < 20).mean() > (accounts < 20).mean() + 0.1


def test_the_loss_tells_accounts_that_go_with_the_target_from_those_that_do_not() -> None:
    """Two camps that share no item: a target of one camp is fitted better in accounts of that camp."""
    user, item = np.divmod(np.arange(800), 10)
    item = np.where(user % 2 == 0, item, item + 10).astype(np.int32)
    keep = rng(4).random(800) < 0.7
    users, items = (np.arange(count).astype(str) for count in (80, 20))
    log = InteractionLog(user[keep].astype(np.int32), item[keep], users, items)
    accounts = np.array([[3, 0, 1, 2, 4, 5], [3, 10, 11, 12, 13, 14]], np.int32)
    losses = target_losses(Positives.of(log), accounts, Goal((3,), 2, 6), CONFIG, rng(0))
    assert losses[0] < losses[1]


def test_ratings_of_fillers_are_item_means() -> None:
    log = log_for("rating")
    assert log.value is not None
    profiles = run(EvasiveLosses(), log, Goal((TARGET,), 5, 9, "rating"))
    assert profiles.value is not None
    for item, value in zip(profiles.item.tolist(), profiles.value.tolist(), strict=True):
        own = log.value[log.item == item]
        assert value == log.value.max() if item == TARGET else abs(value - own.mean()) <= 0.25 + 1e-6
