from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recaudit.unlearn.verify.comparison import jaccard
from recaudit.unlearn.verify.verdict import Verdict, verdict

PAIRS = 200


def answered(level: float, seed: int, pairs: int = PAIRS, lists: int = 0, noise: float = 0.005) -> dict[str, Any]:
    """Percentiles about a level, the same pairs in every model; `lists` items of the top lists are the model's own."""
    shared, own = np.random.default_rng(99), np.random.default_rng(seed)
    spread = shared.normal(0, 0.1, pairs)
    top = np.tile(np.arange(20, dtype=np.int32), (50, 1))
    top[:, :lists] += 1000 + 20 * own.integers(0, 3, (50, lists)).astype(np.int32)
    return {
        "forgotten": level + own.normal(0, noise) + spread,
        "controls": 0.8 + own.normal(0, noise) + shared.normal(0, 0.1, 300),
        "touched": top, "neighbours": top[:0],
        "forgotten_score": np.full(pairs, 0.4 + level / 5), "random_score": np.full(pairs, 0.4),
    }  # fmt: skip


def judged(level: float, pairs: int = PAIRS, lists: int = 3, **options: Any) -> Verdict:
    retrains = [answered(0.8, seed, pairs, 3) for seed in range(8)]
    befores = [answered(0.95, seed, pairs, 12) for seed in range(10, 14)]
    return verdict(answered(level, 77, pairs, lists), retrains, befores, np.ones(300), **options)


def test_a_retrain_is_honoured() -> None:
    found = judged(0.8)
    assert found.outcome == "honoured"
    assert not found.over
    assert found.needed is None


def test_nothing_done_is_not() -> None:
    found = judged(0.95, lists=12)
    assert found.outcome == "not honoured"
    assert "part of the trace is left" in found.reason


def test_too_much_is_not_either() -> None:
    found = judged(0.6)
    assert found.outcome == "not honoured"
    assert found.over
    assert found.statistics[0].rho < -1


def test_the_margin_decides_between() -> None:
    assert judged(0.825).outcome == "honoured"
    assert judged(0.825, margin=0.05).outcome == "not honoured"


def test_other_statistics_can_accuse() -> None:
    found = judged(0.8, lists=12)
    assert found.outcome == "not honoured"
    assert "lists of the touched users" in found.reason


def test_few_pairs_are_never_honoured() -> None:
    found = judged(0.8, pairs=20)
    assert found.outcome == "inconclusive"
    assert found.needed is not None
    assert found.needed >= 100


def test_without_power_there_is_no_answer() -> None:
    same = [answered(0.8, seed, PAIRS, 3, noise=0.1) for seed in range(12)]
    found = verdict(answered(0.8, 50, PAIRS, 3, noise=0.1), same[:8], same[8:], np.ones(300))
    assert found.outcome == "inconclusive"
    assert "cannot be told apart" in found.reason


def test_published_values_stand_beside_those_of_retrains() -> None:
    found = judged(0.8)
    value, mean, low, high = found.described["MI-NG"]
    assert value == pytest.approx(mean) == pytest.approx(low) == pytest.approx(high)
    assert mean < 1  # a retrain fails "better above 1"
    assert set(found.described) == {"TPR at 1 % FPR", "Kolmogorov-Smirnov distance", "MI-BF", "MI-NG"}


def test_jaccard_by_hand() -> None:
    first = np.array([[1, 2, 3], [4, -1, -1], [-1, -1, -1]], np.int32)
    second = np.array([[3, 1, 9], [-1, -1, -1], [-1, -1, -1]], np.int32)
    np.testing.assert_allclose(jaccard(first, second), [2 / 4, 0, 1])


def test_two_retrains_give_no_distance() -> None:
    retrains, befores = [answered(0.8, seed, lists=3) for seed in range(2)], [answered(0.95, 9, lists=12)] * 2
    found = verdict(answered(0.8, 77, lists=12), retrains, befores, np.ones(300))
    assert not any(own.distance for own in found.statistics)
