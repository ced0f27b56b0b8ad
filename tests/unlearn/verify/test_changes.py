from __future__ import annotations

from typing import Any

import numpy as np
import torch

from recaudit.datasets.log import InteractionLog
from recaudit.unlearn.verify.changes import changes, hindrances, traces

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


class Rows:
    """A model that gives each user the list of the user's own row, whatever history it is shown."""

    n_users, n_items = 4, 3

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.kept = state

    def scores(self, users: np.ndarray, history: InteractionLog) -> Any:
        return (self.kept["user"][users] @ self.kept["item"].T).numpy()

    def state(self) -> dict[str, torch.Tensor]:
        return self.kept


def test_what_cannot_be_called_honoured() -> None:
    state = {"user": torch.arange(8.0).reshape(4, 2), "item": torch.arange(6.0).reshape(3, 2)}
    before = Rows(state)
    rows_only = Rows({**state, "user": state["user"] + 1})
    trained = Rows({"user": state["user"] + 1, "item": state["item"] + 1})
    none = np.empty(0, np.int64)
    assert hindrances(before, rows_only, USERS) == ["unfolded", "unmoved"]
    assert hindrances(before, rows_only, none) == ["unmoved"]
    assert hindrances(before, trained, USERS) == ["unfolded"]
    assert hindrances(before, trained, none) == []
