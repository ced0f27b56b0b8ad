from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError
from recaudit.unlearn.drawing import DRAWS, draw
from recaudit.unlearn.request import Request, pooled

from .conformance import small_log

LOG = small_log()


@given(st.sets(st.integers(0, len(LOG) - 1), min_size=1, max_size=50))
def test_forget_and_retain_set_are_the_log(rows: set[int]) -> None:
    request = Request.of(LOG, "x", rows=np.array(sorted(rows)))
    left, gone = request.retained(LOG), request.forgotten(LOG)
    assert set(rows) <= set(request.rows.tolist())
    assert len(left) + len(gone) == len(LOG)
    assert left.n_users == gone.n_users == LOG.n_users
    pair = LOG.user.astype(np.int64) * LOG.n_items + LOG.item
    assert not np.isin(left.user.astype(np.int64) * LOG.n_items + left.item, pair[request.rows]).any()


def test_users_and_items_are_forgotten_whole() -> None:
    request = Request.of(LOG, "x", users=np.array([3, 1, 3]), items=np.array([2]))
    left = request.retained(LOG)
    assert left.user_counts[[1, 3]].sum() == 0
    assert left.item_counts[2] == 0
    np.testing.assert_array_equal(request.users, [1, 3])
    assert len(request) == ((LOG.user == 1) | (LOG.user == 3) | (LOG.item == 2)).sum()


def test_repeats_of_a_pair_go_together() -> None:
    twice = LOG.plus(LOG.take(np.array([5])))
    request = Request.of(twice, "x", rows=np.array([5]))
    np.testing.assert_array_equal(request.rows, [5, len(LOG)])


@pytest.mark.parametrize("chosen", [{}, {"rows": np.empty(0, np.int64)}, {"users": np.empty(0, np.int64)}])
def test_nothing_is_refused(chosen: dict[str, np.ndarray]) -> None:
    with pytest.raises(InputError, match="nothing to forget"):
        Request.of(LOG, "x", **chosen)


def test_everything_is_refused() -> None:
    with pytest.raises(InputError, match="every event"):
        Request.of(LOG, "x", users=np.arange(LOG.n_users))


def test_what_is_left_of_a_request_after_another() -> None:
    first, second = Request.of(LOG, "a", users=np.array([1])), Request.of(LOG, "b", items=LOG.item[:1].astype(np.int64))
    left = first.retained(LOG)
    now = second.of_what_is_left(LOG, left)
    assert now is not None
    both = pooled(LOG, [first, second])
    assert now.retained(left).fingerprint == both.retained(LOG).fingerprint
    assert first.of_what_is_left(LOG, left) is None
    assert both.label == "a + b"


@pytest.mark.parametrize("kind", DRAWS)
def test_drawn_requests_have_about_the_size(kind: str) -> None:
    found = draw(LOG, kind, 100, 3)
    most = max(LOG.user_counts.max(), LOG.item_counts.max())
    assert 100 <= len(found) <= 100 + most
    np.testing.assert_array_equal(found.rows, draw(LOG, kind, 100, 3).rows)
    if kind not in ("core-users", "edge-users"):
        assert not np.array_equal(found.rows, draw(LOG, kind, 100, 4).rows)


def test_core_users_are_the_active_ones() -> None:
    core, edge = (np.unique(LOG.user[draw(LOG, kind, 100, 0).rows]) for kind in ("core-users", "edge-users"))
    assert LOG.user_counts[core].min() >= LOG.user_counts[edge].max()
    assert len(core) < len(edge)


def test_half_of_a_users_events_stay() -> None:
    found = draw(LOG, "part-of-users", 100, 0)
    users = np.unique(LOG.user[found.rows])
    left = found.retained(LOG).user_counts[users]
    np.testing.assert_array_equal(left, LOG.user_counts[users] - LOG.user_counts[users] // 2)


@pytest.mark.parametrize("pairs", [0, 10_000])
def test_a_draw_that_cannot_be(pairs: int) -> None:
    with pytest.raises(InputError, match="cannot be drawn"):
        draw(LOG, "pairs", pairs, 0)


def test_held_out_parts_are_purged_of_users_items_and_repeats() -> None:
    part = LOG.take(np.arange(0, len(LOG), 2))
    rows = np.arange(5)
    request = Request.of(LOG, "x", rows=rows, users=np.array([7]), items=np.array([3]))
    left = request.purged(LOG, part)
    gone = (part.user == 7) | (part.item == 3) | np.isin(part.pair_keys, LOG.pair_keys[rows])
    assert len(left) == len(part) - gone.sum() < len(part)
    assert left.users is not None
    assert left.users.iloc[7].isna().all()
    assert LOG.users is not None
    others = np.arange(LOG.n_users) != 7
    assert left.users[others].astype(str).equals(LOG.users[others].astype(left.users.dtypes).astype(str))


def test_whole_users() -> None:
    rows = np.flatnonzero(LOG.user == 4)
    assert Request.of(LOG, "x", rows=rows).whole_users(LOG).tolist() == [4]
    assert Request.of(LOG, "x", rows=rows[:-1]).whole_users(LOG).tolist() == []
