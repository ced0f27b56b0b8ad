from __future__ import annotations

import numpy as np
import pytest

from recaudit.recommenders.base import Recipe
from recaudit.unlearn.catalogue import build, names, unlearner_class
from recaudit.unlearn.controls import RowsOnly

from .conformance import examine, requests, served, small_log

IALS = Recipe("ials", {"dim": 8})
LIGHTGCN = Recipe("lightgcn", {"dim": 8, "max_epochs": 2}, 2)


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("do-nothing", IALS), ("rows-only", IALS), ("rows-only", LIGHTGCN), ("retrain", IALS),
        ("do-nothing", Recipe("sasrec", {"dim": 8, "max_epochs": 1}, 1)), ("retrain", LIGHTGCN),
    ],
)  # fmt: skip
def test_conformance(name: str, recipe: Recipe) -> None:
    examine(build(name), recipe)


def test_rows_only_changes_touched_rows_alone() -> None:
    log = small_log()
    before, request = served(LIGHTGCN, log), requests(log)["five users"]
    old, new = before.trained.state(), RowsOnly().forget(before, request, 0).trained.state()
    touched = np.unique(log.user[request.rows])
    for name in old:
        moved = np.flatnonzero((old[name] != new[name]).any(dim=1).numpy())
        np.testing.assert_array_equal(moved, touched if name.startswith("user") else [])


def test_rows_only_needs_rows() -> None:
    why = RowsOnly().why_not(Recipe("ease", {}), small_log())
    assert why is not None
    assert "no vectors of users" in why


def test_catalogue_is_whole() -> None:
    for name in names():
        kind = unlearner_class(name)
        assert kind.name == name
        assert kind.title
        assert kind.reference
