from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import Split, leave_last_out, ratio_per_user
from recaudit.privacy.membership.candidates import (
    HELD_OUT,
    PLANTED,
    TRAINED,
    coins,
    draw_pairs,
    draw_users,
    overlap,
)
from recaudit.privacy.places import places

from ...victims import small_log

SPLIT = ratio_per_user(small_log(users=200, items=60, events=3000), seed=1)


@settings(deadline=None, max_examples=25)
@given(st.integers(20, 400), st.integers(0, 100), st.integers(0, 5), st.booleans(), st.sampled_from(["ratio", "last"]))
def test_a_coin_decides_and_nothing_else(count: int, planted: int, seed: int, in_order: bool, kind: str) -> None:
    split = SPLIT if kind == "ratio" else leave_last_out(small_log(users=200, items=60, events=3000))
    found = draw_pairs(split, count, planted, seed, in_order=in_order)
    again = draw_pairs(split, count, planted, seed, in_order=in_order)
    np.testing.assert_array_equal(found.owner, again.owner)
    keys = found.user * split.train.n_items + found.item
    assert len(np.unique(keys)) == len(keys)
    held = split.valid.plus(split.test)
    assert np.isin(keys[found.source == TRAINED], split.train.pair_keys).all()
    assert np.isin(keys[found.source == HELD_OUT], held.pair_keys).all()
    assert not np.isin(keys[found.source != TRAINED], split.train.pair_keys).any()
    assert not np.isin(keys[found.source == PLANTED], held.pair_keys).any()
    included = coins(len(found), seed, 0)
    log = found.trained(included)
    np.testing.assert_array_equal(np.isin(keys, log.pair_keys), included)
    population = found.population_user * split.train.n_items + found.population_item
    assert not np.isin(population, log.pair_keys).any() and not np.isin(population, keys).any()
    assert not np.isin(found.never.pair_keys, np.setdiff1d(log.pair_keys, split.train.pair_keys)).any()
    # what is in every log is the training part less its candidates
    assert len(found.base) == (~np.isin(split.train.pair_keys, keys)).sum()
    own = np.bincount(found.user[found.source == TRAINED], minlength=split.train.n_users)
    assert (own <= np.maximum(0.25 * split.train.user_counts, 1)).all() or kind == "last"
    assert (found.base.user_counts[own > 0] > 0).all()


def test_users_are_in_whole_or_not_at_all() -> None:
    found = draw_users(SPLIT, 40, 3)
    included = coins(len(found), 3, 1)
    log = found.trained(included)
    there = np.isin(found.user, log.user)
    np.testing.assert_array_equal(there, included)
    assert not np.isin(found.population_user, log.user).any() and len(found.population_user) == 20
    others = np.setdiff1d(np.arange(SPLIT.train.n_users), np.concatenate([found.user, found.population_user]))
    np.testing.assert_array_equal(log.user_counts[others], SPLIT.train.user_counts[others])
    np.testing.assert_array_equal(log.user_counts[found.user[included]], SPLIT.train.user_counts[found.user[included]])


def test_coins_are_fair_and_models_have_their_own() -> None:
    found = np.stack([coins(4000, 9, place) for place in range(8)])
    assert abs(found.mean() - 0.5) < 4 * 0.5 / 32000**0.5
    correlation = np.corrcoef(found)[np.triu_indices(8, 1)]
    assert np.abs(correlation).max() < 4.5 / 4000**0.5
    asked = draw_users(SPLIT, 40, 3)
    assert overlap(asked, 1.0, 9, 0) is None
    part = overlap(asked, 0.7, 9, 0)
    assert part is not None and abs(part.mean() - 0.7) < 4 * (0.7 * 0.3 / len(asked.everything)) ** 0.5
    assert not np.array_equal(part, overlap(asked, 0.7, 9, 1))


def by_time(users: int) -> Split:
    """Of the first users all events but one or two come late, of some others all."""
    split = ratio_per_user(small_log(users=200, items=60, events=3000), seed=1)
    number = places(split.train, np.arange(len(split.train)))
    late = (split.train.user < users) & (number >= split.train.user % 3)
    return replace(split, train=split.train.without(late), test=split.test.plus(split.train.take(late)))


@settings(deadline=None, max_examples=20)
@given(st.integers(20, 100), st.integers(1, 150), st.integers(0, 5), st.booleans())
def test_planted_pairs_stand_beside_an_event_that_stays(most: int, planted: int, seed: int, in_order: bool) -> None:
    found = draw_pairs(by_time(120), most, planted, seed, in_order=in_order)
    own = found.source == PLANTED
    base = found.base
    assert (base.user_counts[found.user[own]] > 0).all()
    at = np.flatnonzero(np.isin(found.owner, np.flatnonzero(own)))
    assert base.time is not None and found.everything.time is not None
    there = set(zip(base.user.tolist(), base.time.tolist(), strict=True))
    log = found.everything
    assert {(int(log.user[row]), int(found.everything.time[row])) for row in at} <= there and len(at) == own.sum()


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 0.9), st.integers(0, 3), st.integers(0, 3))
def test_thinning_leaves_every_candidates_user_an_event(share: float, seed: int, place: int) -> None:
    found = draw_pairs(by_time(120), 100, 50, seed)
    known = overlap(found, share, seed, place)
    assert known is not None
    kept = found.trained(np.zeros(len(found), bool), known)
    assert (kept.user_counts[found.user] > 0).all()
    # nothing else is forced: users are left with more than drawn by one event at most
    drawn = rng(seed, "privacy", "overlap", place).random(len(found.everything)) < share
    forced = found.everything.take(known & ~drawn)
    assert forced.user_counts.max() <= 1 and not (drawn & ~known).any()


def test_too_few_are_refused() -> None:
    small = ratio_per_user(small_log(users=10, items=20, events=100), seed=1)
    with pytest.raises(DataError, match="20 or more"):
        draw_pairs(small, 100, 0, 0)
    with pytest.raises(DataError, match="160 or more"):
        draw_users(small, 100, 0)


def test_users_without_a_training_event_are_no_candidates_and_nobody_is_emptied() -> None:
    split = ratio_per_user(small_log(users=200, items=60, events=3000), seed=1)
    cold = np.isin(split.train.user, np.arange(40))
    split = replace(split, train=split.train.without(cold), test=split.test.plus(split.train.take(cold)))
    found = draw_pairs(split, 300, 0, 0)
    assert found.user[found.source != PLANTED].min() >= 40 and found.population_user.min() >= 40
    once = split.train.user == 50
    first = np.flatnonzero(once)[:1]
    repeated = split.train.without(once).plus(split.train.take(np.repeat(first, 6)))
    drawn = draw_pairs(replace(split, train=repeated), 400, 0, 0)
    assert not ((drawn.user == 50) & (drawn.source == TRAINED)).any()  # six events, one item: nothing would be left
