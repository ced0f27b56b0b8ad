"""EASE is the closed form, and the minimum it claims to be."""

import numpy as np
import pytest

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.ease import EASE, EASEConfig


def log_of(matrix):
    user, item = np.nonzero(matrix)
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *map(ids, matrix.shape))


@pytest.fixture
def problem():
    source = np.random.default_rng(0)
    return (source.random((50, 12)) < 0.3).astype(float), source.random(50).astype(np.float32)


def test_equals_the_closed_form(problem):
    matrix, weights = problem
    model = EASE(EASEConfig(regularisation=20.0))
    model.fit(log_of(matrix), 0, weights=weights)
    inverse = np.linalg.inv((matrix * weights[:, None]).T @ matrix + 20 * np.eye(12))
    expected = np.eye(12) - inverse / np.diag(inverse)
    np.testing.assert_allclose(model.item_weights, expected, atol=1e-6)
    assert (np.diag(model.item_weights) == 0).all()
    history = matrix[::-1]
    np.testing.assert_allclose(model.scores(np.arange(50), log_of(history)), history @ expected, rtol=1e-4, atol=1e-5)


def test_is_the_minimum_of_its_loss(problem):
    matrix, weights = problem
    model = EASE(EASEConfig(regularisation=20.0))
    model.fit(log_of(matrix), 0, weights=weights)
    found = model.item_weights.astype(float)
    residual = (matrix * weights[:, None]).T @ (matrix @ found - matrix)
    gradient = residual + 20 * found
    off_diagonal = ~np.eye(12, dtype=bool)
    assert np.abs(gradient[off_diagonal]).max() < 1e-4 < np.abs(residual[off_diagonal]).max()


def test_a_catalogue_beyond_memory_is_refused_with_its_size(problem):
    matrix, _ = problem
    with pytest.raises(DataError, match=r"12 x 12.*memory_gb"):
        EASE(EASEConfig(memory_gb=1e-7)).fit(log_of(matrix), 0)


def test_too_little_regularisation_is_refused(problem):
    matrix, _ = problem
    matrix[:, 1] = matrix[:, 0]
    with pytest.raises(DataError, match="regularisation"):
        EASE(EASEConfig(regularisation=1e-12)).fit(log_of(matrix), 0)
