"""Evaluation ranks the right users against the right items."""

from dataclasses import dataclass

import numpy as np
import pytest

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.evaluate import evaluate, per_user


@dataclass
class Table:
    table: np.ndarray

    @property
    def n_users(self):
        return len(self.table)

    @property
    def n_items(self):
        return self.table.shape[1]

    def scores(self, users, history):
        return self.table[users]


def log_of(pairs, n_users=3, n_items=4):
    user, item = np.array(pairs, np.int32).reshape(-1, 2).T
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    return InteractionLog(user, item, ids(n_users), ids(n_items))


MODEL = Table(np.float32([[4, 3, 2, 1], [1, 2, 3, 4], [4, 3, 2, 1]]))


def test_means_over_the_users_with_held_out_items():
    history, held_out = log_of([(0, 0), (1, 0)]), log_of([(0, 1), (2, 3), (2, 0)])
    found = per_user(MODEL, held_out, history, (1, 2))
    assert found.users.tolist() == [0, 2]
    assert found.values["recall@1"].tolist() == [1, 0.5]
    means = evaluate(MODEL, held_out, history, (1, 2))
    assert means["recall@1"] == 0.75 and means["precision@2"] == 0.5 and means["mrr@1"] == 1
    assert means["coverage@1"] == 2 / 4 and means["coverage@2"] == 3 / 4
    assert set(means) == {
        f"{name}@{k}" for name in ("recall", "ndcg", "hr", "mrr", "precision", "coverage") for k in (1, 2)
    }


def test_consumed_items_neither_listed_nor_wanted():
    history, held_out = log_of([(0, 0), (1, 3)]), log_of([(0, 0), (0, 1), (1, 3)])
    found = per_user(MODEL, held_out, history, (1,))
    assert found.users.tolist() == [0] and found.values["recall@1"].tolist() == [1]
    unmasked = per_user(MODEL, held_out, history, (1,), mask=log_of([]))
    assert unmasked.users.tolist() == [0, 1] and unmasked.values["hr@1"].tolist() == [1, 1]


def test_injected_users_do_not_count():
    history, held_out = log_of([]), log_of([(0, 1), (1, 3), (2, 0)])
    assert per_user(MODEL, held_out, history, (1,), n_users=2).users.tolist() == [0, 1]
    fewer = log_of([(0, 1), (1, 3)], n_users=2)
    assert per_user(MODEL, fewer, history, (1,)).users.tolist() == [0, 1]


def test_cut_offs_beyond_the_catalogue_are_fine():
    assert evaluate(MODEL, log_of([(0, 3)]), log_of([]), (10,))["recall@10"] == 1


def test_nothing_to_measure_is_an_error():
    with pytest.raises(InputError, match="held-out"):
        evaluate(MODEL, log_of([(0, 0)]), log_of([(0, 0)]))
    with pytest.raises(InputError, match="items"):
        evaluate(MODEL, log_of([(0, 0)], n_items=5), log_of([]))
    with pytest.raises(InputError, match="cut-off"):
        evaluate(MODEL, log_of([(0, 0)]), log_of([]), ())
