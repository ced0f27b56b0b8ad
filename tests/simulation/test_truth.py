"""What users like: fitted once, calibrated on what the fit had not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recaudit.datasets.errors import DataError
from recaudit.datasets.synthetic import generate
from recaudit.simulation.truth import Truth, calibrated, fit_truth


def test_log_odds_by_hand() -> None:
    truth = Truth(np.array([[1.0, 2.0], [0.0, 1.0]], np.float32), np.eye(2, dtype=np.float32), 3.0, -1.0)
    found = truth.logits(np.array([[0, 1], [1, -1]], np.int32))
    assert found.tolist() == [[2.0, 5.0], [2.0, -np.inf]]


def test_calibration_finds_planted_odds() -> None:
    draw = np.random.default_rng(0)
    products = draw.normal(0, 1, 20_000)
    liked = draw.random(20_000) < 1 / (1 + np.exp(1 - 2 * products))
    slope, intercept = calibrated(products[liked], products[~liked])
    assert [slope, intercept] == pytest.approx([2, -1], abs=0.1)


def test_users_like_their_own_more_than_others() -> None:
    log = generate(users=150, items=80, events=2500, seed=0, ratings=False)
    truth = fit_truth(log, 0)
    chances = 1 / (1 + np.exp(-truth.logits(np.tile(np.arange(80, dtype=np.int32), (150, 1)))))
    own = log.matrix().toarray() > 0
    assert chances[own].mean() > chances[~own].mean() + 0.2
    again = fit_truth(log, 0)
    assert (again.items == truth.items).all() and again.slope == truth.slope
    assert fit_truth(log, 1).slope != truth.slope


def test_too_little_to_fit() -> None:
    log = generate(users=150, items=80, events=2500, seed=0, ratings=False)
    with pytest.raises(DataError, match="99 events"):
        fit_truth(log.take(np.arange(99)), 0)
    one = np.zeros(len(log), np.int32)
    with pytest.raises(DataError, match="all pairs repeat"):
        fit_truth(replace(log, user=one, item=one), 0)
