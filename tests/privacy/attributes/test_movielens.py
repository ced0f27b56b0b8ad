"""Attribute inference on MovieLens-1M: the numbers that the method is known to give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.extmath import randomized_svd

from recaudit.datasets.read import read_log
from recaudit.datasets.seeding import rng
from recaudit.privacy.attributes.inference import (
    Labels,
    class_names,
    folds,
    infer,
    labels_of,
    most_frequent,
    standardised,
    tf_idf,
)


def test_gender_of_movielens_1m(shared: Path) -> None:
    """Raw history .769 / .850, 64-dimensional SVD .764 / .834 (balanced accuracy, AUC), shuffled labels .5."""
    place = shared / "data" / "movielens-1m-implicit"
    if not place.is_dir():
        pytest.skip("MovieLens-1M is not beside the checkout")
    log = read_log(place).log
    assert log.users is not None
    labels = labels_of(class_names(log.users["gender"]), np.arange(log.n_users), 30)
    assert isinstance(labels, Labels) and labels.classes == ("M", "F") and labels.sizes == [4331, 1709]
    draw = rng(0, "movielens")
    fold = folds(labels.code, draw)
    matrix = log.matrix()
    raw = tf_idf(most_frequent(matrix, 1500))
    history = infer(raw, labels.code, fold, "logistic", draw)
    assert history.balanced_accuracy == pytest.approx(0.77, abs=0.02)
    assert history.auc == pytest.approx(0.85, abs=0.02)
    left, values, _ = randomized_svd(matrix, 64, random_state=0)
    vectors = infer(standardised(left * values), labels.code, fold, "logistic", draw)
    assert vectors.balanced_accuracy == pytest.approx(0.764, abs=0.02)
    assert vectors.auc == pytest.approx(0.834, abs=0.02)
    mixed = draw.permutation(labels.code)
    shuffled = infer(raw, mixed, folds(mixed, draw), "logistic", draw)
    assert abs(shuffled.auc - 0.5) <= 2 * shuffled.standard_error <= 0.04
    assert shuffled.balanced_accuracy == pytest.approx(0.5, abs=0.02)
