"""Session metrics against loops over sessions."""

from __future__ import annotations

from collections import defaultdict
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import Int32, Int64
from recaudit.fairness.sessions import GAP, SessionMetrics, session_ids, session_metrics

METRICS = ("hr", "recall", "ndcg")
Problem = tuple[Int32, Int32, Int32, Int64]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    m, n, k, events = (draw(st.integers(*ends)) for ends in ((1, 6), (1, 10), (1, 10), (0, 30)))
    numbers = np.random.default_rng(draw(st.integers(0, 999)))
    k = min(k, n)
    lists = np.argsort(numbers.random((m, n)), axis=1)[:, :k].astype(np.int32)
    lists[np.arange(k) >= numbers.integers(0, k + 1, (m, 1))] = -1
    user, item = (numbers.integers(0, top, events).astype(np.int32) for top in (m, n + 2))
    return lists, user, item, numbers.integers(0, 20_000, events)


def split(user: Int32, time: Int64, gap: int) -> list[set[int]]:
    """Positions of the events of each session."""
    sessions: list[set[int]] = []
    for one in np.unique(user):
        last = None
        for event in sorted(np.flatnonzero(user == one), key=lambda e: time[e]):
            if last is None or time[event] - last > gap:
                sessions.append(set())
            sessions[-1].add(int(event))
            last = time[event]
    return sessions


@given(problems(), st.sampled_from([0, 100, GAP, 10**6]))
def test_sessions_end_at_gaps(problem: Problem, gap: int) -> None:
    _, user, _, time = problem
    ids = session_ids(user, time, gap)
    found = defaultdict(set)
    for event, session in enumerate(ids.tolist()):
        found[session].add(event)
    assert [found[session] for session in range(len(found))] == split(user, time, gap)


def brute(lists: Int32, k: int, sessions: list[tuple[int, set[int]]]) -> dict[str, tuple[float, float]]:
    values: dict[str, dict[int, list[float]]] = {name: defaultdict(list) for name in METRICS}
    for user, wanted in sessions:
        ranks = [rank for rank, item in enumerate(lists[user, :k].tolist()) if item in wanted]
        best = min(len(wanted), k)
        values["hr"][user].append(float(bool(ranks)))
        values["recall"][user].append(len(ranks) / best)
        values["ndcg"][user].append(sum(1 / log2(r + 2) for r in ranks) / sum(1 / log2(r + 2) for r in range(best)))
    return {
        name: (float(np.mean([np.mean(v) for v in of.values()])), float(np.mean([x for v in of.values() for x in v])))
        for name, of in values.items()
    }


def check(found: SessionMetrics, lists: Int32, sessions: list[tuple[int, set[int]]]) -> None:
    assert (found.sessions, found.users) == (len(sessions), len({user for user, _ in sessions}))
    assert found.events == sum(len(items) for _, items in sessions)
    if not sessions:
        assert found.ndcg.by_user.value is None and found.ndcg.by_user.note and found.largest_share is None
        return
    for name, (by_user, by_session) in brute(lists, found.k, sessions).items():
        metric = getattr(found, name)
        assert metric.by_user.value == pytest.approx(by_user)
        assert metric.by_session.value == pytest.approx(by_session)
        assert metric.by_user.users == found.users
        assert 0 <= metric.by_user.value <= 1 and 0 <= metric.by_session.value <= 1
    owners = [user for user, _ in sessions]
    assert found.largest_share == pytest.approx(max(map(owners.count, owners)) / len(sessions))


@settings(deadline=None)
@given(problems(), st.integers(1, 10))
def test_is_the_definition(problem: Problem, cut: int) -> None:
    lists, user, item, time = problem
    k = min(cut, lists.shape[1])
    sessions = [(int(user[min(s)]), {int(item[e]) for e in s}) for s in split(user, time, GAP)]
    found = session_metrics(lists, user, item, time, k=k)
    check(found, lists, sessions)
    assert "1800 seconds" in found.rule


