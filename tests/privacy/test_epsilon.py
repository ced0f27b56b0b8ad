from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from recaudit.audit.statistics import clopper_pearson
from recaudit.datasets.errors import InputError
from recaudit.privacy.epsilon import (
    at_best_threshold,
    at_fixed_thresholds,
    ceiling,
    from_rates,
    gaussian_from_rates,
    guesses,
    one_run,
    one_run_bound,
)

RUNS = 200
ENOUGH = int(binom.ppf(0.001, RUNS, 0.95))  # of runs in which a bound at 95 % must hold


@pytest.mark.parametrize(
    ("n", "perfect", "some"),
    [(50, 2.57, None), (100, 3.28, 0.0), (200, 3.98, 0.56), (500, 4.91, 1.18), (1000, 5.60, 1.50), (5000, 7.21, 1.94)],
)
def test_ceilings_of_the_design_note(n: int, perfect: float, some: float | None) -> None:
    assert from_rates(n, n, 0, n).epsilon == pytest.approx(perfect, abs=0.006)
    assert from_rates(n // 2, n, n // 2, n).ceiling == pytest.approx(perfect, abs=0.006)
    assert ceiling(n, n) == from_rates(n, n, 0, n).epsilon
    if some is not None:
        assert from_rates(n // 10, n, n // 100, n).epsilon == pytest.approx(some, abs=0.006)


def test_numbers_of_the_paper() -> None:
    assert one_run(1000, 100, 75, 1e-4) == pytest.approx(0.673, abs=1e-3)
    assert one_run(100_000, 1510, 1439, 1e-5) == pytest.approx(2.676, abs=1e-3)
    assert one_run(100, 100, 100) == pytest.approx(3.49, abs=0.006)
    assert one_run(1000, 1000, 1000) == pytest.approx(5.81, abs=0.006)


@pytest.mark.parametrize("right", [11, 17, 20])
def test_one_run_is_what_its_definition_says(right: int) -> None:
    low = clopper_pearson(np.array([right]), 20, 0.05)[0][0]
    assert one_run(50, 20, right) == pytest.approx(max(0.0, math.log(low / (1 - low))), abs=2e-6)
    delta, found = 1e-3, one_run(50, 20, right, 1e-3)

    def chance(epsilon: float) -> float:
        law = binom(20, 1 / (1 + math.exp(-epsilon)))
        worst = max(sum(law.pmf(k) for k in range(right - i, right)) / i for i in range(1, right + 1))
        return float(law.sf(right - 1) + 2 * 50 * delta * worst)

    assert chance(found + 1e-4) > 0.05
    assert found == 0 or chance(found) <= 0.05


def reported(seed: int, n: int, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Coins and their randomised response: true with probability e^eps / (1 + e^eps)."""
    rng = np.random.default_rng(seed)
    coins = rng.random(n) < 0.5
    truthful = rng.random(n) < 1 / (1 + math.exp(-epsilon))
    return np.where(truthful, coins, ~coins), coins


def bounds(said: np.ndarray, coins: np.ndarray) -> dict[str, float]:
    counts = int(said[coins].sum()), int(coins.sum()), int(said[~coins].sum()), int((~coins).sum())
    return {
        "rates": from_rates(*counts).epsilon,
        "threshold": at_best_threshold(said[coins].astype(float), said[~coins].astype(float)).epsilon,
        "fixed": at_fixed_thresholds(said[coins].astype(float), said[~coins].astype(float), (0.5, 1.0)).epsilon,
        "one run": one_run_bound(said.astype(float), coins, 0.0).epsilon,
    }


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 2.0])
def test_randomised_response_is_never_over_estimated(epsilon: float) -> None:
    found = [bounds(*reported(seed, 1000, epsilon)) for seed in range(RUNS)]
    for method in found[0]:
        values = np.array([own[method] for own in found])
        assert (values <= epsilon + 1e-9).sum() >= ENOUGH, method
        if epsilon == 2.0:
            assert (values > 0.5).all(), method


def test_a_gaussian_bound_is_wrong_where_the_mechanism_is_another() -> None:
    said, coins = reported(0, 1000, 2.0)
    counts = int(said[coins].sum()), int(coins.sum()), int(said[~coins].sum()), int((~coins).sum())
    assert gaussian_from_rates(*counts).epsilon > 2.0 > from_rates(*counts).epsilon


def test_what_was_never_trained_on_gives_nothing() -> None:
    zero = dict.fromkeys(("rates", "threshold", "fixed", "one run", "gaussian", "guesses picked"), 0)
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        scores, coins = rng.random(200), rng.random(200) < 0.5
        high = scores > 0.9
        counts = int(high[coins].sum()), int(coins.sum()), int(high[~coins].sum()), int((~coins).sum())
        zero["rates"] += from_rates(*counts).epsilon == 0
        zero["threshold"] += at_best_threshold(scores[coins], scores[~coins]).epsilon == 0
        zero["fixed"] += at_fixed_thresholds(scores[coins], scores[~coins], (0.5, 0.8, 0.95)).epsilon == 0
        zero["one run"] += one_run_bound(scores, coins).epsilon == 0
        zero["gaussian"] += gaussian_from_rates(*counts).epsilon == 0
        # the best number of guesses, seen from the answers and with no price paid for looking
        zero["guesses picked"] += all(one_run(200, r, guesses(scores, coins, r)) == 0 for r in range(2, 202, 2))
    assert zero.pop("guesses picked") < ENOUGH, "the test would not notice an invalid bound"
    assert min(zero.values()) >= ENOUGH, zero


@pytest.mark.parametrize("mu", [0.5, 1.5])
def test_a_gaussian_mechanism_is_never_over_estimated(mu: float) -> None:
    delta = 1e-5
    grid = np.linspace(0, 30, 30_001)
    profile = norm.cdf(-grid / mu + mu / 2) - np.exp(grid + norm.logcdf(-grid / mu - mu / 2))
    truth = float(grid[np.argmax(profile <= delta)])
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RUNS):
        hits, alarms = int(rng.binomial(500, norm.sf(mu / 2 - mu))), int(rng.binomial(500, norm.sf(mu / 2)))
        found.append(gaussian_from_rates(hits, 500, alarms, 500, delta))
    values = np.array([own.epsilon for own in found])
    assert (values <= truth).sum() >= ENOUGH and found[0].model_based
    assert np.median(values) > 0.4 * truth


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 60), st.data())
def test_bounds_grow_with_success_and_stay_below_their_ceiling(n: int, data: st.DataObject) -> None:
    hits, alarms = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    delta = data.draw(st.sampled_from([0.0, 1e-5, 0.01]))
    own = from_rates(hits, n, alarms, n, delta)
    assert 0 <= own.epsilon <= own.ceiling + 1e-9
    if hits < n:
        assert from_rates(hits + 1, n, alarms, n, delta).epsilon >= own.epsilon
    v = data.draw(st.integers(0, n - 1))
    assert one_run(2 * n, n, v, delta) <= one_run(2 * n, n, v + 1, delta) + 1e-6
    scores, coins = np.arange(2.0 * n), np.arange(2 * n) >= n
    best = one_run_bound(scores, coins, delta)
    assert best.epsilon == best.ceiling
    noisy = scores + np.random.default_rng(hits).normal(0, n, 2 * n)
    for some in (one_run_bound(noisy, coins, delta), at_fixed_thresholds(noisy[coins], noisy[~coins], (0, n), delta)):
        assert 0 <= some.epsilon <= some.ceiling + 1e-9
    assert guesses(scores, coins, 2 * (n // 2)) == 2 * (n // 2) and guesses(-scores, coins, 2) == 0


def test_what_was_tried_is_told() -> None:
    scores, coins = np.arange(100.0), np.arange(100) >= 50
    found = one_run_bound(scores, coins, 0.0, shares=(0.1, 1.0))
    assert [(row["guesses"], row["right"]) for row in found.details["tried"]] == [(10, 10), (100, 100)]
    assert found.details["tried"][1]["epsilon"] == pytest.approx(one_run(100, 100, 100, 0.0, 0.025))
    fixed = at_fixed_thresholds(scores[coins], scores[~coins], (10.0, 50.0))
    assert fixed.details["threshold"] == 50.0 and fixed.alpha == 0.05
    assert fixed.epsilon == fixed.ceiling == ceiling(50, 50, 0.0, 0.025)


def test_guesses_among_equal_scores_are_drawn() -> None:
    coins = np.arange(40) < 20
    right = [guesses(np.zeros(40), coins, 20, seed) for seed in range(100)]
    assert guesses(np.zeros(40), coins, 20, 3) == right[3]
    assert len(set(right)) > 2 and abs(np.mean(right) - 10) < 1.5  # sd of the mean is about .2


def test_what_cannot_be_is_refused() -> None:
    scores, coins = np.arange(4.0), np.array([True, False, True, False])
    for call, words in (
        (lambda: from_rates(5, 4, 0, 4), "5 of 4"),
        (lambda: from_rates(-1, 4, 0, 4), "-1 of 4"),
        (lambda: from_rates(0, 0, 0, 4), "0 of 0"),
        (lambda: from_rates(1, 4, 0, 4, delta=1.0), "delta"),
        (lambda: from_rates(1, 4, 0, 4, alpha=0.0), "alpha"),
        (lambda: gaussian_from_rates(1, 4, 0, 4, delta=0.0), "above 0"),
        (lambda: one_run(4, 5, 3), "cannot be"),
        (lambda: one_run_bound(scores[:3], coins), "one for each"),
        (lambda: one_run_bound(np.full(4, np.nan), coins), "NaN"),
        (lambda: one_run_bound(scores, np.ones(4, bool)), "nothing to tell"),
        (lambda: one_run_bound(scores, coins, shares=()), "shares"),
        (lambda: one_run_bound(scores, coins, shares=(1.5,)), "shares"),
        (lambda: one_run_bound(scores, coins.astype(int)), "give bool"),
        (lambda: one_run_bound(scores, coins, math.nan), "delta"),
        (lambda: guesses(scores, coins, 6), "even number"),
        (lambda: guesses(scores, coins, 3), "even number"),
        (lambda: at_fixed_thresholds(scores, scores, ()), "thresholds"),
        (lambda: at_fixed_thresholds(scores, scores, (math.nan,)), "thresholds"),
        (lambda: ceiling(0, 4), "0 of 0"),
        (lambda: at_best_threshold(scores[:1], scores), "2 members"),
    ):
        with pytest.raises(InputError, match=words):
            call()
