from __future__ import annotations

import numpy as np
import pytest

from recaudit.datasets.log import InteractionLog
from recaudit.unlearn.request import Request
from recaudit.unlearn.verify.groups import Groups, Worst, grouped, worst

USERS, ITEMS = 12, 30


def log() -> InteractionLog:
    user, item = np.divmod(np.arange(USERS * ITEMS), ITEMS)
    ids = [np.array([f"{side}{n}" for n in range(count)]) for side, count in (("u", USERS), ("i", ITEMS))]
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *ids)


def pairs(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return log().user[rows].astype(np.int64), log().item[rows].astype(np.int64)


def test_requests_and_users_are_looked_at_apart() -> None:
    rows = np.flatnonzero(log().item < 6)
    first, second = (
        Request.of(log(), name, rows=rows[log().user[rows] == user]) for name, user in (("a", 0), ("b", 1))
    )
    third = Request.of(log(), "c", rows=rows[log().user[rows] > 1])
    found = grouped(log(), *pairs(rows), [first, second, third])
    assert found.names == ("request a", "request b", "request c", *(f"user u{n}" for n in range(2, USERS)))
    np.testing.assert_array_equal(found.sizes, [6, 6, 60, *[6] * 10])
    np.testing.assert_allclose(found.member.sum(axis=1).A1, 1)
    assert grouped(log(), *pairs(rows), [third]).names == tuple(f"user u{n}" for n in range(USERS))


def test_small_ones_and_single_ones_are_not() -> None:
    few = np.flatnonzero(log().item < 4)
    assert grouped(log(), *pairs(few), []).names == ()
    assert grouped(log(), *pairs(np.flatnonzero(log().user == 3)), []).names == ()


def groups(count: int = 30, size: int = 10) -> Groups:
    rows = np.arange(count * size)
    ids = np.array([f"u{n}" for n in range(count)])
    held = InteractionLog((rows // size).astype(np.int32), (rows % size).astype(np.int32), ids, ids[:size])
    return grouped(held, held.user.astype(np.int64), held.item.astype(np.int64), [])


def models(seed: int, count: int, level: float = 0.5) -> np.ndarray:
    shared = np.random.default_rng(99).normal(0, 0.1, 300)
    return level + shared + np.random.default_rng(seed).normal(0, 0.05, (count, 300))


def found(*models: np.ndarray) -> Worst:
    own = worst(groups(), *models)
    assert own is not None
    return own


def test_one_request_that_was_passed_over_is_named() -> None:
    own = models(1, 1)[0]
    own[40:50] = models(2, 1, 0.8)[0][40:50]
    one = found(own, models(3, 8), models(4, 4, 0.8))
    assert one.name == "user u4"
    assert one.value > max(one.retrains) + 0.2
    assert one.value == pytest.approx(np.mean(one.befores), abs=0.05)
    assert one.p < 0.001


def test_retrains_lie_among_retrains() -> None:
    """The largest of thirty by chance is exceeded no more often than it should be."""
    by_chance = np.array([
        found(models(1000 + seed, 1)[0], models(seed, 8), models(500 + seed, 4, 0.8)).p for seed in range(100)
    ])  # fmt: skip
    assert np.mean(by_chance <= 0.05) <= 0.08
    assert np.mean(by_chance <= 0.4) > 0.1  # and not never


def test_models_without_a_seed() -> None:
    same = np.repeat(models(1, 1), 4, axis=0)
    assert found(same[0], same, same + 0.2).p == 1
    own = same[0].copy()
    own[40:50] += 0.2
    one = found(own, same, same + 0.2)
    assert one.name == "user u4"
    assert one.p < 1e-9


def test_where_nothing_would_be_seen_nothing_is_looked_at() -> None:
    assert worst(groups(), models(1, 1)[0], models(3, 8), models(4, 4)) is None
    assert worst(grouped(log(), *pairs(np.arange(3)), []), np.zeros(3), np.zeros((3, 3)), np.ones((2, 3))) is None