@settings(deadline=None)
@given(problems())
def test_given_ids_need_no_times_and_are_kept_apart_by_user(problem: Problem) -> None:
    lists, user, item, time = problem
    session = time % 3 - 1
    grouped = defaultdict(set)
    for one, name, what in zip(user.tolist(), session.tolist(), item.tolist(), strict=True):
        grouped[one, name].add(what)
    found = session_metrics(lists, user, item, session=session)
    check(found, lists, [(one, items) for (one, _), items in grouped.items()])
    assert found.rule == "session ids as given"


@settings(deadline=None)
@given(problems(), st.integers(0, 99))
def test_labels_order_and_repeats_change_nothing_and_weights_count_users(problem: Problem, seed: int) -> None:
    lists, user, item, time = problem
    numbers = np.random.default_rng(seed)
    found = session_metrics(lists, user, item, time)
    new = numbers.permutation(int(max(lists.max(), item.max(initial=0))) + 1).astype(np.int32)
    order = numbers.permutation(np.tile(np.arange(len(user)), 2))
    moved = np.where(lists >= 0, new[lists], -1).astype(np.int32)
    same(session_metrics(moved, user[order], new[item][order], time[order]), found)
    weights = numbers.integers(0, 3, len(lists))
    if not weights.any():
        return
    copies = np.repeat(np.arange(len(lists)), weights)
    events = [(place, e) for place, one in enumerate(copies) for e in np.flatnonzero(user == one)]
    place, kept = np.array(events, np.int64).reshape(-1, 2).T
    repeated = session_metrics(lists[copies], place.astype(np.int32), item[kept], time[kept])
    same(session_metrics(lists, user, item, time, weights=weights), repeated)


def same(one: SessionMetrics, other: SessionMetrics) -> None:
    assert (one.users, one.sessions, one.events, one.largest_share) == (
        other.users, other.sessions, other.events, other.largest_share,
    )  # fmt: skip
    for name in METRICS:
        for average in ("by_user", "by_session"):
            a, b = (getattr(getattr(each, name), average).value for each in (one, other))
            assert a == (None if b is None else pytest.approx(b))


def test_a_busy_user_does_not_decide() -> None:
    lists = np.array([[0], [1]], np.int32)
    user = np.array([0, 0, 0, 0, 1], np.int32)
    item = np.array([0, 0, 0, 0, 2], np.int32)
    found = session_metrics(lists, user, item, np.arange(5, dtype=np.int64) * 10_000)
    assert (found.hr.by_user.value, found.hr.by_session.value) == (0.5, 0.8)
    assert found.largest_share == 0.8


def test_the_best_list_reaches_1_however_long_the_session() -> None:
    lists = np.array([[0, 1], [2, 3]], np.int32)
    user = np.array([0, 0, 0, 1], np.int32)
    item = np.array([0, 1, 4, 2], np.int32)
    found = session_metrics(lists, user, item, session=np.zeros(4, np.int64))
    for name in METRICS:
        assert getattr(found, name).by_user.value == pytest.approx(1)


def test_refusals() -> None:
    lists, one = np.array([[0, 1]], np.int32), np.zeros(1, np.int32)
    with pytest.raises(InputError, match="name the time column of the data, or give session ids"):
        session_metrics(lists, one, one)
    with pytest.raises(InputError, match="negative"):
        session_ids(one, np.zeros(1, np.int64), -1)
    with pytest.raises(InputError, match="2 times"):
        session_ids(one, np.zeros(2, np.int64))
    with pytest.raises(InputError, match="2 items"):
        session_metrics(lists, one, np.zeros(2, np.int32))
    with pytest.raises(InputError, match="2 session ids"):
        session_metrics(lists, one, one, session=np.zeros(2, np.int64))
    with pytest.raises(InputError, match="outside"):
        session_metrics(lists, one + 1, one, session=np.zeros(1, np.int64))
    with pytest.raises(InputError, match="negative items"):
        session_metrics(lists, one, one - 1, session=np.zeros(1, np.int64))
    with pytest.raises(InputError, match="twice"):
        session_metrics(np.array([[0, 0]], np.int32), one, one, session=np.zeros(1, np.int64))
    with pytest.raises(InputError, match="cut-off"):
        session_metrics(lists, one, one, session=np.zeros(1, np.int64), k=3)
    with pytest.raises(InputError, match="user weights"):
        session_metrics(lists, one, one, session=np.zeros(1, np.int64), weights=np.ones(2, np.int64))
