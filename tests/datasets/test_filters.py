"""Filters against plain loops; ids and side tables stay aligned."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError
from recaudit.datasets.filters import compact, deduplicate, k_core, min_rating
from recaudit.datasets.log import InteractionLog

ROWS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 5)), min_size=1, max_size=60)


def log_of(rows) -> InteractionLog:
    user, item, value = (np.array(column) for column in zip(*rows, strict=True))
    user_ids, user = np.unique(user, return_inverse=True)
    item_ids, item = np.unique(item, return_inverse=True)
    return InteractionLog(
        user.astype(np.int32), item.astype(np.int32), user_ids.astype(str), item_ids.astype(str),
        value.astype(np.float32), None,
        pd.DataFrame({"name": [f"user {n}" for n in user_ids]}),
        pd.DataFrame({"title": [f"item {n}" for n in item_ids]}),
    )  # fmt: skip


def rows_of(log):
    ids = zip(log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), log.value.tolist(), strict=True)
    return [(int(user), int(item), int(value)) for user, item, value in ids]


def check_aligned(log) -> None:
    assert log.users["name"].tolist() == [f"user {n}" for n in log.user_ids.tolist()]
    assert log.items["title"].tolist() == [f"item {n}" for n in log.item_ids.tolist()]
    assert log.user_counts.min() > 0 and log.item_counts.min() > 0
    assert log.user.dtype == log.item.dtype == np.int32


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(0, 4), st.integers(0, 4))
def test_k_core_is_what_dropping_one_by_one_leaves(rows, users, items):
    left = list(rows)
    while True:
        bad = [r for r in left if sum(s[0] == r[0] for s in left) < users or sum(s[1] == r[1] for s in left) < items]
        if not bad:
            break
        left.remove(bad[0])
    if not left:
        with pytest.raises(DataError, match="leaves no events"):
            k_core(log_of(rows), users, items)
        return
    core = k_core(log_of(rows), users, items)
    assert rows_of(core) == left
    check_aligned(core)


@settings(max_examples=50, deadline=None)
@given(ROWS, st.integers(1, 6))
def test_min_rating(rows, threshold):
    left = [row for row in rows if row[2] >= threshold]
    if not left:
        with pytest.raises(DataError):
            min_rating(log_of(rows), threshold)
        return
    kept = min_rating(log_of(rows), threshold)
    assert rows_of(kept) == left
    check_aligned(kept)


def test_min_rating_needs_ratings():
    log = log_of([(1, 1, 1)])
    with pytest.raises(DataError, match="has none"):
        min_rating(InteractionLog(log.user, log.item, log.user_ids, log.item_ids), 1)


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_deduplicate_keeps_the_first(rows):
    left: dict[tuple[int, int], tuple[int, int, int]] = {}
    for row in rows:
        left.setdefault(row[:2], row)
    kept, dropped = deduplicate(log_of(rows))
    assert rows_of(kept) == list(left.values()) and dropped == len(rows) - len(left)


def test_a_log_without_gaps_is_itself():
    log = log_of([(1, 1, 1), (2, 1, 1)])
    assert compact(log) is log and k_core(log, 1, 2) is log
