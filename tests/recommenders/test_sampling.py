"""Pairs and negatives: exactness against plain definitions, distributions, common random numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.recommenders.sampling import Positives, blocks, collisions

from .planted import make_log


@st.composite
def logs(draw: st.DrawFn) -> InteractionLog:
    n_users, n_items = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    cell = st.tuples(st.integers(0, n_users - 1), st.integers(0, n_items - 1))
    events = draw(st.lists(cell, min_size=1, max_size=40))
    user, item = np.array(events, np.int32).T
    return make_log(user, item, n_users, n_items)


def seen_by(log: InteractionLog) -> list[set[int]]:
    return [set(log.item[log.user == user].tolist()) for user in range(log.n_users)]


@given(logs(), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_unseen_items_are_never_seen_ones(log: InteractionLog, seed: int) -> None:
    pairs = Positives.of(log)
    users = np.repeat(np.arange(log.n_users), 5)
    drawn = pairs.unseen(np.random.default_rng(seed), users)
    seen = seen_by(log)
    for user, item in zip(users, drawn, strict=True):
        assert 0 <= item < log.n_items
        assert item not in seen[user] or len(seen[user]) == log.n_items


def test_unseen_items_are_uniform() -> None:
    log = make_log([0, 0, 0, 1], [0, 3, 4, 2], 3, 6)
    pairs = Positives.of(log)
    for user, free in ((0, [1, 2, 5]), (1, [0, 1, 3, 4, 5]), (2, [0, 1, 2, 3, 4, 5])):
        drawn = pairs.unseen(np.random.default_rng(1), np.full(30_000, user))
        share = np.bincount(drawn, minlength=6) / 30_000
        expected = np.isin(np.arange(6), free) / len(free)
        assert np.abs(share - expected).max() < 0.012


def test_pairs_are_the_unique_events_sorted() -> None:
    pairs = Positives.of(make_log([2, 0, 2, 0, 2], [1, 3, 1, 0, 0], 3, 4))
    assert pairs.user.tolist() == [0, 0, 2, 2]
    assert pairs.item.tolist() == [0, 3, 0, 1]
    assert pairs.offsets.tolist() == [0, 2, 2, 4]


def test_a_user_of_weight_zero_is_no_longer_there() -> None:
    log = make_log([0, 0, 1, 2], [0, 1, 1, 2], 3, 4)
    pairs = Positives.of(log, np.array([0.5, 0.0, 2.0], np.float32))
    assert pairs.user.tolist() == [0, 0, 2]
    assert pairs.weight is not None
    assert pairs.weight.tolist() == [0.5, 0.5, 2.0]


@pytest.mark.parametrize("weights", [[1.0, 1.0], [1.0, -0.1, 1.0], [1.0, np.nan, 1.0]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(DataError, match="weights"):
        Positives.of(make_log([0, 1], [0, 1], 3, 2), np.array(weights, np.float32))


def test_nothing_to_train_on_is_an_error() -> None:
    log = make_log([0, 1], [0, 1], 2, 2)
    with pytest.raises(DataError, match="no interaction"):
        Positives.of(log, np.zeros(2, np.float32))


def test_injected_users_do_not_shuffle_the_genuine_pairs() -> None:
    source = np.random.default_rng(3)
    log = make_log(source.integers(0, 30, 400), source.integers(0, 20, 400), 30, 20)
    fakes = Profiles(5, np.repeat(np.arange(5, dtype=np.int32), 8), source.integers(0, 20, 40).astype(np.int32))
    clean, attacked = Positives.of(log), Positives.of(log.with_accounts(fakes))
    order = clean.order(np.random.default_rng(9))
    mixed = attacked.order(np.random.default_rng(9))
    assert np.array_equal(order, mixed[mixed < len(clean)])
    same = clean.unseen(np.random.default_rng(9), clean.user)
    assert np.array_equal(same, attacked.unseen(np.random.default_rng(9), attacked.user)[: len(clean)])


@given(st.integers(1, 300), st.integers(1, 70))
def test_blocks_cover_the_order_evenly(length: int, largest: int) -> None:
    cuts = list(blocks(np.arange(length), largest))
    assert np.concatenate(cuts).tolist() == list(range(length))
    sizes = {len(cut) for cut in cuts}
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1
    assert len(cuts) == -(-length // largest)


@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 9), max_size=30))
def test_collisions_are_all_equal_pairs(items: list[int], drawn: list[int]) -> None:
    found = collisions(np.array(items, np.int64), np.array(drawn, np.int64))
    expected = {(b, n) for b, item in enumerate(items) for n, other in enumerate(drawn) if item == other}
    assert set(zip(*found.tolist(), strict=True)) == expected
    assert found.shape[1] == len(expected)
    assert (np.diff(found[0]) >= 0).all()
