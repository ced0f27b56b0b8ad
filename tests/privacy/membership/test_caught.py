"""Thresholds with ties, what rates are worth, and where none is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from recaudit.privacy.membership.caught import Caught, caught_above, level, passing, roc
from recaudit.privacy.membership.findings import caught_details
from recaudit.privacy.membership.game import Game, play
from recaudit.privacy.membership.material import Material

SOME = Caught(0.001, 9, 82, 0, 78, 0.03, 0.01, 40, 1200, np.zeros(4))


def game_of(caught: tuple[Caught, ...]) -> Game:
    return Game(np.zeros((4, 40)), 0.5, 0.1, np.zeros(4), caught, 40)


def served(seed: int, models: int, candidates: int) -> Material:
    """Label-only signals: 4 % of the others stand in the list, half of the members do, all at the same place."""
    rng = np.random.default_rng(seed)
    included = rng.random((models, candidates)) < 0.5
    shown = rng.random((models, candidates)) < np.where(included, 0.5, 0.04)
    signal = np.where(shown, 0.0, -np.log2(21))
    cell = np.zeros(candidates, np.int64)
    return Material(signal, included, signal, cell, cell)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=300), st.floats(0.001, 1))
def test_a_level_lets_just_its_share_through_whatever_the_ties(values: list[int], rate: float) -> None:
    scores = np.array(values, np.float64)
    ((threshold, share),) = level([scores], (rate,))
    assert passing(scores, threshold, share).mean() == pytest.approx(rate, abs=1e-6)


def test_ties_on_the_threshold_hide_no_leak() -> None:
    stuff, users = served(0, 6, 2000), np.arange(2000)
    first = play(stuff, "plain", users).caught[0]
    # a quarter of what stands in the list may pass
    assert first.tpr == pytest.approx(0.125, abs=0.02) and first.fpr == pytest.approx(0.01, abs=0.002)
    curve = dict(roc(stuff.signal, stuff.included, np.ones(2000, bool)))
    assert min(curve.values()) > 0.01 and curve[1.0] == 1
    levels = np.stack(
        [level([np.delete(stuff.signal, own, 0)[~np.delete(stuff.included, own, 0)]]) for own in range(6)]
    )
    other = caught_above(stuff.signal, levels, stuff.included, users, 5000)[0]
    assert other.tpr == pytest.approx(first.tpr, abs=0.01) and other.fpr == pytest.approx(first.fpr, abs=0.002)


def test_intervals_hold_what_varies_with_the_candidates() -> None:
    """Few stand out, for every victim: as many trials as victims times candidates would be too sure of their share."""
    rates, bounds, sure = [], [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gain = np.where(rng.random(300) < 0.15, 4.0, 0.2)
        included = rng.random((8, 300)) < 0.5
        signal = rng.standard_normal((8, 300)) + included * gain
        cell = np.zeros(300, np.int64)
        first = play(Material(signal, included, signal, cell, cell), "plain", np.arange(300)).caught[0]
        rates.append(first.tpr)
        bounds.append(first.bounds()["tpr"])
        sure.append(replace(first, error=1e-9).bounds()["tpr"])
    mean = np.mean(rates)
    assert np.mean([low <= mean <= high for low, high in bounds]) >= 0.95 - 2 * (0.95 * 0.05 / 40) ** 0.5
    assert np.mean([low <= mean <= high for low, high in sure]) < 0.85


def test_trials_by_hand() -> None:
    own = replace(SOME, hits=41, error=0.1)  # a half, +- .1: as by 25 fair coins
    assert own.trials()["tpr"] == pytest.approx(25) and own.trials()["fpr"] == 40  # no alarm: distinct candidates
    low, high = own.bounds()["tpr"]
    assert low < 0.5 - 1.8 * 0.1 and high > 0.5 + 1.8 * 0.1
    assert own.bounds()["fpr"] == (0.0, pytest.approx(1 - 0.025 ** (1 / 40)))
    assert replace(own, error=1e-9).trials()["tpr"] == 82 and replace(own, error=10.0).trials()["tpr"] == 1


def test_no_alarm_is_no_perfect_precision() -> None:
    (rate,) = caught_details(game_of((SOME,)))["rates"]
    assert rate["precision"] == {"0.01": None, "0.1": None}
    assert all(0 < value < 0.6 for value in rate["precision_at_least"].values())
    (rate,) = caught_details(game_of((replace(SOME, alarms=2),)))["rates"]
    assert 0 < rate["precision_at_least"]["0.1"] < rate["precision"]["0.1"] < 1


def test_no_rate_is_told_that_too_few_others_set() -> None:
    rng = np.random.default_rng(0)
    included = rng.random((6, 235)) < 0.5
    signal = rng.standard_normal((6, 235)) + 1.5 * included
    cell = np.zeros(235, np.int64)
    found = play(Material(signal, included, signal, cell, cell), "plain", np.arange(235))
    first, second = caught_details(found)["rates"]
    assert first["tpr"] == pytest.approx(norm.sf(norm.isf(0.01) - 1.5), abs=0.1) and "missing" not in first
    assert second["tpr"] is None is second["fpr"] and "1,000 non-members" in second["missing"]
    assert "precision" not in second
    curve = roc(found.scores, included, np.ones(235, bool))
    assert curve[0][0] == 1 / (~included).sum(axis=1).min() and curve[-1] == (1.0, 1.0)
