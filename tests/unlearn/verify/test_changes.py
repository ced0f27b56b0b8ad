from __future__ import annotations

import numpy as np
import torch

from recaudit.unlearn.verify.changes import changes, left_rows, traces

USERS, ITEMS = np.array([1, 2]), np.array([0])
BEFORE = {"user": torch.ones(4, 2), "item": torch.ones(3, 2), "bias": torch.zeros(2)}


def test_rows_are_counted_and_named() -> None:
    after = {name: tensor.clone() for name, tensor in BEFORE.items()}
    after["user"][1] += 1
    after["user"][3] += 1
    user, item, bias = changes(BEFORE, after, USERS, ITEMS)
    assert (user.rows, user.of, user.touched) == (2, 4, 0.5)
    assert user.size == 1.0
    assert (item.rows, bias.rows, bias.touched) == (0, 0, None)


def test_traces() -> None:
    same = changes(BEFORE, BEFORE, USERS, ITEMS)
    assert "no tensor changed" in traces(same)[0]
    rows = {**BEFORE, "user": BEFORE["user"] + torch.tensor([[0.0], [1.0], [0.0], [0.0]])}
    assert "only rows of users changed" in traces(changes(BEFORE, rows, USERS, ITEMS))[0]
    other = {name: tensor + 1 for name, tensor in BEFORE.items()}
    assert traces(changes(BEFORE, other, USERS, ITEMS)) == []


def test_another_shape_is_a_change_of_every_row() -> None:
    (first, *_) = changes(BEFORE, {"user": torch.ones(5, 2)}, USERS, ITEMS)
    assert first.rows == 4


def test_rows_of_deleted_users_that_stayed() -> None:
    after = {name: tensor.clone() for name, tensor in BEFORE.items()}
    assert left_rows(BEFORE, after, USERS) == 2
    after["user"][1] += 1
    assert left_rows(BEFORE, after, USERS) == 1
    assert left_rows(BEFORE, {"user": BEFORE["user"] + 1}, USERS) == 0
    zeros = {"user": torch.zeros(4, 2)}
    assert left_rows(zeros, zeros, USERS) == 0  # nothing was known, nothing is left
    assert left_rows({"item_weights": torch.ones(3, 3)}, {"item_weights": torch.ones(3, 3)}, USERS) == 0
