from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.unlearn.drawing import DRAWS, draw
from recaudit.unlearn.request import Request, pooled, tombstones

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


def known(log: InteractionLog, **columns: object) -> InteractionLog:
    return replace(log, users=pd.DataFrame(columns, index=range(log.n_users)))


def test_nothing_is_known_any_more_of_users_who_are_forgotten_whole() -> None:
    ages = np.arange(20, 20 + LOG.n_users)
    log = known(LOG, age=ages, old=ages > 40, job=np.where(ages % 2, "a", "b"))
    left = Request.of(log, "x", users=np.array([3, 8])).retained(log)
    assert left.users is not None
    assert left.users.iloc[[3, 8]].isna().to_numpy().all()
    others = np.setdiff1d(np.arange(log.n_users), [3, 8])
    assert left.users["age"].iloc[others].astype(str).tolist() == ages[others].astype(str).tolist()  # no 23.0
    assert left.users["old"].iloc[others].tolist() == (ages > 40)[others].tolist()
    some = Request.of(log, "x", rows=np.arange(3))
    assert some.retained(log).users is log.users


@pytest.mark.parametrize("model", ["feature-lightgcn", "fm"])
def test_a_retrain_learns_nothing_from_the_side_features_of_deleted_users(model: str) -> None:
    """The same for any features that they had: what the rest of the log gives is all that there is."""
    gone, recipe = np.arange(0, LOG.n_users, 4), Recipe(model, {"dim": 4, "max_epochs": 2}, 2)
    kinds = np.where(np.arange(LOG.n_users) % 3, "a", "b")
    first = known(LOG, kind=kinds)
    kinds = kinds.copy()
    kinds[gone] = np.where(kinds[gone] == "a", "b", "c")
    states = []
    for log in (first, known(LOG, kind=kinds)):
        request = Request.of(log, "x", users=gone)
        states.append(fit(recipe, request.retained(log), 0).state())
    for name, tensor in states[0].items():
        np.testing.assert_array_equal(tensor, states[1][name], err_msg=name)


def test_a_request_of_features_alone_is_left_where_its_user_has_no_event() -> None:
    idle = known(LOG.take(LOG.user != 7), kind=["a"] * LOG.n_users)
    request = Request.of(idle, "x", users=np.array([7]), held=np.array([7 * LOG.n_items]))
    now = request.of_what_is_left(idle, idle)
    assert now is not None
    assert len(now) == 0
    assert request.of_what_is_left(idle, now.retained(idle)) is None


def test_pairs_that_only_held_out_parts_hold_are_purged() -> None:
    train, part = LOG.take(np.arange(600)), LOG.take(np.arange(600, len(LOG)))
    key = part.pair_keys[~np.isin(part.pair_keys, train.pair_keys)][:1]
    request = Request.of(train, "x", held=key)
    assert len(request) == 0
    left = request.purged(train, part)
    assert len(left) == len(part) - (part.pair_keys == key[0]).sum() < len(part)
    assert len(pooled(train, [request, Request.of(train, "y", rows=np.arange(2))]).held) == 1
    with pytest.raises(InputError, match="trained on nothing of it"):
        request.check_trained()


def test_what_is_to_be_forgotten_has_its_fingerprint() -> None:
    rows = np.flatnonzero(LOG.user == 4)
    found = {
        Request.of(LOG, "x", rows=rows).fingerprint, Request.of(LOG, "x", users=np.array([4])).fingerprint,
        Request.of(LOG, "x", users=np.array([4]), held=np.array([3])).fingerprint,
    }  # fmt: skip
    assert len(found) == 3
    assert Request.of(LOG, "y", rows=rows).fingerprint in found


@given(st.lists(st.sampled_from(["a", "b", "forgotten:1", "forgotten:1'", "x"]), min_size=3, unique=True), st.data())
def test_tombstones_are_unique_stable_and_say_nothing_of_the_id(names: list[str], data: st.DataObject) -> None:
    ids = np.array(names)
    gone = np.array(sorted(data.draw(st.sets(st.integers(0, len(names) - 1)))), np.int64)
    found = tombstones(ids, gone)
    assert len(set(found.tolist())) == len(names)
    stay = np.setdiff1d(np.arange(len(names)), gone)
    np.testing.assert_array_equal(found[stay], ids[stay])
    np.testing.assert_array_equal(tombstones(found, gone), found)
    other = ids.copy().astype("<U20")
    other[gone] = [f"other {n}" for n in gone]
    np.testing.assert_array_equal(tombstones(other, gone), found)


def test_the_data_after_a_request() -> None:
    parts = [LOG.take(np.arange(n, len(LOG), 3)) for n in range(3)]
    split = Split(*parts, "by hand")
    user = int(split.train.user[0])
    request = Request.of(split.train, "x", users=np.array([user]))
    after = request.left_of(split)
    for part in (after.train, after.valid, after.test):
        assert user not in part.user
        assert part.user_ids[user] == f"forgotten:{user}"
        assert part.users is not None
        assert part.users.iloc[user].isna().all()
