"""Whose lists an attack aims at."""

from __future__ import annotations

import numpy as np
import pytest

from recaudit.attacks.goal import Goal
from recaudit.attacks.surrogate.audience import Audience
from recaudit.datasets.log import InteractionLog


def log() -> InteractionLog:
    """Users 0: items 0, 1; 1: item 1; 2: items 0, 2; 3: nothing."""
    user, item = np.array([0, 0, 1, 2, 2], np.int32), np.array([0, 1, 1, 0, 2], np.int32)
    return InteractionLog(user, item, np.arange(4).astype(str), np.arange(3).astype(str))


@pytest.mark.parametrize(
    ("targets", "audience", "users"),
    [
        ((1,), None, [2]),  # user 3 has no event, so no list
        ((2,), None, [0, 1]),
        ((0, 1), None, [1, 2]),  # user 0 holds both
        ((2,), (1, 2, 3), [1]),
        ((0,), (0, 2), [0, 1, 2]),  # nobody asked for lacks it: all with events
    ],
)
def test_users_who_lack_a_target(targets: tuple[int, ...], audience: tuple[int, ...] | None, users: list[int]) -> None:
    """Those with events, inside the audience, who lack at least one target."""
    found = Audience.of(log(), Goal(targets, 1, 3, audience=audience))
    assert found.users.tolist() == users and found.targets.tolist() == list(targets)


def test_a_sample_shows_what_its_users_consumed() -> None:
    """All users where they fit."""
    users, consumed = Audience.of(log(), Goal((2,), 1, 2)).sample(np.random.default_rng(0))
    assert users.tolist() == [0, 1]
    assert consumed.tolist() == [[True, True, False], [False, True, False]]


def test_a_sample_is_as_large_as_the_cells_allow() -> None:
    """Ascending, without repeats, drawn by the generator, never empty."""
    audience = Audience.of(log(), Goal((0, 1, 2), 1, 3))
    seen = set()
    for seed in range(20):
        users, consumed = audience.sample(np.random.default_rng(seed), cells=7)
        assert consumed.shape == (2, 3) and users[0] < users[1]
        again, _ = audience.sample(np.random.default_rng(seed), cells=7)
        assert users.tolist() == again.tolist()
        seen |= set(users.tolist())
    assert seen == {0, 1, 2}
    assert len(audience.sample(np.random.default_rng(0), cells=1)[0]) == 1
