"""Item neighbours equal the plain definition."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.cooccurrence import cooccurrence
from recaudit.recommenders.knn import ItemKNN, ItemKNNConfig
from recaudit.recommenders.sampling import Positives


def log_of(matrix):
    user, item = np.nonzero(matrix)
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *map(ids, matrix.shape))


def plain_scores(matrix, weights, neighbours, shrinkage, history):
    """The definitions, in float64."""
    together = (matrix * weights[:, None]).T @ matrix
    norm = np.sqrt(np.diag(together))
    n_items = len(norm)
    scores = np.zeros((len(history), n_items))
    for target in range(n_items):
        similar = [
            together[target, i] / (norm[target] * norm[i] + shrinkage) if together[target, i] else 0.0
            for i in range(n_items)
        ]
        similar[target] = 0.0
        # float32 as in the model, so that ties are the same ties
        nearest = sorted(range(n_items), key=lambda i: (-np.float32(similar[i]), i))[:neighbours]
        scores[:, target] = history[:, nearest] @ np.array(similar)[nearest]
    return scores


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([0.0, 2.5]), st.sampled_from([0.1, 0.6]))
def test_equals_the_plain_definition(seed, neighbours, shrinkage, density):
    source = np.random.default_rng(seed)
    # Weights without structure keep similarities apart, where rounding could decide who is nearer.
    weights = source.random(15).astype(np.float32)
    matrix = (source.random((15, 9)) < density).astype(float)
    matrix[0, 0] = 1
    history = (source.random((15, 9)) < 0.5).astype(float)
    model = ItemKNN(ItemKNNConfig(neighbours=neighbours, shrinkage=shrinkage))
    model.fit(log_of(matrix), 0, weights=weights)
    expected = plain_scores(matrix, weights.astype(float), neighbours, shrinkage, history)
    np.testing.assert_allclose(model.scores(np.arange(15), log_of(history)), expected, rtol=1e-4, atol=1e-6)


def test_equal_similarities_keep_the_lower_item():
    model = ItemKNN(ItemKNNConfig(neighbours=2))
    model.fit(log_of(np.ones((4, 5))), 0)
    assert model.neighbours.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]


def test_co_occurrence_does_not_depend_on_its_blocks():
    source = np.random.default_rng(3)
    matrix = source.random((20, 13)) < 0.4
    weights = source.random(20).astype(np.float32)
    pairs = Positives.of(log_of(matrix), weights)
    whole = np.concatenate([values for _, values in cooccurrence(pairs)])
    np.testing.assert_array_equal(whole, np.concatenate([v for _, v in cooccurrence(pairs, block=3)]))
    np.testing.assert_allclose(whole, (matrix * weights[:, None]).T @ matrix, rtol=1e-6)


@pytest.mark.parametrize("index", [-2, 5])
def test_a_stored_neighbour_that_is_no_item_is_refused(index):
    state = {"neighbours": torch.full((5, 2), index, dtype=torch.int32), "similarities": torch.zeros(5, 2)}
    with pytest.raises(CheckpointError, match="neighbours"):
        ItemKNN(ItemKNNConfig(neighbours=2)).load(state, 3, 5)
