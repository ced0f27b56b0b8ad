"""Utility by group of users: by plain means, with small groups out of sight."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError
from recaudit.fairness.disparity import OTHER, utility_disparity

names = st.sampled_from(["F", "M", "X", "unknown", None])
people = st.lists(st.tuples(names, st.sampled_from([0.0, 0.25, 0.5, 1.0, np.nan]), st.integers(0, 3)), min_size=1)


@given(people, st.integers(1, 4))
@settings(deadline=None)
def test_means_by_hand(rows: list[tuple[str | None, float, int]], floor: int) -> None:
    column = [name for name, _, _ in rows]
    values, weights = np.array([value for _, value, _ in rows]), np.array([weight for *_, weight in rows])
    found = utility_disparity(values, column, weights, floor, permutations=19)
    members: dict[str, list[float]] = {}
    for name, value, weight in rows:
        if not np.isnan(value) and weight:
            members.setdefault(name or "unknown", []).extend([value] * weight)
    small = [name for name in members if len(members[name]) < floor]
    if small:
        members[OTHER] = [value for name in small for value in members.pop(name)]
    assert {group.name: group.users for group in found.groups} == {name: len(own) for name, own in members.items()}
    assert found.merged == len(small) and found.left_out == weights[np.isnan(values)].sum()
    means = {}
    for group in found.groups:
        own = members[group.name]
        if len(own) < floor:
            assert group.name == OTHER and group.mean.value is None and group.standard_error is None
            continue
        means[group.name] = np.mean(own)
        assert group.mean.value == pytest.approx(np.mean(own))
        if len(own) > 1:
            assert group.standard_error == pytest.approx(np.std(own, ddof=1) / np.sqrt(len(own)), abs=1e-12)
        else:
            assert group.standard_error is None
    if len(means) < 2:
        assert found.gap.value is None and found.p_value.value is None and not found.worst
        return
    low, high = min(means.values()), max(means.values())
    assert found.gap.value == pytest.approx(high - low)
    assert means[found.worst] == pytest.approx(low) and means[found.best] == pytest.approx(high)
    assert found.ratio.value == (pytest.approx(low / high) if high else None)
    assert found.p_value.value is not None and 1 / 20 <= found.p_value.value <= 1
    order = np.random.default_rng(0).permutation(len(rows))
    again = utility_disparity(values[order], [column[i] for i in order], weights[order], floor, 19)
    assert again.p_value == found.p_value and again.gap.value == pytest.approx(found.gap.value)
    assert (again.worst, again.best) == (found.worst, found.best)


def test_ends_and_the_p_value() -> None:
    column = ["a"] * 10 + ["b"] * 10
    apart = utility_disparity(np.repeat([0.0, 1.0], 10), column)
    assert (apart.gap.value, apart.ratio.value, apart.worst, apart.best) == (1, 0, "a", "b")
    assert apart.p_value.value == pytest.approx(1 / 1000)
    even = utility_disparity(np.tile([0.0, 1.0], 10), column)
    assert (even.gap.value, even.ratio.value, even.p_value.value) == (0, 1, 1)
    nothing = utility_disparity(np.zeros(20), column, permutations=0)
    assert nothing.ratio.value is None and nothing.p_value.value is None and nothing.gap.value == 0
    assert utility_disparity(np.repeat([-1.0, 1.0], 10), column).ratio.value is None


def test_p_values_are_even_where_nothing_is_the_matter() -> None:
    draw = np.random.default_rng(0)
    column = ["a"] * 8 + ["b"] * 12 + ["c"] * 20
    found = [utility_disparity(draw.random(40), column, permutations=99, seed=s).p_value.value for s in range(200)]
    assert 0.02 <= np.mean(np.array(found) <= 0.1) <= 0.18 and 0.4 <= np.mean(found) <= 0.6


def test_small_groups_are_not_told() -> None:
    column = pd.Series(["F"] * 6 + ["M"] * 6 + ["X"] * 2 + ["Y"] * 3)
    values = np.linspace(0, 1, 17)
    found = utility_disparity(values, column)
    assert [group.name for group in found.groups] == ["F", "M", OTHER]
    assert found.groups[2].users == 5 and found.merged == 2 and found.best == OTHER
    fewer = utility_disparity(values[:14], column[:14])
    assert fewer.groups[2].mean.value is None and "privacy" in fewer.groups[2].mean.note and fewer.best == "M"
    assert utility_disparity(values[:6], column[:6]).gap.value is None


def test_wrong_input() -> None:
    with pytest.raises(InputError, match="rows of the column"):
        utility_disparity(np.zeros(2), ["a"])
    with pytest.raises(InputError, match="floor"):
        utility_disparity(np.zeros(1), ["a"], floor=0)
    with pytest.raises(InputError, match="infinite"):
        utility_disparity(np.array([np.inf]), ["a"])
