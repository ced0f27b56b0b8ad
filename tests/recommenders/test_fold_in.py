"""Which models can be asked as if they knew a user by a history alone."""

from __future__ import annotations

import numpy as np
import pytest

from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.blackbox.asked import Lists
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.fold_in import foldable

LOG = generate(users=60, items=40, events=900, seed=0)


@pytest.mark.parametrize(
    ("name", "config", "can"),
    [
        ("ials", {"dim": 8}, True), ("ease", {}, True), ("popularity", {}, True),
        ("sasrec", {"dim": 8}, True), ("ncf", {"dim": 8}, False),
    ],
)  # fmt: skip
def test_models_that_read_rows_cannot(name: str, config: dict[str, object], can: bool) -> None:
    assert foldable(fit(Recipe(name, config), LOG, 0, epochs=0)) is can


def test_systems_that_know_their_users_cannot() -> None:
    lists = Lists(items=np.tile(np.arange(5, dtype=np.int32), (60, 1)))
    lists.n_users, lists.n_items = 60, 40
    assert not foldable(lists)
