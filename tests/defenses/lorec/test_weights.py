"""The counters: what is flagged loses, the rest shares it, and too many flags change nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.defenses.lorec.config import LoRecConfig, Timing
from recaudit.defenses.lorec.weights import Compensation


@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_the_sum_of_the_counters_never_changes(seed: int, accounts: int, rounds: int) -> None:
    draw = np.random.default_rng(seed)
    own = Compensation(accounts)
    for _ in range(rounds):
        own.update(draw.random(accounts) ** draw.integers(1, 9))
    assert own.counters.sum() == pytest.approx(3 * accounts)
    assert own.done + own.refused == rounds
    assert own.weights().max() <= 1.0498  # sigmoid without end over sigmoid(3)


def test_an_example_by_hand() -> None:
    own = Compensation(5)
    assert own.update(np.array([0.9, 0.1, 0.1, 0.1, 0.1]))  # the mean is .26: one of five is flagged
    assert own.counters.tolist() == [2.0, 3.25, 3.25, 3.25, 3.25]
    first, *rest = own.weights().tolist()
    want = (1 + math.exp(-3)) / (1 + math.exp(-3.25))
    assert first == 1.0 and rest == pytest.approx([want] * 4)


def test_a_third_of_the_accounts_is_too_many() -> None:
    own = Compensation(6)
    assert not own.update(np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0]))
    assert (own.done, own.refused) == (0, 1) and (own.counters == 3).all()


def test_a_level_of_ones_own_decides_who_is_flagged() -> None:
    own = Compensation(4)
    assert own.update(np.array([0.2, 0.9, 0.9, 0.9]), np.array([0.1, 1.0, 1.0, 1.0]))
    assert own.counters.argmin() == 0


def test_three_flags_change_nothing_and_the_fourth_does() -> None:
    own = Compensation(1000)
    suspicion = np.zeros(1000)
    suspicion[7] = 1.0
    seen = []
    for _ in range(6):
        own.update(suspicion)
        seen.append(float(own.weights()[7]))
    assert seen[:2] == [1.0, 1.0]
    assert seen[2] == 1.0  # sigmoid(0) over sigmoid(3) is .525
    assert seen[3] == pytest.approx(0.282, abs=0.001) and seen[5] == pytest.approx(0.050, abs=0.001)


def test_the_published_timing_and_ours() -> None:
    published = Timing.of(LoRecConfig(schedule="published"), 300)
    last, when = 0, []
    for epoch in range(1, 61):
        if published.due(epoch, last):
            last = epoch
            when.append(epoch)
    assert when == [5, 10, 15, 20, 25, 30, 40, 50, 60] and published.start == 30
    assert published.due(7, 0) and not published.due(9, 7)  # after a refusal in epoch 5 and 6
    assert Timing.of(LoRecConfig(), 200) == Timing(60, 4, 8, 1)
    assert Timing.of(LoRecConfig(), 10) == Timing(15, 1, 2, 5)


@given(st.integers(1, 400))
def test_whoever_is_flagged_at_every_update_loses_weight_with_time_left(epochs: int) -> None:
    """Four flags lower a weight: in whole epochs a training of five would end before the fourth counted."""
    timing, own, last = Timing.of(LoRecConfig(), epochs), Compensation(100), 0
    low = 0
    for turn in range(1, epochs * timing.rounds + 1):
        low += turn >= timing.start and own.weights()[0] < 0.5
        if timing.due(turn, last):
            last = turn
            assert own.update(np.eye(1, 100)[0])
    assert low >= 0.6 * epochs * timing.rounds
