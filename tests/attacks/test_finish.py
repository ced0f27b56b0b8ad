"""Whatever an attack drafts, the finish line makes valid accounts of it or says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.attacks.base import Attack, Draft, Goal, Knowledge
from recaudit.attacks.finish import check, finish
from recaudit.attacks.goal import AttackError
from recaudit.attacks.knowledge import Public
from recaudit.attacks.rhythm import Rhythm
from recaudit.attacks.scale import RatingScale
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import Profiles
from recaudit.datasets.seeding import rng

from .conformance import examine_profiles, log_for

LOG = log_for("rating")
PUBLIC = Knowledge.of(LOG, {"catalogue"}).public


class Any_(Attack):
    """Hands over a draft that was made elsewhere."""

    name, title, reference, grants = "any", "", "", frozenset({"catalogue"})
    draft: Draft

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        return self.draft


def finished(draft: Draft, goal: Goal, seed: int = 0) -> Profiles:
    """The draft through the base class."""
    attack = Any_()
    attack.draft = draft
    return attack.profiles(Knowledge.of(LOG, attack.needs(goal)), goal, rng(seed))


@st.composite
def drafts(draw: Any) -> tuple[Draft, Goal]:
    """Any shape of draft, with repeats, gaps, targets inside, wild ratings and scores."""
    kind = draw(st.sampled_from(["rating", "implicit", "sequence"]))
    accounts, width = draw(st.integers(1, 4)), draw(st.integers(0, 12))
    targets = tuple(draw(st.lists(st.integers(0, LOG.n_items - 1), min_size=1, max_size=3, unique=True)))
    longest = 70 if kind == "sequence" else LOG.n_items - len(targets)
    goal = Goal(
        targets, accounts, draw(st.integers(len(targets), longest)), kind, draw(st.sampled_from(["push", "nuke"])),
        placement=draw(st.sampled_from(["last", "every-second", "spread"])), repeats=draw(st.integers(1, 3)),
    )  # fmt: skip
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    items = random.integers(-1, min(LOG.n_items, draw(st.integers(1, 50))), (accounts, width)).astype(np.int32)
    wild = random.normal(3, 20, items.shape)
    draft = Draft(
        items, wild if draw(st.booleans()) else None, -wild if draw(st.booleans()) else None, draw(st.booleans())
    )
    return draft, goal


@settings(max_examples=80, deadline=None)
@given(drafts())
def test_any_draft_becomes_valid_accounts(made: tuple[Draft, Goal]) -> None:
    draft, goal = made
    before = draft.items.copy()
    profiles = finished(draft, goal)
    examine_profiles(profiles, LOG, goal)
    assert (draft.items == before).all()
    assert finished(draft, goal).item.tobytes() == profiles.item.tobytes()


def rows(profiles: Profiles) -> list[list[int]]:
    """Items by account."""
    return profiles.item.reshape(profiles.n_accounts, -1).tolist()


def test_cut_by_scores_and_keep_what_the_attack_wants() -> None:
    draft = Draft(np.array([[1, 2, 3, 4, 2, -1]], np.int32), scores=np.array([[0.1, 9, 3, 0.2, 1, 99]]))
    profiles = finished(draft, Goal((7,), 1, 3))
    assert set(rows(profiles)[0]) == {7, 2, 3}
    without_scores = finished(replace(draft, scores=None), Goal((7,), 1, 3))
    assert set(rows(without_scores)[0]) == {7, 1, 2}


def test_fill_with_items_not_yet_there() -> None:
    profiles = finished(Draft(np.array([[1, 1, 7, 7]], np.int32)), Goal((7,), 1, LOG.n_items))
    assert sorted(rows(profiles)[0]) == list(range(LOG.n_items))


def test_values_follow_their_items_through_cut_and_shuffle() -> None:
    items = np.array([[3, 5, 9, 4]], np.int32)
    draft = Draft(items, np.array([[1.0, 2.0, 3.0, 4.0]]), scores=np.array([[4.0, 1.0, 3.0, 2.0]]))
    for seed in range(5):
        profiles = finished(draft, Goal((7,), 1, 4, "rating"), seed)
        assert profiles.value is not None
        rated = dict(zip(profiles.item.tolist(), profiles.value.tolist(), strict=True))
        top = float(LOG.value.max())  # type: ignore[union-attr]
        assert rated == {3: 1.0, 9: 3.0, 4: 4.0, 7: top}


def test_filled_in_items_are_rated_like_the_rest_of_their_account() -> None:
    draft = Draft(np.array([[3, 5]], np.int32), np.array([[2.0, 2.0]]))
    profiles = finished(draft, Goal((7,), 1, 6, "rating"))
    assert profiles.value is not None and sorted(profiles.value.tolist()) == [2.0] * 5 + [LOG.value.max()]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("placement", "repeats", "expected"),
    [("last", 1, [1, 2, 3, 4, 5, 7]), ("every-second", 1, [3, 7, 4, 7, 5, 7])],
)
def test_placement_keeps_the_latest_of_an_ordered_sequence(placement: Any, repeats: int, expected: list[int]) -> None:
    items = np.array([[1, 2, 3, 4, 5]], np.int32)
    draft = Draft(items, scores=np.arange(5.0)[None], ordered=True)
    profiles = finished(draft, Goal((7,), 1, 6, "sequence", placement=placement, repeats=repeats))
    assert rows(profiles) == [expected]


def test_spread_targets_stand_at_any_slot_in_the_stated_number() -> None:
    items = np.tile(np.arange(10, 20, dtype=np.int32), (300, 1))
    goal = Goal((7,), 300, 8, "sequence", placement="spread", repeats=2)
    found = np.array(rows(finished(Draft(items, ordered=True), goal)))
    assert ((found == 7).sum(axis=1) == 2).all() and ((found == 7).sum(axis=0) > 40).all()
    assert all(np.diff(row[row != 7]).min() > 0 for row in found), "the others keep their order"


def test_an_attack_may_place_the_target_itself() -> None:
    draft = Draft(np.array([[1, 2, 3]], np.int32), ordered=True, slots=np.array([[0, 3]]))
    assert rows(finished(draft, Goal((7,), 1, 5, "sequence"))) == [[7, 1, 2, 7, 3]]


def test_several_targets_alternate() -> None:
    draft = Draft(np.array([[1, 2, 3]], np.int32), ordered=True)
    assert rows(finished(draft, Goal((7, 8), 1, 6, "sequence"))) == [[1, 7, 2, 8, 3, 7]]


def test_a_burial_without_ratings_promotes_rivals() -> None:
    goal = Goal((7,), 6, 8, "implicit", "nuke")
    items = np.array(rows(finished(Draft(np.full((6, 0), -1, np.int32)), goal)))
    matrix = LOG.matrix().toarray()
    together = matrix.T @ matrix
    likeness = together[7] / np.sqrt(together.diagonal() * together[7, 7])
    likeness[7] = 0
    near = set(np.argsort(-likeness, kind="stable")[: LOG.n_items // 5].tolist())
    assert all(len(near & set(row)) >= 4 for row in items.tolist())


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (Draft(np.zeros((3, 2), np.int32)), r"shape \[2, m\]"),
        (Draft(np.full((2, 2), 50, np.int32)), r"-1\.\.49"),
        (Draft(np.full((2, 2), -2, np.int32)), r"-1\.\.49"),
        (Draft(np.zeros((2, 2), np.int32), np.zeros((2, 3))), "ratings have shape"),
        (Draft(np.zeros((2, 2), np.int32), np.full((2, 2), np.nan)), "not finite"),
        (Draft(np.zeros((2, 2), np.int32), slots=np.zeros((2, 1), np.int64)), "sequences"),
    ],
)
def test_impossible_drafts_are_named(draft: Draft, words: str) -> None:
    with pytest.raises(AttackError, match=words):
        finished(draft, Goal((1,), 2, 5, "rating"))


@pytest.mark.parametrize("slots", [[[3, 1]], [[1, 1]], [[0, 9]], [[-1, 2]]])
def test_impossible_slots_are_named(slots: list[list[int]]) -> None:
    with pytest.raises(AttackError, match="slots"):
        finished(Draft(np.zeros((1, 2), np.int32), slots=np.array(slots)), Goal((1,), 1, 5, "sequence"))


def test_impossible_budgets_are_wrong_use() -> None:
    draft = Draft(np.zeros((1, 2), np.int32))
    with pytest.raises(InputError, match="catalogue of 50"):
        finished(draft, Goal((1,), 1, 51))
    with pytest.raises(InputError, match="catalogue of 50"):
        finished(draft, Goal((1,), 1, 50, direction="nuke"))
    with pytest.raises(InputError, match="outside"):
        finished(draft, Goal((50,), 1, 5))
    for wrong in (
        {"targets": ()}, {"targets": (1, 1)}, {"targets": (-1,)}, {"accounts": -1}, {"profile": 0}, {"audience": ()},
        {"repeats": 0},
    ):  # fmt: skip
        with pytest.raises(InputError):
            Goal(**({"targets": (1,), "accounts": 1, "profile": 2} | wrong))  # type: ignore[arg-type]


def test_validation_sees_every_breach() -> None:
    goal = Goal((7,), 2, 3, "rating")
    good = finish(Draft(np.array([[1, 2], [3, 4]], np.int32)), goal, np.full((2, 1), 7, np.int32), PUBLIC, rng(0))
    check(good, goal, PUBLIC)
    assert good.value is not None and good.time is not None
    breaches = {
        "exactly 3": replace(good, account=np.array([0, 0, 0, 0, 1, 1], np.int32)),
        "outside": replace(good, item=np.where(good.item == 1, 77, good.item)),
        "lacks": replace(good, item=np.where(good.item == 7, 8, good.item)),
        "repeats": replace(good, item=np.where(good.item == 1, 2, good.item)),
        "scale": replace(good, value=good.value + np.float32(0.1)),
        "range": replace(good, time=good.time + 10**9),
    }
    for words, profiles in breaches.items():
        with pytest.raises(AttackError, match=words):
            check(profiles, goal, PUBLIC)
    buried = replace(goal, kind="implicit", direction="nuke")
    with pytest.raises(AttackError, match="buried"):
        check(good, buried, PUBLIC)


def test_a_log_without_ratings_or_times_gets_none() -> None:
    goal, forced = Goal((7,), 1, 3), np.array([[7]], np.int32)
    draft = Draft(np.array([[1, 2]], np.int32), np.array([[3.0, 4.0]]))
    profiles = finish(draft, goal, forced, Public(50, 5, None, None), rng(0))
    assert profiles.value is None and profiles.time is None
    constant = Public(50, 5, RatingScale.of(np.array([1], np.float32)), Rhythm.of(LOG))
    profiles = finish(draft, goal, forced, constant, rng(0))
    assert profiles.value is not None and profiles.value.tolist() == [1, 1, 1] and profiles.time is not None
