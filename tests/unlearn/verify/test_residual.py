from __future__ import annotations

import math

import numpy as np
import pytest

from recaudit.unlearn.verify.residual import needed_power, residual


def test_by_hand() -> None:
    found = residual("x", 2.0, [1.0, 2.0, 3.0], [10.0, 12.0])
    assert (found.reference, found.before, found.rho) == (2.0, 11.0, 0.0)
    assert found.power == pytest.approx(9.0)
    half = 4.302653 * math.sqrt(4 / 3)
    assert found.interval == pytest.approx((2 - half, 2 + half), rel=1e-5)
    half = 2.919986 * math.sqrt(1 + 1 / 3) / 9
    assert found.rho_interval == pytest.approx((-half, half), rel=1e-5)
    assert found.p == pytest.approx(1.0)


def test_nothing_done_and_too_much_done() -> None:
    assert residual("x", 11.0, [1.0, 2.0, 3.0], [10.0, 12.0]).rho == pytest.approx(1.0)
    assert residual("x", -7.0, [1.0, 2.0, 3.0], [10.0, 12.0]).rho == pytest.approx(-1.0)


def test_without_a_gap_there_is_no_power() -> None:
    found = residual("x", 2.0, [1.0, 2.0, 3.0], [1.5, 2.7])
    assert not found.kept
    assert found.power == 0
    assert math.isnan(found.rho)
    assert found.rho_interval == (-math.inf, math.inf)


def test_models_without_a_seed_are_exact() -> None:
    same = residual("x", 0.5, [0.5, 0.5], [0.9, 0.9])
    assert (same.rho, same.p, same.power, same.rho_interval) == (0.0, 1.0, math.inf, (0.0, 0.0))
    other = residual("x", 0.7, [0.5, 0.5], [0.9, 0.9])
    assert other.p == 0.0
    assert other.rho_interval == pytest.approx((0.5, 0.5))


def test_one_more_retrain_lies_in_the_intervals_as_often_as_promised() -> None:
    rng = np.random.default_rng(0)
    inside, equivalent, runs = 0, 0, 2_000
    for _ in range(runs):
        *retrains, own = rng.normal(size=9)
        found = residual("x", own, retrains, 20 + rng.normal(size=4))
        inside += found.interval[0] <= own <= found.interval[1]
        low, high = found.rho_interval
        equivalent += low <= 0 <= high
    assert inside / runs == pytest.approx(0.95, abs=0.015)
    assert equivalent / runs == pytest.approx(0.90, abs=0.02)


def test_needed_power_of_the_notes() -> None:
    assert needed_power(8, 0.3) == pytest.approx(14, abs=0.5)
    assert needed_power(8, 0.2) == pytest.approx(20, abs=0.6)


def test_of_a_distance_only_too_much_speaks_against_a_model() -> None:
    near = residual("d", 0.1, [0.5, 0.52, 0.54], [0.8, 0.82], one_sided=True)
    assert near.p > 0.9
    assert near.beyond(0.3) < 0
    assert residual("d", 0.1, [0.5, 0.52, 0.54], [0.8, 0.82]).beyond(0.3) > 0
    far = residual("d", 0.8, [0.5, 0.52, 0.54], [0.8, 0.82], one_sided=True)
    assert far.p < 0.01
    assert far.beyond(0.3) > 0
