"""The exposure measures against reference numbers and by their properties."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError
from recaudit.fairness.catalogue import ALL
from recaudit.fairness.counts import Counts, lorenz

REFERENCE = {"qf": "QF", "gini": "Gini", "jain": "Jain", "entropy": "Ent"}
CASES = [
    "fewer_slots_than_items", "k1", "most_fair_divisible", "most_fair_remainder", "most_unfair",
    "one_item_dominates", "random_small", "zipf_medium", "zipf_small",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_reference_numbers(shared: Path, case: str) -> None:
    data = json.loads((shared / "oracles" / "fairness" / f"{case}.json").read_text())
    lists = np.array(data["items_one_based"], np.int32) - 1
    counts = Counts.of(lists, data["n_items"])
    for measure in ALL:
        for suffix, formula in (("ori", measure.original), ("our", measure.corrected)):
            expected = data["reference"][f"{REFERENCE[measure.slug]}_{suffix}"]
            value = formula(counts)
            assert value == (None if expected is None else pytest.approx(expected, abs=1e-9)), measure.slug


def random_lists(users: int, items: int, k: int, seed: int) -> np.ndarray:
    draw = np.random.default_rng(seed).random((users, items)) ** 3
    return np.argsort(-draw, axis=1)[:, :k].astype(np.int32)


shapes = st.tuples(st.integers(2, 30), st.integers(3, 25), st.integers(1, 24), st.integers(0, 99)).filter(
    lambda shape: shape[2] < shape[1]
)


@given(shapes)
def test_range_and_relabelling(shape: tuple[int, int, int, int]) -> None:
    users, items, k, seed = shape
    lists = random_lists(users, items, k, seed)
    relabel = np.random.default_rng(seed).permutation(items).astype(np.int32)
    for measure in ALL:
        value = measure.corrected(Counts.of(lists, items))
        assert value is not None and -1e-9 <= value <= 1 + 1e-9, measure.slug
        assert measure.corrected(Counts.of(relabel[lists][::-1], items)) == pytest.approx(value)


@given(shapes)
def test_fairest_and_unfairest_lists_reach_the_ends(shape: tuple[int, int, int, int]) -> None:
    users, items, k, _ = shape
    even = (np.arange(users * k) % items).reshape(users, k).astype(np.int32)
    same = np.tile(np.arange(k, dtype=np.int32), (users, 1))
    for measure in ALL:
        fair, unfair = (1.0, 0.0) if measure.direction == "up" else (0.0, 1.0)
        assert measure.corrected(Counts.of(even, items)) == pytest.approx(fair, abs=1e-9), measure.slug
        assert measure.corrected(Counts.of(same, items)) == pytest.approx(unfair, abs=1e-9), measure.slug


def test_undefined_is_none_never_zero() -> None:
    one_user = Counts.of(np.array([[0, 1]], np.int32), 5)
    whole_catalogue = Counts.of(np.array([[0, 1], [1, 0]], np.int32), 2)
    short_lists = Counts.of(np.array([[0, 1], [2, -1]], np.int32), 5)
    nothing = Counts.of(np.full((3, 2), -1, np.int32), 5)
    for measure in ALL:
        for counts in (one_user, whole_catalogue, short_lists, nothing):
            assert measure.corrected(counts) is None, measure.slug


def test_items_outside_the_catalogue_are_refused() -> None:
    with pytest.raises(InputError, match=r"outside 0\.\.4"):
        Counts.of(np.array([[0, 5]], np.int32), 5)


def test_lorenz_is_a_convex_curve_from_corner_to_corner() -> None:
    curve = np.array(lorenz(Counts.of(random_lists(50, 20, 5, 3), 20)))
    assert curve[0].tolist() == [0, 0] and curve[-1].tolist() == [1, 1]
    assert (np.diff(np.diff(curve[:, 1])) >= -1e-12).all()
