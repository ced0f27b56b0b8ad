"""MME against its definition written out, and the reference numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from recaudit.datasets.errors import InputError
from recaudit.fairness import mme
from recaudit.fairness.recommendations import Recommendations


def cells(rows: list[list[int]], n_items: int) -> sparse.csr_matrix:
    matrix = sparse.lil_matrix((len(rows), n_items))
    for user, items in enumerate(rows):
        matrix[user, items] = 1
    return matrix.tocsr()


def by_definition(lists: np.ndarray, relevant: np.ndarray) -> np.ndarray:
    """Envy of each item, three loops over the formula."""
    m, n = relevant.shape
    exposure = np.zeros((m, n))
    for user in range(m):
        for place, item in enumerate(lists[user]):
            if item >= 0:
                exposure[user, item] = 1 / (place + 1)
    envy = np.zeros(n)
    for item in range(n):
        envy[item] = max(
            sum(exposure[user, other] - exposure[user, item] for user in np.flatnonzero(relevant[:, item]))
            for other in range(n)
        )
    return envy


@st.composite
def problems(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """(lists int32 [m, k] with empty places, relevance bool [m, n] with users and items that have none)."""
    m, n = draw(st.integers(1, 8)), draw(st.integers(1, 9))
    k = draw(st.integers(1, n))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    lists = np.argsort(rng.random((m, n)) ** 3, axis=1)[:, :k].astype(np.int32)
    if draw(st.booleans()):
        lists[np.arange(k) >= rng.integers(0, k + 1, m)[:, None]] = -1
    return lists, rng.random((m, n)) < draw(st.sampled_from([0.0, 0.1, 0.4, 1.0]))


@given(problems(), st.integers(1, 60))
def test_definition(problem: tuple[np.ndarray, np.ndarray], pairs: int) -> None:
    lists, relevant = problem
    m, n = relevant.shape
    data = Recommendations.of(lists, n, sparse.csr_matrix(relevant.astype(float)))
    expected = by_definition(lists, relevant)
    np.testing.assert_allclose(mme.envy(data, pairs), expected, rtol=0, atol=1e-12)
    assert mme.original(data).value == pytest.approx(expected.sum() / (n * m), abs=1e-12)
    value = mme.relative(data).value
    if relevant.any():
        assert value == pytest.approx(expected.sum() / relevant.sum(), abs=1e-12)
        assert value is not None and 0 <= value <= 1
    else:
        assert value is None and mme.original(data).note


@given(problems(), st.integers(0, 10**6))
def test_a_weight_is_that_many_equal_users(problem: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    lists, relevant = problem
    m, n = relevant.shape
    weights = np.random.default_rng(seed).integers(0, 4, m) + (np.arange(m) == 0)
    once = Recommendations.of(lists, n, sparse.csr_matrix(relevant.astype(float)))
    weighted = replace(once, weights=weights)
    repeated = Recommendations.of(
        np.repeat(lists, weights, axis=0), n, sparse.csr_matrix(np.repeat(relevant, weights, axis=0).astype(float))
    )
    for formula in (mme.original, mme.relative):
        expected = formula(repeated).value
        assert formula(weighted).value == (expected if expected is None else pytest.approx(expected, abs=1e-12))


@given(problems(), st.integers(0, 10**6))
def test_neither_the_numbers_of_items_nor_the_order_of_users_matter(
    problem: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    lists, relevant = problem
    m, n = relevant.shape
    rng = np.random.default_rng(seed)
    users, items = rng.permutation(m), rng.permutation(n)
    renamed = np.where(lists >= 0, items[lists], -1).astype(np.int32)
    moved = np.zeros_like(relevant)
    moved[:, items] = relevant
    before = mme.original(Recommendations.of(lists, n, sparse.csr_matrix(relevant.astype(float))))
    after = mme.original(Recommendations.of(renamed[users], n, sparse.csr_matrix(moved[users].astype(float))))
    assert after.value == pytest.approx(before.value, abs=1e-12)


def test_the_bound_is_reached_where_everybody_likes_one_item_and_sees_another() -> None:
    lists = np.zeros((5, 1), np.int32)
    data = Recommendations.of(lists, 3, cells([[1]] * 5, 3))
    assert mme.relative(data).value == 1


def test_a_perfectly_relevant_even_recommendation_is_not_free_of_envy() -> None:
    lists = np.arange(6, dtype=np.int32).reshape(3, 2)
    value = mme.relative(Recommendations.of(lists, 6, cells(lists.tolist(), 6))).value
    assert value is not None and value > 0


def test_without_relevance_there_is_an_error() -> None:
    with pytest.raises(InputError, match="relevant to whom"):
        mme.original(Recommendations.of(np.zeros((2, 1), np.int32), 3))


def test_reference_numbers(shared: Path) -> None:
    compared = 0
    for path in sorted((shared / "oracles" / "fairness-joint").glob("*.json")):
        case = json.loads(path.read_text())
        if "inputs" not in case:
            continue
        n, inputs = case["params"]["n"], case["inputs"]
        for k, values in case["values"].items():
            lists = np.array(inputs["recs"], np.int32)[:, : int(k)]
            data = Recommendations.of(lists, n, cells(inputs["relevant"], n))
            expected = {**values["reference"], **values.get("own", {})}["MME_ori"]
            assert mme.original(data).value == pytest.approx(expected, abs=1e-9), (path.stem, k)
            compared += 1
    assert compared


def test_the_published_insertion_experiment(shared: Path) -> None:
    case = json.loads((shared / "oracles" / "fairness-joint" / "published_insertion.json").read_text())
    m, n, k = case["m"], case["n"], case["k"]
    own = np.arange(m * k, dtype=np.int32).reshape(m, k)
    rounding = 0.6 * 10.0 ** -case["decimals"]
    for column, expected in zip(case["columns"], case["values"]["MME_ori"], strict=True):
        lists = np.where(np.arange(k) < k - column, np.arange(k, dtype=np.int32), own)
        data = Recommendations.of(lists, n, cells(own.tolist(), n))
        assert mme.original(data).value == pytest.approx(expected, abs=rounding)
