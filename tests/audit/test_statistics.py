"""Intervals hold what they promise; small samples, equal values and resampled users against plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binom

from recaudit.audit.statistics import (
    RESAMPLES,
    clopper_pearson,
    cluster_means,
    interval,
    mde,
    needed_units,
    normal_interval,
    paired_standard_error,
    resampling,
    student,
    studentised_reach,
    unseen_share,
)

NUMBERS = st.lists(st.integers(-1000, 1000).map(lambda n: n / 64), min_size=2, max_size=12)
LEVELS = st.sampled_from([0.9, 0.95, 0.99, 0.997])


def names(values: list[float]) -> list[str]:
    return [f"item{n}" for n in range(len(values))]


def covered(samples: np.ndarray, truth: float, confidence: float) -> tuple[float, float]:
    """Share of intervals that hold the truth, of `interval`'s method and of Student's t alone."""
    count = samples.shape[1]
    centre, spread = samples.mean(1), samples.std(1, ddof=1)
    reach = student(count - 1, confidence)
    error = spread / math.sqrt(count)
    low, high = studentised_reach(samples, spread, confidence, resampling(count, 0)[:1999])
    used = (centre - np.maximum(low, reach) * error <= truth) & (truth <= centre + np.maximum(high, reach) * error)
    return float(used.mean()), float((np.abs(centre - truth) <= reach * error).mean())


@pytest.mark.parametrize(("count", "confidence"), [(5, 0.95), (5, 0.99), (10, 0.95)])
def test_coverage_is_nominal_for_normal_and_nearer_than_students_for_skewed(count: int, confidence: float) -> None:
    generator = np.random.default_rng(1)
    used, plain = covered(generator.normal(2.0, 1.0, (1000, count)), 2.0, confidence)
    assert used >= confidence - 0.01
    used, plain = covered(generator.lognormal(0.0, 1.0, (1000, count)), math.exp(0.5), confidence)
    assert plain + 0.02 < used < confidence + 0.01


@pytest.mark.parametrize("count", [5, 8, 15, 30])
@pytest.mark.parametrize("confidence", [0.95, 0.99, 0.997])
def test_coverage_over_sizes(count: int, confidence: float) -> None:
    generator = np.random.default_rng([2, count])
    used, _ = covered(generator.normal(0.0, 1.0, (3000, count)), 0.0, confidence)
    assert confidence - 0.008 <= used
    used, plain = covered(generator.lognormal(0.0, 1.0, (3000, count)), math.exp(0.5), confidence)
    assert plain < used and used >= confidence - 0.09


def test_vectorised_reach_is_the_interval_of_each_sample() -> None:
    samples = np.sort(np.random.default_rng(3).lognormal(size=(4, 7)), axis=1)
    low, high = studentised_reach(samples, samples.std(1, ddof=1), 0.99, resampling(7, 11))
    reach = student(6, 0.99)
    for row, below, above in zip(samples, low, high, strict=True):
        error = row.std(ddof=1) / math.sqrt(7)
        expected = row.mean() - max(below, reach) * error, row.mean() + max(above, reach) * error
        assert interval(row, names(list(row)), 0.99, seed=11) == pytest.approx(expected, rel=1e-12)


def test_resampled_ratio_by_its_plain_definition() -> None:
    sample = np.array([0.0, 0.1, 0.5, 2.0])
    draws = resampling(4, 5)[:500]
    ratios = []
    for weights in draws:
        drawn = np.repeat(sample, weights.astype(int))
        spread = max(drawn.std(ddof=1), 0.2 * sample.std(ddof=1))
        ratios.append((drawn.mean() - sample.mean()) / (spread / 2))
    low, high = studentised_reach(sample[None], np.array([sample.std(ddof=1)]), 0.9, draws)
    assert (high[0], low[0]) == pytest.approx((-np.quantile(ratios, 0.05), np.quantile(ratios, 0.95)), rel=1e-9)
    assert resampling(4, 5).shape == (RESAMPLES, 4) and (resampling(4, 5).sum(1) == 4).all()


@settings(max_examples=40, deadline=None)
@given(NUMBERS, LEVELS)
def test_interval_holds_students_around_the_mean(values: list[float], confidence: float) -> None:
    found = interval(values, names(values), confidence)
    assert found is not None
    mean, reach = np.mean(values), student(len(values) - 1, confidence) * stats.sem(values)
    assert found[0] <= mean - reach + 1e-9 and mean + reach - 1e-9 <= found[1]
    wider = interval(values, names(values), 0.999)
    assert wider is not None and wider[0] <= found[0] + 1e-9 and found[1] - 1e-9 <= wider[1]


@settings(max_examples=40, deadline=None)
@given(NUMBERS, st.integers(-50, 50), st.sampled_from([0.25, 1.0, 8.0]), st.randoms(use_true_random=False))
def test_interval_moves_scales_and_mirrors_with_the_values(values: list[float], by: int, scale: float, order) -> None:  # type: ignore[no-untyped-def]
    found = interval(values, names(values), 0.95)
    moved = interval([scale * v + by for v in values], names(values), 0.95)
    assert found is not None and moved is not None
    assert moved == pytest.approx((scale * found[0] + by, scale * found[1] + by), abs=1e-8)
    shuffled = list(zip(values, names(values), strict=True))
    order.shuffle(shuffled)
    again = interval([v for v, _ in shuffled], [f"other{n}" for _, n in shuffled], 0.95)
    assert again == found, "neither order nor names change a bit"


def test_units_of_one_cluster_count_once() -> None:
    values, clusters = [0.1, 0.3, 0.2, 0.6], ["a", "a", "b", "c"]
    assert cluster_means(values, clusters).tolist() == [0.2, 0.2, 0.6]
    many = interval(values * 50, clusters * 50, 0.95)
    assert many == interval(values, clusters, 0.95) == interval([0.2, 0.2, 0.6], ["x", "y", "z"], 0.95)


def test_same_seed_same_bits_other_seed_other_resamples() -> None:
    values = [0.0, 0.0, 0.1, 0.4, 0.05, 0.9]
    resampling.cache_clear()
    first = interval(values, names(values), 0.99, seed=1)
    resampling.cache_clear()
    assert interval(values, names(values), 0.99, seed=1) == first != interval(values, names(values), 0.99, seed=2)


def test_equal_values_are_no_certainty() -> None:
    low, high = interval([0.0] * 5, names([0.0] * 5), 0.99, resolution=0.01) or (0.0, 0.0)
    assert (low, high) == pytest.approx((-4.6041 * 0.01 / math.sqrt(5), 4.6041 * 0.01 / math.sqrt(5)), rel=1e-4)
    # one user more in one unit must not make the interval narrower
    more = interval([0.0] * 4 + [0.001], names([0.0] * 5), 0.99, resolution=0.01)
    assert more is not None and more[1] - more[0] >= high - low - 1e-12
    assert interval([0.3] * 5, names([0.0] * 5), 0.99) == (0.3, 0.3)
    assert mde([0.0] * 5, names([0.0] * 5), resolution=0.01) == pytest.approx(2.8 * 0.01 / math.sqrt(5))


def test_one_cluster_has_no_interval() -> None:
    assert interval([1.0, 2.0], ["a", "a"], 0.95) is None and mde([1.0, 2.0], ["a", "a"]) is None
    with pytest.raises(ValueError, match="one cluster per value"):
        interval([1.0], ["a", "b"], 0.95)


def test_rule_of_three() -> None:
    assert unseen_share(5, 0.95) == pytest.approx(1 - 0.05**0.2)
    assert unseen_share(300, 0.95) == pytest.approx(3 / 300, rel=0.01)


def test_detectable_effect_counts_clusters() -> None:
    values = [0.1, 0.2, 0.4, 0.3]
    assert mde(values, names(values)) == pytest.approx(2.8 * np.std(values, ddof=1) / 2)
    assert mde(values * 9, names(values) * 9) == pytest.approx(mde(values, names(values)))


def test_detectable_effect_is_detected_four_times_in_five() -> None:
    generator = np.random.default_rng(4)
    count, effect = 200, 2.8 / math.sqrt(200)
    means = generator.normal(effect, 1.0, (4000, count)).mean(1)
    assert (means > 1.96 / math.sqrt(count)).mean() == pytest.approx(0.8, abs=0.02)


def test_needed_units_settle_four_times_in_five() -> None:
    needed = needed_units(1.0, 0.5, 0.95)
    assert needed is not None and 25 < needed < 45
    generator = np.random.default_rng(5)
    drawn = generator.normal(0.5, 1.0, (4000, needed))
    low = drawn.mean(1) - student(needed - 1, 0.95) * drawn.std(1, ddof=1) / math.sqrt(needed)
    assert (low > 0).mean() == pytest.approx(0.8, abs=0.03)
    fewer = (student(needed - 2, 0.95) + 0.8416) / math.sqrt(needed - 1)
    assert fewer > 0.5, "one less would not do"
    assert needed_units(1.0, 0.0, 0.95) is None and needed_units(1.0, 1e-9, 0.95) is None
    assert needed_units(0.0, 1.0, 0.95) == 2


def test_normal_interval_and_paired_error() -> None:
    assert normal_interval(1.0, 0.5, 0.95) == pytest.approx((1 - 0.979982, 1 + 0.979982), abs=1e-5)
    a, b = np.random.default_rng(6).random((2, 50))
    assert paired_standard_error(a, b) == pytest.approx(stats.sem(a - b))
    assert paired_standard_error(a, a) == 0.0 and paired_standard_error(a[:1], b[:1]) is None


def test_clopper_pearson_covers() -> None:
    lower, upper = clopper_pearson(np.array([[0, 3, 20]]), 20, 0.025)
    assert lower[0, 0] == 0 and upper[0, 2] == 1
    assert upper[0, 0] == pytest.approx(1 - 0.025 ** (1 / 20))
    assert (lower[0, 1], upper[0, 1]) == (pytest.approx(0.0321, abs=1e-4), pytest.approx(0.3789, abs=1e-4))
    # the definition: at the bound a count as extreme has chance alpha
    assert binom.sf(2, 20, lower[0, 1]) == pytest.approx(0.025) and binom.cdf(3, 20, upper[0, 1]) == pytest.approx(
        0.025
    )
    tails = clopper_pearson(np.arange(31), 30, 1e-9)
    assert (tails[0] <= np.arange(31) / 30).all() and (tails[1] >= np.arange(31) / 30).all()
    for chance in (0.05, 0.4):
        misses = binom.pmf(np.arange(31), 30, chance)
        low, high = clopper_pearson(np.arange(31), 30, 0.05)
        assert misses[low > chance].sum() <= 0.05 and misses[high < chance].sum() <= 0.05
    with pytest.raises(ValueError, match="counts"):
        clopper_pearson(np.array([5]), 4, 0.1)
    with pytest.raises(ValueError, match="alpha"):
        clopper_pearson(np.array([1]), 4, 0.0)
