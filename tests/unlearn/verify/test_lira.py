from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from recaudit.datasets.errors import InputError
from recaudit.unlearn.verify.lira import lira


def normals(seed: int, count: int, pairs: int, apart: float, common: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of pairs with places, and from 16 models on widths, of their own; a model shifts all pairs by `common`."""
    rng = np.random.default_rng(seed)
    place, width = rng.normal(0, 3, pairs), rng.uniform(0.5, 2, pairs) if count >= 16 else np.ones(pairs)
    noise = rng.standard_normal((2, count, pairs)) + common * rng.standard_normal((2, count, 1))
    return place + width * (noise[0] + apart), place + width * noise[1]


@pytest.mark.parametrize(("apart", "count"), [(1.0, 64), (2.0, 64), (2.0, 12)])
def test_auc_of_known_normals(apart: float, count: int) -> None:
    found = lira(*normals(0, count, 400, apart))
    assert found.auc == pytest.approx(norm.cdf(apart / 2**0.5), abs=0.02)
    assert found.interval[0] <= found.auc <= found.interval[1]
    assert found.pooled == (count < 16)
    assert found.in_ratio.shape == found.out_ratio.shape == (count, 400)
    # at a rate of false alarms of 1 %, the Neyman-Pearson test finds so many
    assert found.tpr == pytest.approx(norm.sf(norm.isf(0.01) - apart), abs=0.05)
    assert found.tpr_interval[0] <= found.tpr <= found.tpr_interval[1]
    lower = lira(*normals(0, count, 400, -apart))  # over-forgotten pairs are found as well
    assert lower.auc == pytest.approx(found.auc, abs=0.02)


def test_ratios_by_hand() -> None:
    inside, outside = np.array([[9.0], [1.0], [3.0]]), np.array([[9.0], [0.0], [4.0]])
    found = lira(inside, outside, pooled=False)
    # victims 0 are judged by {1, 3}: mean 2, variance 2, and {0, 4}: mean 2, variance 8
    wanted = norm.logpdf(9, 2, 2**0.5) - norm.logpdf(9, 2, 8**0.5)
    assert found.in_ratio[0, 0] == pytest.approx(wanted)
    assert found.out_ratio[0, 0] == pytest.approx(wanted)
    assert found.by_victim[0] == 0.5


@pytest.mark.parametrize("common", [0.0, 1.0])
@pytest.mark.parametrize("count", [4, 8, 20])
def test_the_null_interval_holds_one_half(count: int, common: float) -> None:
    found = [lira(*normals(seed, count, 60, 0.0, common)) for seed in range(60)]
    held = sum(own.interval[0] <= 0.5 <= own.interval[1] for own in found)
    assert held >= 52  # 57 of 60 are expected
    assert np.mean([own.auc for own in found]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([own.tpr for own in found]) == pytest.approx(0.01, abs=0.01)


def test_models_without_a_seed_are_told_or_not() -> None:
    place = np.random.default_rng(0).normal(size=50)
    same = lira(np.tile(place, (4, 1)), np.tile(place, (4, 1)))
    assert (same.auc, same.interval) == (0.5, (0.5, 0.5))
    apart = lira(np.tile(place, (4, 1)) + 1, np.tile(place, (4, 1)))
    assert (apart.auc, apart.tpr) == (1.0, 1.0)


def test_wrong_scores_are_named() -> None:
    good = np.zeros((4, 5))
    for first, second in ((good[:2], good[:2]), (good, good[:3]), (good[:, :0], good[:, :0]), (good[0], good[0])):
        with pytest.raises(InputError, match="shadows x pairs"):
            lira(first, second)
    with pytest.raises(InputError, match="not finite"):
        lira(good, np.full((4, 5), np.nan))
