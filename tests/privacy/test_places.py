from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.log import InteractionLog
from recaudit.privacy.places import LONGEST, following, places, prefixes


def log_of(user: list[int], item: list[int], time: list[int] | None) -> InteractionLog:
    ids = (np.arange(6).astype(str), np.arange(9).astype(str))
    own = None if time is None else np.array(time, np.int64)
    return InteractionLog(np.array(user, np.int32), np.array(item, np.int32), *ids, time=own)


EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=40)


@given(EVENTS, st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_prefix_is_what_stood_before(events: list[tuple[int, int, int]], timed: bool) -> None:
    user, item, time = (list(column) for column in zip(*events, strict=True))
    log = log_of(user, item, time if timed else None)
    rows = np.arange(len(log))
    offsets, items = log.sequences()
    place = places(log, rows)
    stood = prefixes(log, log.user[rows].astype(np.int64), place)
    starts, read = stood.sequences()
    assert stood.n_users == len(rows) and stood.n_items == log.n_items
    for row in rows:
        own = items[offsets[user[row]] : offsets[user[row] + 1]]
        assert own[place[row]] == item[row]
        np.testing.assert_array_equal(read[starts[row] : starts[row + 1]], own[: place[row]])
    assert sorted(place[log.user == user[0]]) == list(range(user.count(user[0])))


def test_long_prefixes_lose_their_beginning() -> None:
    log = log_of([0] * (LONGEST + 5), [n % 9 for n in range(LONGEST + 5)], None)
    stood = prefixes(log, np.array([0]), np.array([LONGEST + 3]))
    np.testing.assert_array_equal(stood.item, log.item[3 : LONGEST + 3])


def test_first_events_follow_nothing() -> None:
    log = log_of([0, 0, 1], [1, 2, 3], [5, 4, 1])
    assert following(log, np.array([0, 1, 2])).tolist() == [0]
    assert following(log, np.array([1, 2])).tolist() == [1, 2]
