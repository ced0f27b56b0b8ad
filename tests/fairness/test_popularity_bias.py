"""Popularity bias and miscalibration against their definitions, user by user."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.spatial.distance import jensenshannon

from recaudit.datasets.errors import InputError
from recaudit.fairness.groups import column_groups, popularity_buckets
from recaudit.fairness.popularity_bias import ALPHA, average_popularity, long_tail_share, miscalibration
from recaudit.fairness.recommendations import Recommendations

shapes = st.tuples(st.integers(1, 9), st.integers(6, 15), st.integers(1, 5), st.integers(0, 999))
Shape = tuple[int, int, int, int]


def make(shape: Shape) -> tuple[Recommendations, np.ndarray, sparse.csr_matrix]:
    users, n, k, seed = shape
    draw = np.random.default_rng(seed)
    lists = np.argsort(draw.random((users, n)), axis=1)[:, :k].astype(np.int32)
    lists[np.arange(k) >= draw.integers(0, k + 1, users)[:, None]] = -1
    history = sparse.csr_matrix((draw.random((users, n)) < 0.3) * draw.integers(1, 4, (users, n)))
    return Recommendations.of(lists, n), draw.integers(0, 20, n), history


def same(found: np.ndarray, expected: list[float]) -> None:
    assert found == pytest.approx(expected, abs=1e-7, nan_ok=True)


@given(shapes)
def test_popularity_and_long_tail(shape: Shape) -> None:
    data, popularity, _ = make(shape)
    groups = popularity_buckets(popularity)
    dense = groups.membership.toarray()
    popular, tail, last = [], [], []
    for row in data.lists:
        items = row[row >= 0]
        popular.append(popularity[items].mean() if len(items) else np.nan)
        tail.append(dense[items, 1:].sum() / len(items) if len(items) else np.nan)
        last.append(dense[items, 2].mean() if len(items) else np.nan)
    found = average_popularity(data, popularity)
    same(found.values, popular)
    assert found.left_out == np.isnan(popular).sum()
    assert found.mean.value == (None if np.isnan(popular).all() else pytest.approx(float(np.nanmean(popular))))
    if not groups.alone:
        same(long_tail_share(data, groups).values, tail)
        same(long_tail_share(data, groups, ["tail"]).values, last)


@given(shapes, st.booleans(), st.booleans(), st.sampled_from([0.01, 0.3]))
def test_miscalibration(shape: Shape, buckets: bool, ranked: bool, alpha: float) -> None:
    data, popularity, history = make(shape)
    cells = np.random.default_rng(shape[3]).choice(["a", "b", "a|b", "c|d", ""], shape[1])
    groups = popularity_buckets(popularity) if buckets else column_groups(cells, keep_unknown=False)
    if groups.alone:
        return
    dense = groups.membership.toarray()
    kl, js = [], []
    for row, past in zip(data.lists, history.toarray(), strict=True):
        places = 1 / np.log2(np.arange(2, len(row) + 2)) if ranked else np.ones(len(row))
        q = sum((places[r] * dense[item] for r, item in enumerate(row) if item >= 0), np.zeros(dense.shape[1]))
        p = past @ dense
        if not p.sum() or not q.sum():
            kl.append(np.nan)
            js.append(np.nan)
            continue
        p, q = p / p.sum(), q / q.sum()
        smooth = (1 - alpha) * q + alpha * p
        kl.append(sum(a * np.log(a / b) for a, b in zip(p, smooth, strict=True) if a))
        js.append(np.nan_to_num(jensenshannon(p, q, base=2)) ** 2)
    found = miscalibration(data, history, groups, "kl", alpha, ranked)
    same(found.values, kl)
    assert found.left_out == np.isnan(kl).sum()
    same(miscalibration(data, history, groups, "js", ranked=ranked).values, js)


@given(shapes)
def test_numbering_and_weights(shape: Shape) -> None:
    data, popularity, history = make(shape)
    users, n, _, seed = shape
    order = np.random.default_rng(seed).permutation(n)
    moved = np.append(np.argsort(order), -1).astype(np.int32)[data.lists][::-1]
    other = Recommendations.of(moved, n)
    groups, again = popularity_buckets(popularity), popularity_buckets(popularity[order])
    weights = np.random.default_rng(seed + 1).integers(0, 3, users)
    repeated = np.repeat(np.arange(users), weights)
    here, there = average_popularity(data, popularity), average_popularity(other, popularity[order])
    same(here.values[::-1], there.values.tolist())
    here = miscalibration(data, history, groups)
    same(here.values[::-1], miscalibration(other, history[::-1][:, order], again).values.tolist())
    if len(repeated):
        one = miscalibration(replace(data, weights=weights), history, groups)
        two = miscalibration(Recommendations.of(data.lists[repeated], n), history[repeated], groups)
        assert one.mean.value == pytest.approx(two.mean.value)
        assert (one.left_out, one.mean.users) == (two.left_out, two.mean.users)


def test_ends_are_reached() -> None:
    groups = column_groups(["a", "a", "b", "b"])
    data = Recommendations.of(np.array([[0, 1], [2, 3], [0, 2]], np.int32), 4)
    history = sparse.csr_matrix([[0, 0, 5, 1], [0, 0, 1, 0], [0, 2, 0, 2]])
    assert miscalibration(data, history, groups).values == pytest.approx([np.log(1 / ALPHA), 0, 0])
    assert miscalibration(data, history, groups, "js").values == pytest.approx([1, 0, 0])
    assert long_tail_share(data, groups, ["b"]).values.tolist() == [0, 1, 0.5]


def test_what_cannot_be_measured() -> None:
    data = Recommendations.of(np.array([[0, 1], [-1, -1]], np.int32), 2)
    groups, single = column_groups(["head", "tail"]), column_groups(["tail", "tail"])
    history = sparse.csr_matrix(np.eye(2))
    assert miscalibration(data, history, groups).left_out == 1
    assert "two groups" in miscalibration(data, history, single).mean.note
    assert "two groups" in long_tail_share(data, single, ["tail"]).mean.note
    nobody = Recommendations.of(np.full((2, 2), -1, np.int32), 2)
    for kind in ("kl", "js"):
        assert miscalibration(nobody, sparse.csr_matrix((2, 2)), groups, kind).left_out == 2
    none = average_popularity(Recommendations.of(np.full((1, 2), -1, np.int32), 2), np.array([3, 4]))
    assert none.mean.value is None and none.left_out == 1
    with pytest.raises(InputError, match="unknown group"):
        long_tail_share(data, groups)
    for wrong in (history[:1], -history):
        with pytest.raises(InputError, match="history"):
            miscalibration(data, wrong, groups)
    with pytest.raises(InputError, match="alpha"):
        miscalibration(data, history, groups, alpha=1.0)
    with pytest.raises(InputError, match="items"):
        average_popularity(data, np.array([1, 2, 3]))
