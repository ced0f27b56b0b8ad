"""Generated logs: sizes are met, and what is planted can be found again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError
from recaudit.datasets.synthetic import generate, generate_with_truth


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(10, 40), st.floats(0, 1), st.integers(0, 5), st.floats(0, 1))
def test_sizes_are_exact_and_no_pair_repeats(users, items, fill, seed, follows):
    events = int(3 * users + fill * (0.8 * users * items - 3 * users))
    log = generate(users, items, events, seed, follows=follows)
    assert (log.n_users, log.n_items, len(log)) == (users, items, events)
    assert log.matrix().nnz == events and log.user_counts.min() >= 3
    assert (np.diff(log.time) >= 0).all()
    order = log.chronological()
    same = np.diff(log.user[order]) == 0
    assert (np.diff(log.time[order])[same] > 0).all()
    assert set(np.unique(log.value)) <= {1, 2, 3, 4, 5}


def test_same_seed_same_log():
    assert generate(seed=4).fingerprint == generate(seed=4).fingerprint != generate(seed=5).fingerprint
    assert generate(seed=4).items.equals(generate(seed=4).items)


def transitions(log):
    order = log.chronological()
    before, after = log.item[order][:-1], log.item[order][1:]
    same = np.diff(log.user[order]) == 0
    return before[same], after[same]


def test_habits_of_sequence_are_there_and_can_be_switched_off():
    for follows in (0.0, 0.5):
        log, truth = generate_with_truth(500, 400, 10_000, 1, follows=follows)
        before, after = transitions(log)
        share = (truth.successor[before] == after).mean()
        assert abs(share - follows) < 0.06
    assert len(set(truth.successor.tolist())) == 400


def test_popularity_is_skewed_as_planted():
    flat = np.sort(generate(500, 200, 8_000, 2, skew=0.0, follows=0.0).item_counts)
    steep = np.sort(generate(500, 200, 8_000, 2, skew=1.2, follows=0.0).item_counts)
    assert steep[-20:].sum() > 2 * flat[-20:].sum()
    log, truth = generate_with_truth(500, 200, 8_000, 2, follows=0.0)
    for genre in range(5):
        mine = truth.genre == genre
        assert np.corrcoef(truth.weight[mine], log.item_counts[mine])[0, 1] > 0.8


def group_difference(gap):
    log, truth = generate_with_truth(800, 100, 12_000, 3, group_gap=gap, follows=0.0)
    assert log.users["gender"].tolist() == ["F" if g == 0 else "M" for g in truth.group.tolist()]
    even = truth.genre[log.item] % 2 == 0
    return even[truth.group[log.user] == 0].mean() - even[truth.group[log.user] == 1].mean()


def test_groups_differ_as_planted():
    assert abs(group_difference(0.0)) < 0.08 < 0.2 < group_difference(1.5)


def test_tastes_show_in_events_and_ratings():
    log, truth = generate_with_truth(300, 300, 9_000, 4, follows=0.0)
    liked = truth.taste[log.user, truth.genre[log.item]]
    assert liked.mean() > 1.5 / 5
    assert np.corrcoef(liked, log.value)[0, 1] > 0.4


@pytest.mark.parametrize("sizes", [(10, 20, 20), (10, 20, 200), (0, 20, 0), (10, 5, 30)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(InputError):
        generate(*sizes)
