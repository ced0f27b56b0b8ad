"""Mean scores of watched items by the plain definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recaudit.audit.standing import SAMPLE, standing
from recaudit.datasets.log import Float32, InteractionLog


class Fixed:
    """A model that is a table."""

    def __init__(self, table: Float32) -> None:
        self.table = table
        self.n_users, self.n_items = table.shape

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        return self.table[users]


def log_of(user: list[int], item: list[int], n_users: int, n_items: int) -> InteractionLog:
    names = [np.arange(count).astype(str) for count in (n_users, n_items)]
    return InteractionLog(np.array(user, np.int32), np.array(item, np.int32), *names)


def test_by_hand_over_users_who_lack_the_item() -> None:
    log = log_of([0, 1, 2], [1, 0, 0], 4, 3)  # user 3 has no event and counts nowhere
    table = np.array([[3, 0, 0], [9, 1, 2], [5, 4, 9], [7, 7, 7]], np.float32)
    found = standing(Fixed(table), log, (0, 1))
    assert found["target/0/score"] == 3.0  # users 1 and 2 have item 0
    assert found["target/0/standard_score"] == pytest.approx((3 - 1) / table[0].std())
    assert found["target/1/score"] == pytest.approx((1 + 4) / 2)
    expected = np.mean([(1 - 4) / table[1].std(), (4 - 6) / table[2].std()])
    assert found["target/1/standard_score"] == pytest.approx(expected)


def test_nobody_lacks_it_or_all_scores_are_equal() -> None:
    log = log_of([0, 1], [1, 1], 2, 3)
    assert standing(Fixed(np.ones((2, 3), np.float32)), log, (1,)) == {}
    flat = standing(Fixed(np.ones((2, 3), np.float32)), log, (0,))
    assert flat == {"target/0/score": 1.0, "target/0/standard_score": None}
    assert standing(Fixed(np.ones((2, 3), np.float32)), log, ()) == {}


def test_injected_users_are_not_read_and_the_sample_is_the_same_for_every_model() -> None:
    many = SAMPLE + 300
    log = log_of(list(range(many)), [0] * many, many, 3)
    rng = np.random.default_rng(0)
    table = rng.random((many, 3)).astype(np.float32)
    more = np.concatenate([table, np.full((5, 3), 1e6, np.float32)])
    assert standing(Fixed(table), log, (1,)) == standing(Fixed(more), log, (1,))
