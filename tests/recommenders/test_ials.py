"""iALS solves its normal equations, and its loss falls."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.ials import IALS, IALSConfig, solve
from recaudit.recommenders.ranking import rank


def log_of(matrix):
    user, item = np.nonzero(matrix)
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *map(ids, matrix.shape))


def make_matrix(n_users=60, n_items=25, seed=0):
    source = np.random.default_rng(seed)
    return source.random((n_users, n_items)) < np.linspace(0.05, 0.6, n_items)


def loss(matrix, weights, users, items, config):
    """The objective of the class docstring, dense, in float64."""
    observed, weights = matrix.astype(float), weights.astype(float)
    scores = users.astype(float) @ items.astype(float).T
    of_users = config.regularisation * (observed.sum(1) + config.unobserved * len(items)) ** config.exponent
    mass = (observed * weights[:, None]).sum(0) + config.unobserved * weights.sum()
    of_items = config.regularisation * mass**config.exponent
    per_user = (observed * (scores - 1) ** 2 + config.unobserved * scores**2).sum(1)
    per_user += of_users * (users**2).sum(1)
    return weights @ per_user + of_items @ (items**2).sum(1)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_solve_equals_plain_normal_equations(seed, weighted):
    source = np.random.default_rng(seed)
    rows, columns, dim = 30, 40, 5
    dense = (source.random((rows, columns)) < source.random((rows, 1))).astype(np.float32)
    dense[0] = 0
    if weighted:
        dense *= source.random(columns).astype(np.float32) + np.float32(0.1)
    vectors = source.normal(size=(columns, dim)).astype(np.float32)
    gram = (0.3 * vectors.T @ vectors).astype(np.float32)
    regularisation = (source.random(rows) + 0.1).astype(np.float32)
    found = solve(sparse.csr_matrix(dense), torch.from_numpy(vectors), torch.from_numpy(gram), regularisation)
    for row, own, solution in zip(dense.astype(float), regularisation, found.numpy(), strict=True):
        system = (vectors.T * row) @ vectors + gram + own * np.eye(dim)
        np.testing.assert_allclose(solution, np.linalg.solve(system, vectors.T @ row), rtol=2e-3, atol=2e-4)


def test_long_and_short_rows_fall_into_groups_and_none_is_lost():
    source = np.random.default_rng(0)
    rows = 3_000
    dense = source.random((rows, 300)) < source.choice([0.004, 0.05, 0.9], rows)[:, None]
    dense[::7] = False
    vectors = source.normal(size=(300, 3)).astype(np.float32)
    ones = np.ones(rows, np.float32)
    found = solve(sparse.csr_matrix(dense.astype(np.float32)), torch.from_numpy(vectors), torch.eye(3), ones)
    systems = np.einsum("rc,ci,cj->rij", dense.astype(float), vectors, vectors) + 2 * np.eye(3)
    expected = np.linalg.solve(systems, (dense.astype(float) @ vectors)[..., None])[..., 0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_falls_to_a_stationary_point(weighted):
    matrix = make_matrix()
    weights = np.random.default_rng(1).random(60).astype(np.float32) if weighted else np.ones(60, np.float32)
    config = IALSConfig(dim=6)
    values = []
    for sweeps in (0, 1, 2, 4, 60):
        model = IALS(config)
        model.fit(log_of(matrix), 0, weights=weights, epochs=sweeps)
        assert model.epochs == sweeps
        values.append(loss(matrix, weights, *model.embeddings(), config))
    assert all(later < earlier for earlier, later in pairwise(values))
    users, items = (torch.tensor(part, dtype=torch.float64) for part in model.embeddings())
    step = 1e-3
    for part in (users, items):
        for sign in (step, -step):
            moved = part.clone()
            moved[0, 0] += sign
            pair = (moved, items) if part is users else (users, moved)
            assert loss(matrix, weights, *(p.numpy() for p in pair), config) > values[-1] - 1e-5


def test_scores_are_those_of_the_embeddings():
    log = log_of(make_matrix())
    model = IALS(IALSConfig(dim=6))
    model.fit(log, 3)
    users, items = model.embeddings()
    np.testing.assert_allclose(model.scores(np.array([4, 1]), log), users[[4, 1]] @ items.T, rtol=1e-5)
    assert rank(model, None, log, 5).slate.items.shape == (60, 5)


def test_progress_is_reported_once_a_sweep():
    steps = []
    model = IALS(IALSConfig(dim=2, sweeps=3))
    model.fit(log_of(make_matrix()), 0, report=lambda step, steps_, text: steps.append((step, steps_)))
    assert steps == [(1, 3), (2, 3), (3, 3)] and model.epochs == 3
