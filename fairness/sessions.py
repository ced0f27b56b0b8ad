"""Accuracy per session, against the best the session allows, so that neither long sessions nor busy users decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64
from .recommendations import Recommendations
from .value import Float64, Value

GAP = 1800
"""Seconds without an event that end a session: 30 minutes, the usual convention of web analytics."""


@dataclass(frozen=True)
class SessionMetric:
    """One metric, in 0..1, averaged in two ways.

    Attributes:
        by_user: first within each user's sessions, then over users: every user counts alike.
        by_session: over all sessions: a user counts as often as there are sessions of theirs.
    """

    by_user: Value
    by_session: Value


@dataclass(frozen=True)
class SessionMetrics:
    """Metrics of top-k lists over the sessions of the held-out events.

    Attributes:
        k: cut-off.
        hr: 1 if the list holds any item of the session; the best reachable is 1.
        recall: items found, of the min(R, k) that k places can hold; R = different items in the session.
        ndcg: discounted gain over that of the min(R, k) items in front.
        users: users with at least one session. Users count as often as their weights say, here and below.
        sessions: sessions.
        events: different (session, item) pairs; a repeat within a session counts once.
        largest_share: the busiest user's share of the sessions, 0..1; None without sessions.
        rule: how sessions were told apart, in words.
    """

    k: int
    hr: SessionMetric
    recall: SessionMetric
    ndcg: SessionMetric
    users: int
    sessions: int
    events: int
    largest_share: float | None
    rule: str


def session_ids(user: Int32, time: Int64 | None, gap: int = GAP) -> Int64:
    """Number the sessions of an event log: a new one starts where a user's next event comes more than `gap` later.

    Args:
        user: int32 [N].
        time: int64 [N], Unix seconds, in any order. An order (1, 2, 3, ...) in place of seconds cannot be recognised
            and would make one session of each user: give ids then.
        gap: seconds, at least 0.

    Returns:
        int64 [N], for each event its session, numbered from 0 by user and time.

    Raises:
        InputError: no times, lengths that differ, a negative gap.
    """
    if time is None:
        raise InputError("sessions need the time of each event: name the time column of the data, or give session ids")
    if len(time) != len(user):
        raise InputError(f"{len(user)} events, but {len(time)} times")
    if gap < 0:
        raise InputError(f"the gap between sessions must not be negative, got {gap} seconds")
    order = np.lexsort((time, user))
    sorted_user, sorted_time = user[order], time[order]
    new = (sorted_user[1:] != sorted_user[:-1]) | (sorted_time[1:] - sorted_time[:-1] > gap)
    found = np.empty(len(user), np.int64)
    found[order] = np.concatenate([np.zeros(min(len(user), 1), np.int64), np.cumsum(new)])
    return found


def session_metrics(
    lists: Int32,
    user: Int32,
    item: Int32,
    time: Int64 | None = None,
    *,
    session: Int64 | None = None,
    gap: int = GAP,
    k: int | None = None,
    weights: Int64 | None = None,
) -> SessionMetrics:
    """Hit rate, recall and NDCG at k per session, each over the best reachable with the session's number of items.

    A user has one list, which is compared with each of their held-out sessions. O(m k + N log N).

    Args:
        lists: int32 [m, k], best first, -1 for an empty place.
        user: int32 [N], held-out events, in 0..m-1.
        item: int32 [N], at least 0.
        time: int64 [N], Unix seconds; None if `session` is given.
        session: int64 [N], ids to be used in place of times; the same id of two users means two sessions.
        gap: seconds without an event that end a session; not used with ids.
        k: cut-off, 1..list length; None for the length.
        weights: int64 [m], how often each user counts (a bootstrap sample); None for once.

    Returns:
        Both averages of each metric; undefined if no event is held out.

    Raises:
        InputError: neither times nor ids, lengths that differ, a user or item out of range, a cut-off out of range,
            an item twice in a list.

    Sources: normalisation by the best list: Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques,
        ACM TOIS 20(4), 2002; sessions by a 30-minute gap: Catledge, Pitkow: Characterizing browsing strategies in the
        World-Wide Web, Computer Networks 27(6), 1995 (who use 25.5 minutes). Averaging within users first is
        macro-averaging; the combination is ours.
    """
    _check_events(lists, user, item, weights)
    given = session is not None
    ids = session_ids(user, time, gap) if session is None else np.asarray(session, np.int64)
    if len(ids) != len(user):
        raise InputError(f"{len(user)} events, but {len(ids)} session ids")
    n_items = int(max(lists.max(initial=0), item.max(initial=0))) + 1
    lists = Recommendations.of(lists, n_items).lists
    k = lists.shape[1] if k is None else k
    if not 1 <= k <= lists.shape[1]:
        raise InputError(f"the cut-off must lie in 1..{lists.shape[1]}, the list length; got {k}")
    # one number per (user, id), in the order of users
    names, name = np.unique(ids, return_inverse=True)
    pairs, number = np.unique(user.astype(np.int64) * len(names) + name, return_inverse=True)
    owner, n_sessions = pairs // max(len(names), 1), len(pairs)
    cells = np.unique(number.astype(np.int64) * n_items + item)
    inside = cells // n_items
    rank = _ranks(lists[:, :k], owner[inside], cells % n_items, n_items)
    size = np.bincount(inside, minlength=n_sessions)
    reachable = np.minimum(size, k)
    discount = np.concatenate([[0], 1 / np.log2(np.arange(2, k + 2))])
    n_hits = np.bincount(inside, rank > 0, minlength=n_sessions)
    gain = np.bincount(inside, discount[rank], minlength=n_sessions)
    times = np.ones(len(lists), np.int64) if weights is None else weights
    each = {"hr": n_hits > 0, "recall": n_hits / reachable, "ndcg": gain / np.cumsum(discount)[reachable]}
    averaged = {name: _average(np.minimum(value, 1.0), owner, times) for name, value in each.items()}
    per_user = np.bincount(owner, minlength=len(lists))
    total = int(times @ per_user)
    return SessionMetrics(
        k=k,
        **averaged,
        users=int(times[per_user > 0].sum()),
        sessions=total,
        events=int(times[owner] @ size),
        largest_share=float(per_user[times > 0].max() / total) if total else None,
        rule="session ids as given" if given else f"a new session after {gap} seconds without an event",
    )


def _check_events(lists: Int32, user: Int32, item: Int32, weights: Int64 | None) -> None:
    if len(user) != len(item):
        raise InputError(f"{len(user)} users of events, but {len(item)} items")
    if len(user) and (int(user.min()) < 0 or int(user.max()) >= len(lists)):
        raise InputError(f"events of users outside 0..{len(lists) - 1}, those with a list")
    if len(item) and int(item.min()) < 0:
        raise InputError("events with negative items")
    if weights is not None and len(weights) != len(lists):
        raise InputError(f"{len(lists)} lists, but {len(weights)} user weights")


def _ranks(lists: Int32, user: Int64, item: Int64, n_items: int) -> Int64:
    """Where each (user, item) stands in the user's list, from 1; 0 if it does not. int64 [N] -> int64 [N]."""
    row, place = np.nonzero(lists >= 0)
    if not len(row):
        return np.zeros(len(user), np.int64)
    keys = row * n_items + lists[row, place]
    order = np.argsort(keys, kind="stable")
    keys, place = keys[order], place[order]
    wanted = user * n_items + item
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, place[at] + 1, 0)


def _average(value: Float64, owner: Int64, times: Int64) -> SessionMetric:
    """Both averages of a value per session, float64 [sessions], whose users are int64 [sessions]."""
    count = np.bincount(owner, minlength=len(times))
    active = (count > 0) & (times > 0)
    if not active.any():
        return SessionMetric(*[Value.undefined("no user has a held-out session")] * 2)
    total = np.bincount(owner, value, minlength=len(times))[active]
    users, weight = int(times[active].sum()), times[active]
    by_user = float(weight @ (total / count[active]) / users)
    return SessionMetric(
        Value(by_user, users=users), Value(float(weight @ total / (weight @ count[active])), users=users)
    )
