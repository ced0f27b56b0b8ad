"""AWRF against scipy's Jensen-Shannon distance, user by user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import jensenshannon

from recaudit.datasets.errors import InputError
from recaudit.fairness import awrf as module
from recaudit.fairness.awrf import awrf, joint
from recaudit.fairness.groups import Groups, column_groups
from recaudit.fairness.recommendations import Recommendations
from recaudit.fairness.value import PerUser
from recaudit.recommenders import metrics

CELLS = ("a", "b", "a|b", "b|c|d", "c", None)
cases = st.tuples(
    st.lists(st.sampled_from(CELLS), min_size=5, max_size=15).filter(lambda c: len(set(c) - {None}) > 1),
    st.integers(1, 9),
    st.integers(1, 5),
    st.booleans(),
    st.integers(0, 999),
)
Case = tuple[list[str | None], int, int, bool, int]


def make(case: Case) -> tuple[Recommendations, Groups]:
    column, users, k, keep, seed = case
    n, draw = len(column), np.random.default_rng(seed)
    lists = np.argsort(draw.random((users, n)), axis=1)[:, :k].astype(np.int32)
    lists[np.arange(k) >= draw.integers(0, k + 1, users)[:, None]] = -1
    relevant = sparse.csr_matrix((draw.random((users, n)) < 0.25).astype(float))
    return Recommendations.of(lists, n, relevant), column_groups(column, keep_unknown=keep)


def one(row: np.ndarray, groups: Groups, target: np.ndarray, variant: str) -> float:
    dense, got = groups.membership.toarray(), np.zeros(len(groups.names))
    for rank, item in enumerate(row, 1):
        if item >= 0:
            got += dense[item] / np.log2(max(rank, 2) if variant == "trec" else rank + 1)
    if not got.sum() or not target.sum():
        return np.nan
    with np.errstate(invalid="ignore"):
        distance = jensenshannon(got, target, base=None if variant == "trec" else 2)
    return 1 - float(np.nan_to_num(distance)) ** 2  # scipy takes the root of a rounding error below 0 for NaN


@given(cases, st.sampled_from(["trec", "base2"]), st.integers(1, 4))
def test_each_user_against_scipy(case: Case, variant: str, block: int) -> None:
    data, groups = make(case)
    dense, g = groups.membership.toarray(), len(groups.names)
    if groups.alone:
        assert awrf(data, groups, "catalogue", variant).mean.value is None
        return
    assert data.relevant is not None
    own = data.relevant.toarray() @ dense
    draw = np.random.default_rng(0)
    population = draw.random(g)
    targets = {
        "catalogue": ("catalogue", np.tile(dense.sum(axis=0), (len(own), 1))),
        "population": (population, np.tile(population, (len(own), 1))),
        "relevant": ("relevant", own),
        "mixed": (sparse.csr_matrix(own), own),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        for target, rows in targets.values():
            found = awrf(data, groups, target, variant)
            expected = [one(a, groups, t, variant) for a, t in zip(data.lists, rows, strict=True)]
            assert found.values == pytest.approx(expected, abs=1e-7, nan_ok=True)
            assert found.left_out == np.isnan(expected).sum()
            if found.left_out < len(expected):
                assert found.mean.value == pytest.approx(np.nanmean(expected), abs=1e-7)
                assert found.mean.users == len(expected) - found.left_out
            else:
                assert found.mean.value is None and "every user" in found.mean.note


@given(cases)
def test_joint_is_the_product(case: Case) -> None:
    data, groups = make(case)
    fair = awrf(data, groups, "catalogue", "base2")
    _, hits = data.judged
    counted = np.where(data.n_relevant > 0, data.n_relevant, 1)
    utility = np.where(data.n_relevant > 0, metrics.ndcg(hits, counted, data.k), np.nan)
    assert joint(data, groups, "catalogue", "base2").values == pytest.approx(utility * fair.values, nan_ok=True)
    trec = joint(data, groups, "catalogue", "trec").values
    fair = awrf(data, groups, "catalogue", "trec")
    for u, row in enumerate(hits):
        gains = [1 / np.log2(max(rank, 2)) for rank in range(1, data.k + 1)]
        ideal = sum(gains[: data.n_relevant[u]])
        expected = np.dot(row, gains) / ideal * fair.values[u] if ideal else np.nan
        assert trec[u] == pytest.approx(expected, nan_ok=True)


@given(cases)
def test_numbering_and_weights(case: Case) -> None:
    data, groups = make(case)
    column, n = case[0], len(case[0])
    assert data.relevant is not None
    order = np.random.default_rng(1).permutation(n)
    moved = np.append(np.argsort(order), -1).astype(np.int32)[data.lists][::-1]
    other = Recommendations.of(moved, n, data.relevant[::-1][:, order])
    again = column_groups([column[i] for i in order], keep_unknown=case[3])
    for target in ("catalogue", "relevant"):
        here, there = awrf(data, groups, target), awrf(other, again, target)
        assert here.values[::-1] == pytest.approx(there.values, nan_ok=True)
    weights = np.random.default_rng(2).integers(0, 4, len(data.lists))
    repeated = np.repeat(np.arange(len(weights)), weights)
    weighted = awrf(replace(data, weights=weights), groups, "catalogue")
    if len(repeated):
        twice = awrf(Recommendations.of(data.lists[repeated], n), groups, "catalogue")
        assert weighted.mean.value == pytest.approx(twice.mean.value)
        assert (weighted.mean.users, weighted.left_out) == (twice.mean.users, twice.left_out)


def test_ends_are_reached() -> None:
    groups = column_groups(["a", "a", "b", "b"])
    data = Recommendations.of(np.array([[0, 1], [0, 2], [2, 0]], np.int32), 4)
    apart = np.array([0.0, 1.0])
    assert awrf(data, groups, apart, "base2").values[0] == 0
    assert awrf(data, groups, apart, "trec").values[0] == pytest.approx(1 - np.log(2))
    # in TREC's discount the first two ranks get the same attention
    assert awrf(data, groups, "catalogue", "trec").values[1:].tolist() == [1, 1]
    assert awrf(data, groups, np.array([1.0, 0.0]), "base2").values[0] == 1


def test_what_cannot_be_measured() -> None:
    data = Recommendations.of(np.array([[0, 1]], np.int32), 2)
    groups = column_groups(["a", "b"])
    single = awrf(data, column_groups(["a", "a"]), "catalogue")
    assert single.mean.value is None and "two groups" in single.mean.note and single.left_out == 1
    assert PerUser.of(np.array([1.0, np.nan]), None, "why").mean.note == "users left out: 1 (why)"
    for target in ("relevant", np.ones(3), sparse.csr_matrix((2, 2)), sparse.csr_matrix([[-1.0, 2.0]])):
        with pytest.raises(InputError):
            awrf(data, groups, target)
    with pytest.raises(InputError, match="relevant"):
        joint(data, groups, "catalogue")
    with pytest.raises(InputError, match="items"):
        awrf(data, column_groups(["a", "b", "c"]), "catalogue")
