"""Looking, liking, clicking: chances by hand, luck that is shared, lists that are browsed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import sparse

from recaudit.simulation.feedback import UserModel, browsed, click_chances, clicks, examination, present

CERTAIN = 1e9


def test_chances_by_hand() -> None:
    # places 1, 2, 3 are looked at with 1, 1/2, 1/3; odds of 1, 3 to 1 and none
    logits = np.array([[0.0, np.log(3), -np.inf]])
    assert click_chances(logits, UserModel()) == pytest.approx(np.array([[1 / 2, 3 / 8, 0]]))
    # eta 2: 1, 1/4, 1/9
    assert click_chances(logits, UserModel(eta=2.0)) == pytest.approx(np.array([[1 / 2, 3 / 16, 0]]))
    # temperature 2 takes the root of odds of 9 to 1; pickiness log 3 leaves a third of the odds
    logits = np.array([[np.log(9), np.log(3)]])
    assert click_chances(logits, UserModel(eta=0.0, temperature=2.0))[0, 0] == pytest.approx(3 / 4)
    assert click_chances(logits, UserModel(eta=0.0, pickiness=float(np.log(3)))) == pytest.approx(
        np.array([[3 / 4, 1 / 2]])
    )


def test_who_likes_all_clicks_what_it_looks_at() -> None:
    items = np.array([[0, 1, -1], [2, 0, 1]], np.int32)
    logits = np.where(items >= 0, CERTAIN, -np.inf)
    assert (clicks(items, logits, UserModel(eta=0.0), 3, 0, 1) == (items >= 0)).all()
    assert not clicks(items, np.full(items.shape, -CERTAIN), UserModel(eta=0.0), 3, 0, 1).any()


def test_as_many_clicks_as_chances_say() -> None:
    users, places = 4000, 6
    items = np.stack([np.random.default_rng(n).permutation(50)[:places] for n in range(users)]).astype(np.int32)
    people = UserModel()
    logits = np.full(items.shape, 1.0)
    counts = np.mean([clicks(items, logits, people, 50, 3, n).sum(0) for n in range(20)], axis=0) / users
    want = click_chances(logits[:1], people)[0]
    # the error of 20 x 4,000 draws; luck is pairwise independent, so that it holds as for independent ones
    assert (np.abs(counts - want) < 5 * np.sqrt(want * (1 - want) / (20 * users))).all()


def test_luck_is_of_the_pair_and_not_of_the_place() -> None:
    people = UserModel(eta=0.0)
    items = np.tile(np.arange(30, dtype=np.int32), (200, 1))
    logits = np.zeros(items.shape)
    first = clicks(items, logits, people, 30, 5, 2)
    assert 0.4 < first.mean() < 0.6
    turned = clicks(items[:, ::-1], logits, people, 30, 5, 2)
    assert (turned[:, ::-1] == first).all()
    assert (clicks(items, logits, people, 30, 5, 3) != first).any()
    assert (clicks(items, logits, people, 30, 6, 2) != first).any()


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_active_users_contain_fewer(less: float, more: float, explore: float) -> None:
    less, more = sorted((less, more))
    some, _ = present(300, UserModel(active=less, explore=explore), 1, 4)
    many, browsing = present(300, UserModel(active=more, explore=explore), 1, 4)
    assert (many | ~some).all() and (many | ~browsing).all()


@given(st.floats(0, 10), st.floats(0.01, 100), st.integers(1, 50))
def test_chances_are_chances(eta: float, temperature: float, places: int) -> None:
    logits = np.random.default_rng(0).normal(0, 100, (3, places))
    chances = click_chances(logits, UserModel(eta=eta, temperature=temperature))
    assert ((chances >= 0) & (chances <= examination(places, eta))).all()


def test_browsed_items_are_new_distinct_and_seeded() -> None:
    held = sparse.csr_matrix(np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 0]], np.float32))
    found = browsed(held, np.array([0, 1, 2, 1]), 3, 7, 1)
    assert set(found[0]) == {2, 3, 4}
    assert len(set(found[1])) == 3 and found[1].min() >= 0
    assert found[2].tolist() == [4, -1, -1]
    assert (found == browsed(held, np.array([0, 1, 2, 1]), 3, 7, 1)).all()
    assert browsed(held, np.empty(0, np.int64), 3, 7, 1).shape == (0, 3)


@pytest.mark.parametrize("bad", [{"eta": -1}, {"temperature": 0}, {"active": 1.5}, {"explore": -0.1}, {"mood": 1}])
def test_users_that_cannot_be(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        UserModel(**bad)
