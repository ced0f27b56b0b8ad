"""Attribute inference: labels, features, scores against other programs, and whether the errors are honest."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import norm
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from recaudit.datasets.seeding import rng
from recaudit.privacy.attributes.inference import (
    FOLDS,
    MOST_CLASSES,
    OVERLAP,
    Labels,
    Told,
    bag_of_lists,
    class_names,
    folds,
    infer,
    judged,
    labels_of,
    most_frequent,
    standard_error,
    standardised,
    tf_idf,
)

AGES = (18, 25, 35)


def test_ages_become_groups_and_unknown_values_none() -> None:
    found = class_names(pd.Series([17, 18, 24.5, 35, 70, np.nan, -1, 400]), AGES)
    assert found.tolist() == ["under 18", "18-24", "18-24", "35 and over", "35 and over", None, None, None]
    # checkpoints keep side tables as text
    written = class_names(pd.Series(["17", "18", "24.5", "unknown", None, "-1"]), AGES)
    assert written.tolist() == ["under 18", "18-24", "18-24", None, None, None]
    # other text stays what it is, as do numbers of a column that holds no ages
    assert class_names(pd.Series(["18-24", " ", "Unknown", None]), AGES).tolist() == ["18-24", None, None, None]
    assert class_names(pd.Series([1.0, 2.0, np.nan])).tolist() == ["1", "2", None]


def test_small_classes_are_left_out_and_named() -> None:
    names = np.array(["a"] * 12 + ["b"] * 30 + ["c"] * 3 + [None] * 5, object)
    users = np.setdiff1d(np.arange(50), [0, 1])
    found = labels_of(names, users, 10)
    assert isinstance(found, Labels)
    assert found.classes == ("b", "a") and found.sizes == [30, 10] and found.left_out == ("c",)
    assert [names[user] for user in found.users] == [found.classes[code] for code in found.code]
    for smallest, said in ((11, "one class"), (31, "no class")):
        assert str(labels_of(names, users, smallest)).startswith(f"{said} of {smallest} users or more among the 43")
    many = np.repeat(np.array([f"c{place:02}" for place in range(MOST_CLASSES + 2)], object), 3)
    found = labels_of(many, np.arange(len(many)), 3)
    assert isinstance(found, Labels) and len(found.classes) == MOST_CLASSES
    assert found.left_out == (f"c{MOST_CLASSES}", f"c{MOST_CLASSES + 1}")


def test_rows_of_all_features_are_of_length_one() -> None:
    vectors = rng(0, "vectors").normal(3.0, [0.1, 5.0, 1.0], (200, 3)).astype(np.float32)
    scaled = standardised(vectors)
    assert np.square(scaled).sum(axis=1).mean() == pytest.approx(1.0)
    assert np.allclose(scaled.mean(axis=0), 0, atol=1e-9) and np.allclose(scaled.std(axis=0), 1 / math.sqrt(3))
    assert not standardised(np.ones((4, 2), np.float32)).any()
    bag = bag_of_lists(np.array([[2, 0], [0, -1], [-1, -1]], np.int32), 4)
    assert bag.toarray().tolist() == [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    idf = np.log(4 / np.array([3, 2])) + 1  # of items 0 and 2; nobody is shown the others
    expected = np.array([idf / np.linalg.norm(idf), [1, 0], [0, 0]])
    assert np.allclose(tf_idf(bag).toarray(), expected)


def test_the_most_frequent_items_are_kept_in_their_order() -> None:
    bag = sparse.csr_matrix(np.array([[1, 1, 0, 1], [0, 1, 1, 1]]))
    assert most_frequent(bag, 3).toarray().tolist() == [[1, 1, 1], [0, 1, 1]]  # item 0 before item 2: fewer users
    assert most_frequent(bag, 9).shape == (2, 4)


@given(sizes=st.lists(st.integers(10, 40), min_size=2, max_size=5), seed=st.integers(0, 10))
@settings(max_examples=15, deadline=None)
def test_every_fold_has_its_share_of_each_class(sizes: list[int], seed: int) -> None:
    code = rng(seed, "code").permutation(np.repeat(np.arange(len(sizes)), sizes))
    fold = folds(code, rng(seed, "folds"))
    table = np.array([np.bincount(fold[code == label], minlength=FOLDS) for label in range(len(sizes))])
    assert table.shape == (len(sizes), FOLDS) and (table.max(axis=1) - table.min(axis=1) <= 1).all()
    assert np.array_equal(fold, folds(code, rng(seed, "folds")))


@given(n_classes=st.integers(2, 4), steps=st.integers(2, 50), seed=st.integers(0, 10))
@settings(max_examples=15, deadline=None)
def test_scores_are_sklearns(n_classes: int, steps: int, seed: int) -> None:
    draw = rng(seed, "scores", n_classes)
    code = np.tile(np.arange(n_classes), 25)
    fold = folds(code, draw)
    chances = np.floor(draw.random((len(code), n_classes)) * steps) + 1  # many ties
    chances /= chances.sum(axis=1, keepdims=True)
    found = judged(chances, code, fold)
    inside = [fold == at for at in range(FOLDS)]
    expected = [
        np.mean([roc_auc_score(code[rows] == label, chances[rows, label]) for rows in inside])
        for label in range(n_classes)
    ]
    assert found.auc == pytest.approx(np.mean(expected if n_classes > 2 else expected[1:]))
    assert found.by_class[1:] == pytest.approx(expected[1:])
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(code, chances.argmax(axis=1)))


def test_parts_of_users_make_delongs_variance() -> None:
    draw = rng(1, "delong")
    code, chances = np.repeat([0, 1], 50), draw.random((100, 2))
    fold = folds(code, draw)
    variance = 0.0
    for at in range(FOLDS):
        ones, zeros = (chances[(code == label) & (fold == at), 1] for label in (1, 0))
        wins = (ones[:, None] > zeros).astype(float)
        variance += wins.mean(axis=1).var(ddof=1) / len(ones) + wins.mean(axis=0).var(ddof=1) / len(zeros)
    found = judged(chances, code, fold)
    assert np.square(found.influence).sum() == pytest.approx(variance / FOLDS**2)
    assert found.standard_error == pytest.approx(math.sqrt(OVERLAP * variance) / FOLDS)
    assert found.influence.sum() == pytest.approx(0.0, abs=1e-12) and OVERLAP == pytest.approx(2.25)


def noise(code: np.ndarray, fold: np.ndarray, width: int, draw: np.random.Generator) -> Told:
    """Logistic regression on features that know nothing."""
    return infer(standardised(draw.normal(size=(len(code), width))), code, fold, "logistic", draw)


@pytest.mark.parametrize(("sizes", "width", "runs"), [([140, 60], 8, 100), ([60, 40, 30], 16, 60)])
def test_intervals_hold_chance_where_features_know_nothing(sizes: list[int], width: int, runs: int) -> None:
    code = np.repeat(np.arange(len(sizes)), sizes)
    off = np.empty((runs, 2))
    for run in range(runs):
        draw = rng(run, "chance", width)
        found = noise(code, folds(code, draw), width, draw)
        off[run] = abs(found.auc - 0.5), found.standard_error
    least = 0.95 - 2 * math.sqrt(0.95 * 0.05 / runs)
    assert np.mean(off[:, 0] <= 1.96 * off[:, 1]) >= least
    # without the factor they do not: the users of a fold judge what the others trained, and the reverse
    assert np.mean(off[:, 0] <= 1.96 * off[:, 1] / math.sqrt(OVERLAP)) < least


def test_intervals_of_differences_hold_zero_where_both_know_the_same() -> None:
    runs, code = 60, np.repeat([0, 1], [100, 60])
    held = 0
    for run in range(runs):
        draw = rng(run, "difference")
        known = draw.normal(size=len(code)) + code
        first, second = (known[:, None] + draw.normal(size=(len(code), 1)) for _ in range(2))
        fold = folds(code, draw)
        told = [infer(standardised(view), code, fold, "logistic", draw) for view in (first, second)]
        difference, error = told[0].minus(told[1])
        held += abs(difference) <= 1.96 * error
        # users are paired: what both views share cancels
        assert error < 0.95 * math.hypot(told[0].standard_error, told[1].standard_error)
    assert held / runs >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / runs)


def test_an_auc_of_one_is_not_certain() -> None:
    code = np.repeat([0, 1], [60, 25])
    found = judged(np.stack([1.0 - code, code], axis=1), code, folds(code, rng(0, "sure")))
    assert found.auc == 1.0 and not found.influence.any()
    assert found.standard_error == pytest.approx(0.5 / 25)
    # nor is it certain that another view that tells all of them tells as much
    assert found.minus(found) == (0.0, found.standard_error)


def test_a_known_separation_is_found() -> None:
    draw = rng(5, "separation")
    code = np.repeat([0, 1], [600, 400])
    known = draw.normal(size=(1000, 1)) + code[:, None]
    fold = folds(code, draw)
    found = infer(standardised(known), code, fold, "logistic", draw)
    truth = float(norm.cdf(1 / math.sqrt(2)))
    assert abs(found.auc - truth) <= 3 * found.standard_error < 0.1
    assert found.balanced_accuracy == pytest.approx(float(norm.cdf(0.5)), abs=0.05)
    nothing = noise(code, fold, 1, draw)
    difference, error = found.minus(nothing)
    assert difference == pytest.approx(found.auc - nothing.auc) and difference > 3 * error > 0
    assert found.minus(found) == (0.0, found.step)
    assert error == standard_error(found.influence - nothing.influence)


def test_the_network_finds_what_no_line_separates() -> None:
    draw = rng(2, "ring")
    points = draw.normal(size=(2000, 2))
    code = (np.square(points).sum(axis=1) > 2 * math.log(2)).astype(np.int64)  # half of them
    fold = folds(code, draw)
    line = infer(standardised(points), code, fold, "logistic", draw)
    network = infer(standardised(points), code, fold, "mlp", rng(3, "network"))
    assert line.auc < 0.6 and network.auc > 0.9 and network.balanced_accuracy > 0.8
    again = infer(standardised(points), code, fold, "mlp", rng(3, "network"))
    assert again.auc == network.auc and np.array_equal(again.influence, network.influence)
