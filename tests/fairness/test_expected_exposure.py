"""Expected exposure against its definition: every ideal ordering of a tiny catalogue, dense."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import Int32
from recaudit.fairness import expected_exposure as module
from recaudit.fairness.expected_exposure import EE_D, EE_L, EE_R, ExpectedExposure, expected_exposure
from recaudit.fairness.recommendations import GAMMA, Recommendations

Dense = NDArray[np.float64]


def dense_exposure(samples: Int32, n: int) -> Dense:
    exposure = np.zeros((samples.shape[1], n))
    for sample in samples:
        for user, items in enumerate(sample):
            for place, item in enumerate(items):
                if item >= 0:
                    exposure[user, item] += GAMMA**place / len(samples)
    return exposure


def dense_target(grades: Dense) -> Dense:
    """The mean over all orderings of the items in which grades never rise."""
    target = np.zeros_like(grades)
    for user, grade in enumerate(grades):
        ideal = [list(order) for order in permutations(range(len(grade))) if (np.diff(grade[list(order)]) <= 0).all()]
        for order in ideal:
            target[user, order] += GAMMA ** np.arange(len(grade)) / len(ideal)
    return target


Problem = tuple[Int32, Dense]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    m, n, n_samples = draw(st.integers(1, 4)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    k = draw(st.integers(1, n))
    numbers = np.random.default_rng(draw(st.integers(0, 999)))
    samples = np.argsort(numbers.random((n_samples, m, n)), axis=2)[:, :, :k].astype(np.int32)
    length = numbers.integers(0, k + 1, (n_samples, m, 1)) if draw(st.booleans()) else k
    samples[np.broadcast_to(np.arange(k) >= length, samples.shape)] = -1
    grades = numbers.integers(0, draw(st.integers(1, 4)), (m, n)) * draw(st.sampled_from([0.5, 1.0]))
    return samples, grades


def check(found: ExpectedExposure, got: Dense, due: Dense) -> None:
    np.testing.assert_allclose(found.disparity, (got**2).sum(1), atol=1e-12)
    np.testing.assert_allclose(found.relevance, (got * due).sum(1), atol=1e-12)
    np.testing.assert_allclose(found.target, (due**2).sum(1), atol=1e-12)
    np.testing.assert_allclose(found.loss, ((got - due) ** 2).sum(1), atol=1e-12)
    np.testing.assert_allclose(found.loss, found.disparity - 2 * found.relevance + found.target, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_is_the_definition(problem: Problem) -> None:
    samples, grades = problem
    found = expected_exposure(samples, sparse.csr_matrix(grades))
    assert found.samples == len(samples)
    check(found, dense_exposure(samples, grades.shape[1]), dense_target(grades))


@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(1, 3), st.integers(0, 99), st.booleans())
def test_group_form_sums_before_it_squares(problem: Problem, groups: int, seed: int, small_blocks: bool) -> None:
    samples, grades = problem
    n = grades.shape[1]
    members = np.random.default_rng(seed).integers(0, 2, (n, groups)).astype(float)
    with pytest.MonkeyPatch.context() as patch:
        if small_blocks:
            patch.setattr(module, "_BLOCK", 1)
        found = expected_exposure(samples, sparse.csr_matrix(grades), sparse.csr_matrix(members))
    check(found, dense_exposure(samples, n) @ members, dense_target(grades) @ members)


@settings(deadline=None, max_examples=60)
@given(problems(), st.integers(0, 99))
def test_relabelling_and_single_item_groups_change_nothing(problem: Problem, seed: int) -> None:
    samples, grades = problem
    n = grades.shape[1]
    new = np.random.default_rng(seed).permutation(n)
    moved = np.zeros_like(grades)
    moved[:, new] = grades
    relabelled = np.where(samples >= 0, new[samples], -1).astype(np.int32)
    found = expected_exposure(samples, sparse.csr_matrix(grades))
    for other in (
        expected_exposure(relabelled[::-1], sparse.csr_matrix(moved)),
        expected_exposure(samples, sparse.csr_matrix(grades), sparse.eye(n, format="csr")),
    ):
        for name in ("disparity", "relevance", "target", "loss"):
            np.testing.assert_allclose(getattr(other, name), getattr(found, name), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_loss_needs_the_order_of_grades_only(problem: Problem) -> None:
    samples, grades = problem
    found = expected_exposure(samples, sparse.csr_matrix(grades))
    for kind in (np.uint8, np.float64):
        other = expected_exposure(samples, sparse.csr_matrix((grades * 2).astype(kind) ** 2))
        np.testing.assert_allclose(other.loss, found.loss, atol=1e-12)


def test_binary_target_is_the_closed_form_of_the_design() -> None:
    n, r = 40, 3
    grades = np.zeros((1, n))
    grades[0, :r] = 1
    found = expected_exposure(np.arange(10, dtype=np.int32)[None], sparse.csr_matrix(grades))
    high = (1 - GAMMA**r) / ((1 - GAMMA) * r)
    low = (GAMMA**r - GAMMA**n) / ((1 - GAMMA) * (n - r))
    assert found.target[0] == pytest.approx(r * high**2 + (n - r) * low**2)


def test_all_ideal_orderings_lose_nothing_and_a_user_without_relevance_is_due_an_even_share() -> None:
    grades = np.array([[2, 1, 1, 0], [0, 0, 0, 0]], float)
    first = [[0, *a, 3] for a in permutations([1, 2])] * 12
    samples = np.array([first, list(permutations(range(4)))], np.int32).transpose(1, 0, 2)
    found = expected_exposure(samples, sparse.csr_matrix(grades))
    np.testing.assert_allclose(found.loss, 0, atol=1e-12)
    even = (1 - GAMMA**4) / (1 - GAMMA) / 4
    assert found.disparity[1] == pytest.approx(4 * even**2)


@settings(deadline=None, max_examples=60)
@given(problems())
def test_descriptors_are_the_means_of_one_ranking(problem: Problem) -> None:
    samples, grades = problem
    relevant = sparse.csr_matrix(grades)
    data = Recommendations.of(samples[0], grades.shape[1], relevant)
    means = expected_exposure(samples[0], relevant).means()
    assert EE_D.original(data).value == pytest.approx(means["ee_d"].value)
    assert EE_R.original(data).value == pytest.approx(means["ee_r"].value)
    assert EE_L.original(data).value == pytest.approx(means["ee_l"].value, abs=1e-12)
    weights = np.arange(1, len(grades) + 1)
    twice = np.repeat(np.arange(len(grades)), weights)
    repeated = Recommendations.of(samples[0][twice], grades.shape[1], relevant[twice])
    for measure in (EE_D, EE_R, EE_L):
        weighted = measure.original(replace(data, weights=weights)).value
        assert weighted == pytest.approx(measure.original(repeated).value, abs=1e-12)
    weighted_means = expected_exposure(samples[0], relevant).means(weights)
    assert weighted_means["ee_l"].value == pytest.approx(EE_L.original(repeated).value, abs=1e-12)


@given(st.integers(1, 8), st.integers(0, 8), st.integers(0, 99))
def test_disparity_of_full_fixed_lists_is_a_constant(k: int, more: int, seed: int) -> None:
    lists = np.argsort(np.random.default_rng(seed).random((5, k + more)), axis=1)[:, :k].astype(np.int32)
    assert EE_D.ends is not None
    value = EE_D.original(Recommendations.of(lists, k + more)).value
    assert (value, value) == pytest.approx(EE_D.ends(5, k + more, k))


def test_sampling_lowers_disparity_to_the_even_share() -> None:
    n, k = 6, 3
    rotations = np.array([[np.roll(np.arange(n), shift)[:k]] for shift in range(n)], np.int32)
    found = expected_exposure(rotations, sparse.csr_matrix((1, n)))
    assert found.disparity[0] == pytest.approx(((1 - GAMMA**k) / (1 - GAMMA)) ** 2 / n)


def test_refusals_and_undefined() -> None:
    lists, relevant = np.array([[0, 1]], np.int32), sparse.csr_matrix(np.eye(1, 3))
    with pytest.raises(InputError, match="twice"):
        expected_exposure(np.array([[[0, 1]], [[2, 2]]], np.int32), relevant)
    with pytest.raises(InputError, match="catalogue"):
        expected_exposure(np.array([[[0, 1]], [[0, 3]]], np.int32), relevant)
    with pytest.raises(InputError, match="shape"):
        expected_exposure(np.array([0, 1], np.int32), relevant)
    with pytest.raises(InputError, match="negative"):
        expected_exposure(lists, -relevant)
    for members in (np.ones((2, 1)), -np.ones((3, 1)), np.full((3, 1), np.nan)):
        with pytest.raises(InputError, match="membership"):
            expected_exposure(lists, relevant, sparse.csr_matrix(members))
    with pytest.raises(InputError, match="relevant to whom"):
        EE_R.original(Recommendations.of(lists, 3))
    assert expected_exposure(lists, relevant).means(np.zeros(1, np.int64))["ee_d"].value is None
