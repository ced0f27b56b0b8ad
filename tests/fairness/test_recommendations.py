"""Lists that measures are taken of: what is refused, what is undefined, and what two systems share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from recaudit.datasets.errors import InputError
from recaudit.fairness.catalogue import BY_SLUG, EXPOSURE, JOINT
from recaudit.fairness.recommendations import Exposure, Recommendations, lorenz


def relevant_to(rows: list[list[int]], n: int) -> sparse.csr_matrix:
    indptr = np.cumsum([0] + [len(row) for row in rows])
    indices = np.array([item for row in rows for item in sorted(row)], np.int32)
    return sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(rows), n))


LISTS = np.array([[0, 1], [2, 3]], np.int32)
BAD = [
    ("outside 0..3", lambda: Recommendations.of(np.array([[0, 4]]), 4)),
    ("outside 0..3", lambda: Recommendations.of(np.array([[0, -2]]), 4)),
    ("twice", lambda: Recommendations.of(np.array([[0, 1], [2, 2]]), 4)),
    ("no recommendation list", lambda: Recommendations.of(np.empty((0, 3), np.int32), 4)),
    ("relevance of shape", lambda: Recommendations.of(LISTS, 4, sparse.csr_matrix((3, 4)))),
    ("not finite", lambda: Recommendations.of(LISTS, 4, sparse.csr_matrix([[1, 0, np.nan, 0], [0, 0, 0, 1.0]]))),
    ("negative", lambda: Recommendations.of(LISTS, 4, sparse.csr_matrix([[1, 0, -1, 0], [0, 0, 0, 1.0]]))),
    ("full ranks", lambda: Recommendations.of(LISTS, 4, relevant_to([[1], [2]], 4), np.array([1]))),
    ("full ranks", lambda: Recommendations.of(LISTS, 4, relevant_to([[1], [2]], 4), np.array([1, 5]))),
]  # fmt: skip


@pytest.mark.parametrize(("message", "make"), BAD)
def test_bad_input_is_refused_in_one_line(message: str, make: Any) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_binary_measures_refuse_grades_and_missing_relevant_to() -> None:
    graded = Recommendations.of(LISTS, 4, sparse.csr_matrix([[3.0, 1, 0, 0], [0, 0, 2, 0]]))
    for measure in JOINT:
        if measure.slug not in ("ee_l", "ee_r"):  # grades are part of their formula
            with pytest.raises(InputError, match="binary"):
                measure.original(graded)
        with pytest.raises(InputError, match="relevant"):
            measure.reported(Recommendations.of(LISTS, 4))


def test_nothing_relevant_is_undefined_with_a_reason() -> None:
    nothing = Recommendations.of(LISTS, 4, sparse.csr_matrix((2, 4)))
    for measure in JOINT:
        value = measure.reported(nothing)
        if measure.slug not in ("ai_f", "ee_l", "ee_r"):  # with nothing relevant these are still what they are
            assert value.value is None and "relevant" in value.note, measure.slug


def test_lists_cut_short_leave_the_corrected_forms_undefined() -> None:
    short = Recommendations.of(np.array([[0, 1], [2, -1]]), 4)
    for measure in EXPOSURE:
        if measure.reported is not measure.original:
            assert measure.reported(short).value is None and "shorter" in measure.reported(short).note, measure.slug
    assert BY_SLUG["gini"].original(short).value is not None


def test_lorenz_curve() -> None:
    exposure = Exposure.of(np.random.default_rng(1).permuted(np.tile(np.arange(30), (50, 1)), axis=1)[:, :5], 30)
    curve = lorenz(exposure)
    assert curve[0] == (0.0, 0.0) and curve[-1] == (1.0, 1.0)
    heights = [y for _, y in curve]
    assert heights == sorted(heights) and all(y <= x + 1e-12 for x, y in curve)


def test_lists_of_another_system_share_the_relevance() -> None:
    relevant = relevant_to([[1], [2, 3]], 5)
    first = Recommendations.of(LISTS, 5, relevant, consumed=relevant_to([[4], []], 5))
    other = first.with_lists(LISTS[:, ::-1])
    assert other.relevance is first.relevance and other.hits.tolist() == first.hits[:, ::-1].tolist()
    with pytest.raises(InputError, match="3 lists for 2 users"):
        first.with_lists(np.array([[0], [1], [2]]))
    with pytest.raises(InputError, match="relevant to a user who consumed"):
        Recommendations.of(LISTS, 5, relevant, consumed=relevant)
