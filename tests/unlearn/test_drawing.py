"""Drawn requests on logs with and without repeated events (see also test_request)."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.log import InteractionLog
from recaudit.unlearn.drawing import DRAWS, draw


def logged(user: Any, item: Any) -> InteractionLog:
    user, item = np.asarray(user, np.int32), np.asarray(item, np.int32)
    return InteractionLog(user, item, np.arange(60).astype(str), np.arange(40).astype(str))


def without_repeats() -> InteractionLog:
    """622 events by arithmetic alone, users of 3 to 20."""
    user, item = np.meshgrid(np.arange(60), np.arange(40), indexing="ij")
    kept = (user * user * 7 + item * item * 13 + user * item) % 101 < 60 - user // 2 - item
    order = np.argsort((user[kept] * 40 + item[kept]) * 7919 % 10007, kind="stable")
    return logged(user[kept][order], item[kept][order])


def with_repeats(seed: int = 0, most: int = 8) -> InteractionLog:
    """Each pair of the log above 1 to so many times, scattered."""
    log, stream = without_repeats(), np.random.default_rng(seed)
    rows = stream.permutation(np.repeat(np.arange(len(log)), stream.integers(1, most + 1, len(log))))
    return log.take(rows)


DRAWN = {
    "users": "557da17cc8033324",
    "core-users": "9d0195e31a556a81",
    "edge-users": "0c463ba235ef01b8",
    "part-of-users": "3e560f98f1a57d95",
    "items": "0d366a8a35b8621e",
    "pairs": "fe26a050e59d4c79",
}
"""Of what was drawn before repeats were looked at; benchmarks hold such requests."""


@pytest.mark.parametrize("kind", DRAWS)
def test_without_repeats_the_same_is_drawn_for_ever(kind: Any) -> None:
    log = without_repeats()
    found = "".join(draw(log, kind, pairs, seed).fingerprint for pairs in (1, 37, 200) for seed in range(3))
    assert hashlib.sha256(found.encode()).hexdigest()[:16] == DRAWN[kind]


@settings(max_examples=40)
@given(st.sampled_from(DRAWS), st.integers(0, 50), st.integers(1, 9), st.integers(1, 200))
def test_with_repeats_about_so_many_events_are_forgotten(kind: Any, seed: int, most: int, pairs: int) -> None:
    log = with_repeats(seed, most)
    found = draw(log, kind, pairs, seed)
    single = {"items": log.item_counts.max(), "pairs": most}.get(kind, log.user_counts.max())
    least = pairs if pairs >= log.item_counts.max() else 1  # larger ones may have been left out
    assert least <= len(found) < pairs + single


def test_half_of_a_users_distinct_pairs_stay() -> None:
    log = with_repeats()
    found = draw(log, "part-of-users", 400, 0)
    users = np.unique(log.user[found.rows])
    had, left = ((part.matrix() != 0).sum(1).A1[users] for part in (log, found.retained(log)))
    assert len(users) > 5
    np.testing.assert_array_equal(left, had - had // 2)


def test_a_pair_that_is_most_of_a_log_is_not_drawn_where_others_are_there() -> None:
    log = logged([0] * 90 + [1] * 30, [0] * 90 + [*range(30)])
    for seed in range(10):
        assert len(draw(log, "pairs", 10, seed)) == 10
