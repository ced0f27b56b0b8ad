"""AUSH: real fillers, generated ratings of selected items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.attacks.aush import AUSH, AUSHConfig, Networks, cut, select
from recaudit.attacks.base import Goal
from recaudit.attacks.draws import head
from recaudit.attacks.scale import RatingScale
from recaudit.attacks.similarity import cosine
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import rng

from .conformance import TARGET, examine_profiles, log_for, run

GOAL = Goal((TARGET,), accounts=7, profile=9, kind="rating")


def tastes() -> InteractionLog:
    """Items 0 (the target), 1 to 4 (selected), 5 to 9 and 10 to 14 (two genres).

    Users of the first genre rate items 1 to 4 with 5, users of the other with 2; all rate their genre with 4.
    """
    rows = [(u, i, v) for u in range(60) for i, v in _events(u)]
    user, item, value = (np.array(column) for column in zip(*rows, strict=True))
    ids = np.arange(60).astype(str), np.arange(15).astype(str)
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *ids, value=value.astype(np.float32))


def _events(user: int) -> list[tuple[int, float]]:
    first = user % 2 == 0
    own = [(i, 4.0) for i in (range(5, 10) if first else range(10, 15))]
    target = [(0, 3.0)] if user < 10 else []
    return target + [(i, 5.0 if first else 2.0) for i in range(1, 5)] + own


def rated(config: AUSHConfig, log: InteractionLog, goal: Goal) -> dict[int, list[float]]:
    """Ratings of each selected item."""
    profiles = run(AUSH(config), log, goal)
    assert profiles.value is not None
    chosen = select(log, goal, config.head, config.selected)
    return {int(item): profiles.value[profiles.item == item].tolist() for item in chosen}


def test_a_profile_is_target_selected_items_and_the_real_ratings_of_one_user() -> None:
    log = log_for("rating")
    assert log.value is not None
    profiles = run(AUSH(), log, GOAL)
    assert profiles.value is not None
    selected = set(select(log, GOAL, 0.1, 3).tolist())
    users = [
        set(zip(log.item[log.user == u].tolist(), log.value[log.user == u].tolist(), strict=True))
        for u in range(log.n_users)
    ]
    for account in range(GOAL.accounts):
        own = profiles.account == account
        events = dict(zip(profiles.item[own].tolist(), profiles.value[own].tolist(), strict=True))
        assert selected <= events.keys() and TARGET in events and len(events) == GOAL.profile
        fillers = {(i, v) for i, v in events.items() if i not in selected and i != TARGET}
        assert len(fillers) == 5 and any(fillers <= user for user in users)


def test_selected_items_are_the_segment_outside_the_head() -> None:
    log = log_for("rating")
    found = select(log, GOAL, 0.1, 3)
    similarity = cosine(log, GOAL)
    popular = head(log.item_counts, 0.1)
    assert not popular[found].any() and TARGET not in found
    rest = np.flatnonzero(~popular & ~np.isin(np.arange(log.n_items), found))
    assert similarity[found].min() >= similarity[rest].max()
    audience = replace(GOAL, audience=(3, 4))
    assert select(log, audience, 0.1, 3).tolist() != found.tolist()


def test_a_target_without_events_gets_popular_items_outside_the_head() -> None:
    log = log_for("rating")
    log = log.take(log.item != TARGET)
    found = select(log, GOAL, 0.1, 3)
    counts = np.where(head(log.item_counts, 0.1), -1, log.item_counts)
    assert counts[found].tolist() == np.sort(counts)[::-1][:3].tolist()
    examine_profiles(run(AUSH(), log, GOAL), log, GOAL, None)


def test_more_selected_items_than_there_is_room_for() -> None:
    log = log_for("rating")
    for profile, wanted in ((2, 3), (40, 39)):
        goal = replace(GOAL, profile=profile)
        examine_profiles(run(AUSH(AUSHConfig(selected=wanted, passes=1)), log, goal), log, goal)
    goal = replace(GOAL, accounts=1)
    examine_profiles(run(AUSH(AUSHConfig(selected=0)), log, goal), log, goal)


def test_ratings_are_neither_all_lowest_nor_one_and_the_same() -> None:
    found = rated(AUSHConfig(), log_for("rating"), replace(GOAL, accounts=30))
    every = np.concatenate(list(found.values()))
    assert every.mean() > 1.5 and every.std() > 0.1


def test_what_each_loss_does_alone() -> None:
    log = tastes()
    goal = Goal((0,), 6, 7, "rating")
    none = AUSHConfig(head=0, adversarial=0, shilling=0, restoring=0, sparing=0, passes=60)
    every = np.concatenate(list(rated(none.model_copy(update={"shilling": 1.0}), log, goal).values()))
    assert (every == 5).all()
    every = np.concatenate(list(rated(none.model_copy(update={"restoring": 1.0}), log, goal).values()))
    assert set(every.tolist()) == {2.0, 5.0}
    # items 5 to 9 are rated by one half of the users: missing ratings count as zero, below the scale
    goal = Goal((5,), 6, 7, "rating")
    found = rated(none.model_copy(update={"sparing": 1.0}), log, goal)
    assert set(np.concatenate(list(found.values())).tolist()) == {2.0} and min(found) > 5


def test_the_generator_rates_as_users_with_such_fillers_do() -> None:
    log = tastes()
    goal = Goal((0,), 12, 7, "rating")
    config = AUSHConfig(head=0, adversarial=0, shilling=0, sparing=0, passes=60)
    profiles = run(AUSH(config), log, goal)
    assert profiles.value is not None
    items, values = profiles.item.reshape(12, 7), profiles.value.reshape(12, 7)
    for own, given in zip(items, values, strict=True):
        first = bool(((own >= 5) & (own < 10)).any())
        assert set(given[(own >= 1) & (own < 4)].tolist()) == {5.0 if first else 2.0}


def test_the_losses_by_hand() -> None:
    config = AUSHConfig(shilling=2.0, restoring=3.0, sparing=5.0)
    scale = RatingScale.of(np.array([1, 2, 3, 4, 5], np.float32))
    networks = Networks(6, np.array([1, 2]), (0,), scale, config, rng(0))
    given = torch.tensor([[4.0, 2.0], [1.0, 5.0]])
    real = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
    spared = torch.tensor([[False, True], [False, False]])
    shilling, restoring, sparing = (1 + 9 + 16 + 0) / 4, (1 + 1) / 2, 4.0  # zero is one step below the scale: 0
    wanted = 2 * shilling + 3 * restoring + 5 * sparing
    assert float(networks.losses(given, real, spared)) == pytest.approx(wanted)
    nothing = torch.zeros(2, 2)
    assert float(networks.losses(given, nothing, nothing > 0)) == pytest.approx(2 * shilling)


def test_neither_network_sees_the_target_and_the_generator_not_the_selected_items() -> None:
    config = AUSHConfig()
    scale = RatingScale.of(np.array([1, 5], np.float32))
    profiles = torch.tensor([[5.0, 4.0, 0.0, 3.0, 2.0], [0.0, 2.0, 1.0, 5.0, 4.0]])
    other = profiles.clone()
    other[:, 0] = 5 - other[:, 0]
    state = []
    for rows in (profiles, other):
        networks = Networks(5, np.array([1, 2]), (0,), scale, config, rng(0))
        networks.learn(rows, 2, rng(1))
        parameters = [*networks.generator.parameters(), *networks.discriminator.parameters()]
        state.append(torch.cat([p.detach().flatten() for p in parameters]))
    assert torch.equal(state[0], state[1])
    assert (networks.generator.inner.weight.grad[:, :3] == 0).all()  # type: ignore[index]


def test_cut_keeps_so_many_events_and_all_of_shorter_profiles() -> None:
    rows = torch.tensor([[5.0, 4.0, 3.0, 0.0, 1.0], [0.0, 2.0, 0.0, 0.0, 0.0]])
    seen = set()
    for seed in range(30):
        found = cut(rows, 2, rng(seed))
        assert (found > 0).sum(1).tolist() == [2, 1] and ((found == rows) | (found == 0)).all()
        seen.add(tuple(torch.nonzero(found[0])[:, 0].tolist()))
    assert len(seen) == 6  # every pair of the four
    assert torch.equal(cut(rows, 5, rng(0)), rows) and not cut(rows, 0, rng(0)).any()
