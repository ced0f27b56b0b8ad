"""Groups of items against plain counting, and disparity at its ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import entropy

from recaudit.attacks.targets import strata
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.fairness.group_exposure import exposure_disparity, group_exposure
from recaudit.fairness.groups import Groups, column_groups, popularity_buckets
from recaudit.fairness.recommendations import Recommendations

GENRES = ("Action", "Comedy", "Drama", "War")
cells = st.one_of(
    st.none(),
    st.just(""),
    st.just("unknown"),
    st.lists(st.sampled_from(GENRES), min_size=1, max_size=5).map("|".join),
)
columns = st.lists(cells, min_size=6, max_size=20)


def plain(column: list[str | None]) -> list[dict[str, float]]:
    found = []
    for cell in column:
        names = {part for part in (cell or "unknown").split("|") if part}
        found.append({name: 1 / len(names) for name in names})
    return found


def some_lists(users: int, items: int, k: int, seed: int, gaps: bool = True) -> np.ndarray:
    draw = np.random.default_rng(seed)
    lists = np.argsort(draw.random((users, items)) ** 3, axis=1)[:, :k].astype(np.int32)
    if gaps:
        lists[np.arange(k) >= draw.integers(0, k + 1, users)[:, None]] = -1
    return lists


@given(columns)
def test_items_share_themselves_among_their_groups(column: list[str | None]) -> None:
    groups = column_groups(column)
    dense = groups.membership.toarray()
    for row, own in zip(dense, plain(column), strict=True):
        assert {name: value for name, value in zip(groups.names, row, strict=True) if value} == pytest.approx(own)
    known = [name for name in groups.names if name != "unknown"]
    assert known == sorted(known) and "unknown" not in groups.names[:-1]


def test_kinds_of_columns() -> None:
    assert column_groups([1995.0, float("nan"), 1996.0]).names == ("1995", "1996", "unknown")
    assert column_groups(["a|b", "a"], separator=None).names == ("a", "a|b")
    assert column_groups(["a;b", "b"], separator=";").names == ("a", "b")
    listed = column_groups([["a", "b"], np.array(["a"]), None])
    assert listed.membership.toarray().tolist() == [[0.5, 0.5, 0], [1, 0, 0], [0, 0, 1]]
    out = column_groups([" a | a", None, "", "unknown"], keep_unknown=False)
    assert out.names == ("a",) and out.membership.toarray().tolist() == [[1], [0], [0], [0]]
    assert out.alone and column_groups([]).names == ()


def test_wrong_memberships_are_refused() -> None:
    for names, shares in (
        (("a", "a"), [[0.5, 0.5]]),
        (("a",), [[0.5, 0.5]]),
        (("a", "b"), [[0.5, 0.6]]),
        (("a", "b"), [[1.5, -0.5]]),
    ):
        with pytest.raises(InputError):
            Groups(names, sparse.csr_matrix(np.array(shares)))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_buckets_are_the_mean_over_orders_of_ties(counts: list[int]) -> None:
    popularity = np.array(counts, np.int64)
    groups = popularity_buckets(popularity)
    ranked = int((popularity > 0).sum())
    head, middle = int(np.floor(ranked * 0.1 + 0.5)), int(np.floor(ranked * 0.5 + 0.5))
    assert groups.sizes == pytest.approx([head, middle - head, len(counts) - middle])
    # plain: each item of a tie takes every place of the tie equally often
    dense, places = groups.membership.toarray(), np.argsort(-popularity, kind="stable")
    bucket = np.array([0] * head + [1] * (middle - head) + [2] * (len(counts) - middle))
    for level in set(counts):
        share = np.bincount(bucket[popularity[places] == level], minlength=3) / counts.count(level)
        assert dense[popularity == level] == pytest.approx(np.tile(share, (counts.count(level), 1)))
    order = np.random.default_rng(len(counts)).permutation(len(counts))
    assert popularity_buckets(popularity[order]).membership.toarray() == pytest.approx(
        groups.membership.toarray()[order]
    )
    assert (groups.membership.toarray()[popularity == 0] == (0, 0, 1)).all()


def test_buckets_without_ties_are_the_strata_of_the_attacks() -> None:
    counts = np.random.default_rng(0).permutation(np.arange(2, 33)).astype(np.int64)
    item = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    ids = np.arange(len(counts)).astype(str)
    log = InteractionLog(np.zeros(len(item), np.int32), item, np.array(["u"]), ids)
    bucket = popularity_buckets(counts).membership.toarray().argmax(axis=1)
    for at, name in enumerate(("head", "middle", "cold")):
        assert set(strata(log)[name]) == set(np.flatnonzero(bucket == at))
    with pytest.raises(InputError):
        popularity_buckets(np.array([-1]))


@given(columns, st.integers(1, 8), st.integers(1, 5), st.integers(0, 99))
def test_exposure_is_counted(column: list[str | None], users: int, k: int, seed: int) -> None:
    n, draw = len(column), np.random.default_rng(seed)
    lists = some_lists(users, n, k, seed)
    relevant = sparse.csr_matrix((draw.random((users, n)) < 0.4).astype(float))
    weights = draw.integers(0, 3, users)
    data = Recommendations.of(lists, n, relevant)
    data = replace(data, weights=weights)
    train = draw.integers(0, 9, n)
    groups = column_groups(column)
    found = group_exposure(data, groups, train)
    own = plain(column)
    places = {"count": lambda r: 1.0, "dcg": lambda r: 1 / np.log2(r + 1)}
    for at, name in enumerate(groups.names):
        share = [item.get(name, 0.0) for item in own]
        for by, weight in places.items():
            gets = {
                group: sum(
                    weights[u] * weight(r + 1) * own[lists[u, r]].get(group, 0)
                    for u in range(users)
                    for r in range(k)
                    if lists[u, r] >= 0
                )
                for group in groups.names
            }
            total = sum(gets.values())
            expected = gets[name] / total if total else np.nan
            assert found.exposure(by)[at] == pytest.approx(expected, nan_ok=True)
            rate = gets[name] / (sum(share) * weights.sum()) if weights.sum() else np.nan
            assert found.rates[by][at] == pytest.approx(rate, nan_ok=True)
        assert found.catalogue[at] == pytest.approx(sum(share) / n)
        if train.sum():
            assert found.interactions is not None
            assert found.interactions[at] == pytest.approx(np.dot(share, train) / train.sum())
        liked = weights @ relevant.toarray()
        if liked.sum():
            assert found.relevant is not None
            assert found.relevant[at] == pytest.approx(np.dot(share, liked) / liked.sum())


@given(columns, st.integers(0, 99))
def test_numbering_changes_nothing(column: list[str | None], seed: int) -> None:
    n = len(column)
    lists = some_lists(6, n, 4, seed)
    train = np.random.default_rng(seed).integers(0, 9, n)
    order = np.random.default_rng(seed + 1).permutation(n)
    moved = np.append(np.argsort(order), -1).astype(np.int32)[lists][::-1]
    for groups, again in (
        (column_groups(column), column_groups([column[i] for i in order])),
        (popularity_buckets(train), popularity_buckets(train[order])),
    ):
        one = group_exposure(Recommendations.of(lists, n), groups, train)
        two = group_exposure(Recommendations.of(moved, n), again, train[order])
        assert one.names == two.names
        for by in ("count", "dcg"):
            assert one.exposure(by) == pytest.approx(two.exposure(by), nan_ok=True)
            assert one.ratio(by, "interactions") == pytest.approx(two.ratio(by, "interactions"), nan_ok=True)
            a, b = exposure_disparity(one, "catalogue", by), exposure_disparity(two, "catalogue", by)
            for name in ("max_min", "min_max", "difference", "kl", "js"):
                assert getattr(a, name).value == pytest.approx(getattr(b, name).value, abs=1e-9)


def two_groups(lists: list[list[int]]) -> tuple[Recommendations, Groups]:
    return Recommendations.of(np.array(lists, np.int32), 4), column_groups(["a", "a", "b", "b"])


def test_disparity_reaches_its_ends() -> None:
    even = exposure_disparity(group_exposure(*two_groups([[0, 2], [1, 3]])), by="count")
    assert [v.value for v in (even.max_min, even.min_max, even.difference, even.kl, even.js)] == [1, 1, 0, 0, 0]
    found = group_exposure(*two_groups([[0, 1], [1, 0]]))
    worst = exposure_disparity(found, by="count")
    assert worst.max_min.value is None and "'b'" in worst.max_min.note
    assert (worst.min_max.value, worst.difference.value) == (0, 1)
    assert worst.kl.value == pytest.approx(np.log(2))
    apart = exposure_disparity(found, np.array([0.0, 3.0]), "count")
    assert apart.js.value == pytest.approx(1)
    assert apart.kl.value is None and apart.min_max.value is None and "no target share" in apart.kl.note
    alone = exposure_disparity(found, np.array([1.0, 0.0]), "count")
    assert (alone.kl.value, alone.js.value, alone.max_min.value) == (0, 0, None)


def test_disparity_by_hand() -> None:
    found = group_exposure(*two_groups([[0, 2], [0, 1]]), train_counts=np.array([5, 1, 1, 3]))
    by_hand = exposure_disparity(found, "interactions", "count")
    assert found.count == pytest.approx([0.75, 0.25]) and found.interactions == pytest.approx([0.6, 0.4])
    assert found.rates["count"] == pytest.approx([0.75, 0.25])
    assert found.ratio("count", "interactions") == pytest.approx([1.25, 0.625])
    assert by_hand.max_min.value == pytest.approx(2) and by_hand.min_max.value == pytest.approx(0.5)
    assert by_hand.difference.value == pytest.approx(0.5)
    assert by_hand.kl.value == pytest.approx(entropy([0.75, 0.25], [0.6, 0.4]))


def test_undefined_and_wrong() -> None:
    data, groups = two_groups([[0, 2]])
    for other in (column_groups(["a"] * 4), column_groups([None] * 4, keep_unknown=False)):
        assert exposure_disparity(group_exposure(data, other)).js.value is None
    empty = exposure_disparity(group_exposure(*two_groups([[-1, -1]])))
    assert empty.js.value is None and "no item" in empty.js.note
    none = exposure_disparity(group_exposure(data, groups, np.zeros(4, np.int64)), "interactions")
    assert none.kl.value is None and "nothing to share" in none.kl.note
    found = group_exposure(data, groups)
    with pytest.raises(InputError, match="not known"):
        exposure_disparity(found, "relevant")
    with pytest.raises(InputError, match="unknown target"):
        exposure_disparity(found, "catalog")  # type: ignore[arg-type]
    for target in ([1.0], [0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0]):
        with pytest.raises(InputError, match="target"):
            exposure_disparity(found, np.array(target))
    with pytest.raises(InputError, match="items"):
        group_exposure(data, column_groups(["a", "b"]))
