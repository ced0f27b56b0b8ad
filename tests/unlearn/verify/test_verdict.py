from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recaudit.datasets.log import InteractionLog
from recaudit.unlearn.verify.comparison import Measured, compared, jaccard
from recaudit.unlearn.verify.groups import Groups, grouped
from recaudit.unlearn.verify.residual import LEAST_POWER, SURE_POWER
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
        "served": np.empty(0), "forgotten_score": np.full(pairs, 0.4 + level / 5), "random_score": np.full(pairs, 0.4),
    }  # fmt: skip


def listed(lists: int, seed: int) -> NDArray[np.int32]:
    """Top lists of which the last items, as many, are any of three."""
    found = np.tile(np.arange(20, dtype=np.int32), (50, 1))
    own = 1000 + 20 * np.random.default_rng(seed).integers(0, 3, (50, 20)) + np.arange(20)
    return np.where(np.arange(20) < lists, own, found).astype(np.int32)


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


def test_lists_may_veto_but_not_accuse_where_they_hardly_have_power() -> None:
    """Of few retrains that agree by luck, one more lies apart: that was the one false accusation of 48."""

    def far(lists: int, befores: int) -> Verdict:
        model = answered(0.8, 77, PAIRS, 0) | {"touched": listed(lists, 77)}
        retrains = [answered(0.8, seed) | {"touched": listed(3 + seed % 3, seed)} for seed in range(8)]
        kept = [answered(0.95, seed) | {"touched": listed(befores, seed)} for seed in range(10, 14)]
        return verdict(model, retrains, kept, np.ones(300))

    weak, sure = far(8, 6), far(14, 14)
    own, other = (next(one for one in found.statistics if "lists" in one.name) for found in (weak, sure))
    assert LEAST_POWER <= own.power < SURE_POWER <= other.power
    assert own.beyond(0.3) > 0 and own.p < 0.05 / 3 and not own.accuses and other.accuses
    assert (weak.outcome, sure.outcome) == ("inconclusive", "not honoured")
    assert "but not the distance of the lists" in weak.reason


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
    assert not any(own.one_sided for own in found.statistics)


RETRAINS, BEFORES = [answered(0.8, seed) for seed in range(8)], [answered(0.95, seed) for seed in range(10, 14)]


def twenty_users() -> Groups:
    user, item = np.divmod(np.arange(PAIRS), 10)
    ids = np.array([f"u{n}" for n in range(20)])
    log = InteractionLog(user.astype(np.int32), item.astype(np.int32), ids, ids[:10])
    return grouped(log, user, item, [])


def test_half_kept_and_half_pushed_down_is_no_retrain() -> None:
    """The mean is a retrain's."""
    retrains, befores, (after, *_) = (
        [own | {"forgotten": own["forgotten"] + shift} for own in side]
        for side, shift in ((RETRAINS, 0.0), (BEFORES, 0.1), (RETRAINS, np.where(np.arange(PAIRS) % 2, 0.25, -0.25)))
    )
    found = verdict(after, retrains, befores, np.ones(300))
    assert abs(found.statistics[0].rho) < 0.2
    assert found.outcome == "not honoured"
    assert "KS" in found.reason


def jittered(level: float, seed: int) -> dict[str, Any]:
    own = answered(level, seed)
    own["forgotten"] = own["forgotten"] + np.random.default_rng(1000 + seed).normal(0, 0.03, PAIRS)
    return own


def test_a_request_that_was_passed_over_is_named() -> None:
    """One of twenty: the mean of all is a retrain's within the margin."""
    retrains, befores = (
        [jittered(level, seed) for seed in range(*seeds)] for level, seeds in ((0.8, (0, 8)), (0.95, (10, 14)))
    )
    after = jittered(0.8, 77)
    after["forgotten"][30:40] += 0.15
    found = verdict(after, retrains, befores, np.ones(300), groups=twenty_users())
    assert found.outcome == "not honoured"
    assert found.worst == "user u3"
    assert "user u3" in found.reason
    assert verdict(after, retrains, befores, np.ones(300)).outcome == "honoured"


def rows(own: dict[str, Any], served: float, likeness: float, moved: float) -> dict[str, Any]:
    return own | {"served": np.full(50, served), "alike": np.full(5, likeness), "moved": np.full(5, moved)}


CLEAN = [rows(own, 0.5 + seed / 500, seed / 100, 1.0) for seed, own in enumerate(RETRAINS)]
DIRTY = [rows(own, 0.95, 0.0, 1.0) for own in BEFORES]


@pytest.mark.parametrize(
    ("served", "likeness", "moved", "words"),
    [
        (0.9, 0.0, 1.0, "by the rows kept of them"), (0.5, 0.99, 0.5, "cosine"), (0.5, -0.99, 0.5, "cosine"),
        (0.5, 0.9, 1e-6, "5 rows of deleted users"),
    ],
)  # fmt: skip
def test_rows_of_deleted_users_accuse(served: float, likeness: float, moved: float, words: str) -> None:
    before = rows(BEFORES[0], 0.95, 1.0, 0.0)
    found = verdict(rows(answered(0.8, 77), served, likeness, moved), CLEAN, DIRTY, np.ones(300), checkpoint=before)
    assert found.outcome == "not honoured"
    assert words in found.reason
    clean = verdict(rows(answered(0.8, 77), 0.5, 0.02, 1.0), CLEAN, DIRTY, np.ones(300), checkpoint=before)
    assert clean.outcome == "honoured"


def test_a_hindrance_forbids_to_call_it_honoured() -> None:
    honoured, refused = judged(0.8), judged(0.95, lists=12)
    assert honoured.hindered("") is honoured
    assert (honoured.hindered("why").outcome, honoured.hindered("why").reason) == ("inconclusive", "why")
    assert refused.hindered("why").outcome == "not honoured"
    assert honoured.accused("because").outcome == "not honoured"


def test_published_values_refer_to_the_checkpoint() -> None:
    before = answered(0.95, 0) | {"forgotten_score": np.full(PAIRS, 0.9)}
    found = verdict(answered(0.8, 77), RETRAINS, BEFORES, np.ones(300), checkpoint=before)
    assert found.described["MI-BF"][0] == pytest.approx(0.9 / (0.4 + 0.8 / 5))


def test_names_are_distinct() -> None:
    before = rows(BEFORES[0], 0.95, 1.0, 0.0)
    found, worst = compared(CLEAN[0], CLEAN, DIRTY, np.ones(300), twenty_users(), before)
    assert all(isinstance(own, Measured) for own in found)
    assert len({own.name for own in found}) == len(found) == 7
    assert worst is not None
