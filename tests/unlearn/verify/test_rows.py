from __future__ import annotations

from functools import cache
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target
from recaudit.unlearn.request import Request
from recaudit.unlearn.verify import rows
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
    assert before["alike"].mean() > same["alike"].mean() + 0.2


def test_rows_that_hardly_moved_are_left_and_a_change_of_length_hides_nothing() -> None:
    own = known("ials")
    state = target("ials").model.state()
    near, short = ({**state, "user_vectors": state["user_vectors"] * factor} for factor in (1 + 1e-6, 0.01))
    assert left_rows(own.kept(near), []) == len(own.users)
    assert own.kept(short)["alike"].mean() > 0.99
    assert left_rows(own.kept(short), []) == 0


def test_rows_turned_about_or_in_each_others_place_are_left() -> None:
    own = known("ials")
    state = target("ials").model.state()
    retrains = [own.kept(fit(target("ials").recipe, REQUEST.retained(LOG), seed).state()) for seed in (1, 2, 3)]

    def left(rows: torch.Tensor) -> tuple[int, float]:
        vectors = state["user_vectors"].clone()
        vectors[own.users] = rows
        kept = own.kept({**state, "user_vectors": vectors})
        return left_rows(kept, retrains), float(np.abs(kept["alike"]).mean())

    old = state["user_vectors"][own.users]
    assert left(-old) == (len(own.users), pytest.approx(1.0))
    assert left(old.roll(1, 0))[0] == len(own.users)
    assert left(-old.flip(0) * (1 + 1e-6))[0] == len(own.users)
    assert left(-0.5 * old) == (0, pytest.approx(1.0)), "the cosine has it"
    older = [{"moved": kept["moved"]} for kept in retrains]
    assert left_rows(own.kept(state), older) == len(own.users)


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_the_nearest_row_is_found_in_blocks(seed: int, count: int, cells: int) -> None:
    draw = np.random.default_rng(seed)
    own, old = draw.normal(size=(count, 3)), draw.normal(size=(7, 3))
    with mock.patch.object(rows, "_CELLS", cells):
        found = rows._nearest(own, old)
    both = np.concatenate([old, -old])
    far = np.linalg.norm(own[:, None] - both, axis=2)
    np.testing.assert_allclose(np.linalg.norm(own - found, axis=1), far.min(axis=1), atol=1e-12)


@pytest.mark.parametrize("model", ["mf", "lightgcn"])
def test_where_a_row_began_is_not_what_was_learnt(model: str) -> None:
    """Rows that shrink in a short training point away from where they began, where a retrain of the same seed stays."""
    own = known(model)
    recipe = target(model).recipe
    same, other = (own.kept(fit(recipe, REQUEST.retained(LOG), seed).state()) for seed in (5, 1))
    assert np.abs(same["alike"]).max() < 1e-6
    assert np.abs(other["alike"]).mean() < 0.6
    assert own.kept(target(model).model.state())["alike"].min() > 0.999


def test_models_without_rows_and_of_other_tensors() -> None:
    assert learnt(_ease(), REQUEST) is None
    assert learnt(target("ials"), Request.of(LOG, "part", rows=np.arange(3))) is None
    assert known("ials").kept({"item_weights": target("ials").model.state()["item_vectors"]}) == {}
    assert left_rows({}, []) == 0


def _ease() -> Target:
    recipe = Recipe("ease", {"regularisation": 20.0})
    return Target("t", fit(recipe, LOG, 0), recipe, Split(LOG, LOG, LOG, "x"), 0, "print", {})
