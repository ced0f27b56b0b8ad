from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target
from recaudit.unlearn.request import Request
from recaudit.unlearn.verify.rows import Learnt, learnt, left_rows

from ..conformance import small_log

LOG = small_log()
REQUEST = Request.of(LOG, "x", users=np.arange(10))


@cache
def target(model: str) -> Target:
    recipe = Recipe(model, {"dim": 8} | ({"max_epochs": 3} if model != "ials" else {}), None if model == "ials" else 3)
    return Target("t", fit(recipe, LOG, 5), recipe, Split(LOG, LOG, LOG, "x"), 5, "print", {})


def known(model: str) -> Learnt:
    found = learnt(target(model), REQUEST)
    assert found is not None
    return found


@pytest.mark.parametrize("model", ["ials", "ncf"])
def test_retrains_leave_nothing_with_the_same_seed_neither(model: str) -> None:
    """Short training with the checkpoint's own seed leaves a deleted user's row near where it began."""
    own = known(model)
    retrains = [own.kept(fit(target(model).recipe, REQUEST.retained(LOG), seed).state()) for seed in (1, 2, 3)]
    same = own.kept(fit(target(model).recipe, REQUEST.retained(LOG), 5).state())
    assert same["moved"].min() > 0.5
    assert left_rows(same, retrains) == 0
    assert left_rows(retrains[0], retrains[1:]) == 0
    before = own.kept(target(model).model.state())
    assert left_rows(before, retrains) == len(own.users)
    assert before["likeness"].mean() > same["likeness"].mean() + 0.2


def test_rows_that_hardly_moved_are_left_and_a_change_of_length_hides_nothing() -> None:
    own = known("ials")
    state = target("ials").model.state()
    near, short = ({**state, "user_vectors": state["user_vectors"] * factor} for factor in (1 + 1e-6, 0.01))
    assert left_rows(own.kept(near), []) == len(own.users)
    assert own.kept(short)["likeness"].mean() > 0.99
    assert left_rows(own.kept(short), []) == 0


def test_models_without_rows_and_of_other_tensors() -> None:
    assert learnt(_ease(), REQUEST) is None
    assert learnt(target("ials"), Request.of(LOG, "part", rows=np.arange(3))) is None
    assert known("ials").kept({"item_weights": target("ials").model.state()["item_vectors"]}) == {}
    assert left_rows({}, []) == 0


def _ease() -> Target:
    recipe = Recipe("ease", {"regularisation": 20.0})
    return Target("t", fit(recipe, LOG, 0), recipe, Split(LOG, LOG, LOG, "x"), 0, "print", {})
