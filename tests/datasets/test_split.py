"""Splits against their plain definitions, and what must hold for each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as any_of
from hypothesis import settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError, InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import given, global_temporal, leave_last_out, make_split, ratio_per_user
from recaudit.datasets.synthetic import generate


def log_of(user, time=None) -> InteractionLog:
    """A log whose item is the number of the event, so that events can be told apart."""
    user = np.array(user, np.int32)
    events = np.arange(len(user), dtype=np.int32)
    names = np.array([f"u{n}" for n in range(int(user.max(initial=0)) + 1)])
    times = None if time is None else np.array(time, np.int64)
    return InteractionLog(user, events, names, events.astype(str), None, times)


LOGS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=3, max_size=60).map(
    lambda rows: log_of(*zip(*rows, strict=True))
)


def check_parts(log, split) -> None:
    parts = [split.train, split.valid, split.test]
    assert Counter(np.concatenate([part.item for part in parts]).tolist()) == Counter(log.item.tolist())
    assert all((np.diff(part.item) > 0).all() for part in parts)  # file order is kept
    assert all(part.n_users == log.n_users and part.n_items == log.n_items for part in parts)
    assert len(split.test) and len(split.train)


@settings(max_examples=60, deadline=None)
@any_of(LOGS)
def test_leave_last_out_is_the_plain_loop(log):
    tests, valids = [], []
    for user in range(log.n_users):
        mine = sorted((int(log.time[e]), e) for e in range(len(log)) if log.user[e] == user)
        if len(mine) >= 3:
            valids.append(mine[-2][1])
            tests.append(mine[-1][1])
    if not tests:
        with pytest.raises(DataError, match="no test event"):
            leave_last_out(log)
        return
    split = leave_last_out(log)
    check_parts(log, split)
    assert split.test.item.tolist() == sorted(tests) and split.valid.item.tolist() == sorted(valids)


@settings(max_examples=60, deadline=None)
@any_of(LOGS, st.floats(0, 0.4), st.floats(0.05, 0.5))
def test_temporal_puts_the_past_in_train(log, valid, test):
    try:
        split = global_temporal(log, valid, test)
    except DataError:
        assert int(len(log) * test + 1e-9) == 0
        return
    check_parts(log, split)
    assert len(split.test) == int(len(log) * test + 1e-9) and len(split.valid) == int(len(log) * valid + 1e-9)
    keys = [sorted(zip(p.time.tolist(), p.item.tolist(), strict=True)) for p in (split.train, split.valid, split.test)]
    in_order = [key for part in keys for key in part]
    assert in_order == sorted(in_order)  # ties by file order


@settings(max_examples=60, deadline=None)
@any_of(LOGS, st.floats(0, 0.4), st.floats(0.05, 0.5), st.integers(0, 9))
def test_ratio_takes_the_share_of_each_user(log, valid, test, seed):
    wanted = np.floor(log.user_counts * test + 1e-9)
    if wanted.sum() == 0:
        with pytest.raises(DataError):
            ratio_per_user(log, valid, test, seed)
        return
    split = ratio_per_user(log, valid, test, seed)
    check_parts(log, split)
    assert (split.test.user_counts == wanted).all()
    assert (split.valid.user_counts == np.floor(log.user_counts * valid + 1e-9)).all()
    again = ratio_per_user(log, valid, test, seed)
    assert again.test.fingerprint == split.test.fingerprint


def test_seeds_differ_and_shares_are_uniform():
    log = log_of([0] * 30)
    picks = Counter(e for seed in range(300) for e in ratio_per_user(log, 0.0, 0.1, seed).test.item.tolist())
    assert len(picks) == 30 and sum(picks.values()) == 900  # 3 of 30, though 0.1 x 30 is not 3 in floats
    assert max(picks.values()) < 60  # expected 30, standard deviation 5.2


def test_given_parts_and_a_validation_part_held_out():
    log = log_of([0] * 25 + [1] * 5, range(30))
    train, test = log.take(np.arange(0, 28)), log.take(np.arange(28, 30))
    split = given({"train": train, "test": test}, seed=3)
    check_parts(log, split)
    assert split.valid.user_counts.tolist() == [2, 0] and split.test.item.tolist() == [28, 29]
    full = given({"train": train.take(np.arange(20)), "valid": train.take(np.arange(20, 28)), "test": test})
    assert (full.recipe, len(full.valid)) == ("given", 8)
    with pytest.raises(DataError, match="no test part"):
        given({"train": train})


def test_default_follows_the_data():
    log = generate(events=2000, seed=1)
    assert make_split(LoadedLog(log)).recipe == "leave-last-out"
    assert make_split(LoadedLog(replace(log, time=None))).recipe == "ratio:0.7,0.1,0.2 seed 0"
    parts = {"train": log.take(np.arange(1500)), "test": log.take(np.arange(1500, 2000))}
    assert make_split(LoadedLog(log, parts=parts)).recipe == "given seed 0"


@pytest.mark.parametrize("spec", [None, "leave-last-out", "temporal", "temporal:0.6,0.2,0.2", "ratio:0.5,0.25,0.25"])
def test_a_recipe_repeats_its_split(spec):
    loaded = LoadedLog(generate(events=2000, seed=1))
    split = make_split(loaded, spec, seed=5)
    again = make_split(loaded, split.recipe, seed=99)
    assert again.recipe == split.recipe
    assert again.train.fingerprint == split.train.fingerprint and again.test.fingerprint == split.test.fingerprint


@pytest.mark.parametrize("spec, words", [
    ("last", "unknown split"), ("ratio:0.5,0.5", "three shares"), ("ratio:0.5,0.2,0.2", "add up to 0.9"),
    ("ratio:1,0,0", "leave something"), ("leave-last-out:0.1", "takes no shares"), ("temporal:a", "unknown split"),
])  # fmt: skip
def test_wrong_descriptions_are_told(spec, words):
    with pytest.raises(InputError, match=words):
        make_split(LoadedLog(generate()), spec)


def test_what_the_data_cannot_give():
    log = generate()
    with pytest.raises(DataError, match="needs times"):
        make_split(LoadedLog(replace(log, time=None)), "leave-last-out")
    with pytest.raises(DataError, match="needs times"):
        make_split(LoadedLog(replace(log, time=None)), "temporal")
    with pytest.raises(DataError, match="positions"):
        make_split(LoadedLog(log, dated=False), "temporal")
    with pytest.raises(DataError, match="no train part"):
        make_split(LoadedLog(log), "given")


@settings(max_examples=20)
@any_of(st.permutations(range(30)))
def test_last_item_does_not_depend_on_the_order_of_lines(order):
    log = log_of([n % 3 for n in range(30)], range(30))
    assert set(leave_last_out(log.take(np.array(order))).test.item.tolist()) == {27, 28, 29}
