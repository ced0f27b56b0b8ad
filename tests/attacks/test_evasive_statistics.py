"""Mixtures of two real profiles inside the usual ranges."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from recaudit.attacks.base import Attack, Goal
from recaudit.attacks.detectors import pca_varselect
from recaudit.attacks.evasive_statistics import (
    NAMES,
    EvasiveStatistics,
    EvasiveStatisticsConfig,
    Usual,
    held_by,
    mixtures,
    principal_axes,
)
from recaudit.attacks.goal import Kind
from recaudit.attacks.popular import Popular
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate

from .conformance import TARGET, examine, examine_declaration, examine_edges, log_for, run

CONFIG = EvasiveStatisticsConfig()


@cache
def medium() -> InteractionLog:
    return generate(users=400, items=200, events=10_000, seed=5, skew=1.0, ratings=False)


def goal_of(log: InteractionLog, accounts: int = 12) -> Goal:
    return Goal((int(np.argsort(log.item_counts)[100]),), accounts, int(np.median(log.user_counts)) + 4)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_conformance(kind: Kind) -> None:
    examine(EvasiveStatistics, kind, "push")


def test_declaration_and_edges() -> None:
    examine_declaration(EvasiveStatistics)
    examine_edges(EvasiveStatistics)
    assert not EvasiveStatistics.applies("implicit", "nuke")


def test_statistics_by_hand() -> None:
    # users hold {0, 1}, {0, 1, 2}, {0, 3}; one fake will hold item 3
    user, item = np.array([0, 0, 1, 1, 1, 2, 2], np.int32), np.array([0, 1, 0, 1, 2, 0, 3], np.int32)
    log = InteractionLog(user, item, np.array(list("abc")), np.array(list("wxyz")))
    usual = Usual.of(log, Goal((3,), 1, 2), EvasiveStatisticsConfig(neighbours=1), rng(0))
    assert usual.popularity.tolist() == [3, 2, 1, 2] and usual.nearest == 1
    found = usual.statistics(log.matrix(), own=True)
    assert found[:, 0].tolist() == pytest.approx([5 / 2, 2, 5 / 2])  # mean popularity
    assert found[:, 1].tolist() == [2, 1, 2]  # a quarter of two or three items: the least popular one
    assert found[:, 2].tolist() == pytest.approx([5 / 12, 11 / 18, 5 / 12])
    assert found[:, 3].tolist() == pytest.approx([2 / 6**0.5, 2 / 6**0.5, 1 / 2])
    assert usual.outside(found * 0 + usual.low).tolist() == [0, 0, 0]
    wide = replace(usual, low=np.zeros(5), high=np.array([2.0, 1, 1, 1, 1]))
    assert wide.outside(np.array([[3.0, -1, 0.5, 0, 1]])).tolist() == pytest.approx([0.5 + 1])


def test_communality_is_that_of_pca_varselect() -> None:
    log = medium()
    usual = Usual.of(log, goal_of(log), CONFIG, rng(0))
    own = usual.statistics(log.matrix())[:, NAMES.index("communality")]
    assert own == pytest.approx(-pca_varselect(log), abs=1e-8)
    assert principal_axes(sparse.csr_matrix(np.ones((3, 4), np.float32)), rng(0)).shape == (4, 0)


def inside(log: InteractionLog, attack: Attack, goal: Goal) -> NDArray[np.bool_]:
    """Whether each account, in the log with all of them, lies in the interquartile range of genuine ones: [A, 5]."""
    profiles = run(attack, log, goal)
    whole = log.with_accounts(profiles)
    everybody = EvasiveStatisticsConfig(sample=whole.n_users, quantile=0.25)
    usual = Usual.of(whole, replace(goal, accounts=0), everybody, rng(7))
    # Usual.of orders its sample by user: with everybody in it, rows are users
    found = usual.statistics(whole.matrix(), own=True)
    low, high = np.quantile(found[: log.n_users], [0.25, 0.75], axis=0)
    fakes = found[log.n_users :]
    within: NDArray[np.bool_] = (fakes >= low) & (fakes <= high)
    return within


def test_accounts_lie_inside_the_genuine_interquartile_ranges_and_simple_ones_do_not() -> None:
    log = medium()
    goal = goal_of(log)
    ours, random, popular = (inside(log, each, goal) for each in (EvasiveStatistics(), RandomFillers(), Popular()))
    assert ours.mean(axis=0).min() >= 0.75 and ours.all(axis=1).mean() >= 0.6
    assert random.all(axis=1).sum() == 0 and popular.all(axis=1).sum() == 0
    assert random[:, NAMES.index("inverse popularity")].mean() < 0.2
    assert popular[:, NAMES.index("popularity")].mean() < 0.2


def test_of_candidates_inside_the_one_with_most_popular_fillers_is_sent() -> None:
    log = medium()
    goal = goal_of(log)
    top = np.argsort(-log.item_counts, kind="stable")[:10]  # 5 % of 200

    def share(**settings: float) -> float:
        attack = EvasiveStatistics(EvasiveStatisticsConfig.model_validate(settings))
        return float(np.isin(run(attack, log, goal).item, top).mean())

    assert share(candidates=64) > share(candidates=64, popular=0) > share(candidates=1, popular=0) + 0.01


def test_mixtures_come_from_two_users_and_keep_their_order() -> None:
    # user u holds items 10 u .. 10 u + 9 in this order
    user, item = np.divmod(np.arange(60), 10)
    log = InteractionLog(
        user.astype(np.int32), np.arange(60, dtype=np.int32), np.arange(6).astype(str), np.arange(60).astype(str)
    )
    goal = Goal((59,), 5, 9, "sequence", placement="last")
    none = EvasiveStatisticsConfig(candidates=4, popular=0)
    items, events = mixtures(log, goal, np.zeros(60, bool), 20, none, rng(0))
    assert items.shape == (20, 8) and (log.item[events] == items).all() and item.max() == 9
    for row in items.tolist():
        owners = [each // 10 for each in row]
        assert len(set(row)) == 8 and len(set(owners)) <= 2 and 59 not in row
        assert sum(one != other for one, other in pairwise(owners)) <= 1  # one parent, then the other
        assert all(
            row.index(one) < row.index(other)
            for one in row
            for other in row
            if one < other and one // 10 == other // 10
        )
    head = np.arange(60) < 6
    some, _ = mixtures(log, goal, head, 20, EvasiveStatisticsConfig(candidates=4, popular=1), rng(0))
    by_share = head[some].mean(axis=1).reshape(5, 4).mean(axis=0)
    assert by_share[3] > by_share[0] + 0.3 and (np.diff(by_share) > -0.1).all()
    assert held_by(some, goal.targets, 60)[:, [59]].toarray().all()


def test_ratings_are_those_of_the_events() -> None:
    log = log_for("rating")
    profiles = run(EvasiveStatistics(), log, Goal((TARGET,), 6, 9, "rating"))
    assert profiles.value is not None and log.value is not None
    seen = set(zip(log.item.tolist(), log.value.tolist(), strict=True))
    pairs = zip(profiles.item.tolist(), profiles.value.tolist(), strict=True)
    assert all(pair in seen for pair in pairs if pair[0] != TARGET)
