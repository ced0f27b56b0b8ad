"""What every cheap baseline promises: weights, determinism, saved tensors, input left alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.ease import EASE
from recaudit.recommenders.ials import IALS
from recaudit.recommenders.knn import ItemKNN
from recaudit.recommenders.popularity import Popularity, RecentPopularity

MODELS = [Popularity, RecentPopularity, ItemKNN, EASE, IALS]
OPTIONS = {IALS: {"dim": 8}, ItemKNN: {"neighbours": 7}, EASE: {"regularisation": 5.0}}


def build(kind):
    return kind(kind.config_type(**OPTIONS.get(kind, {})))


def make_log(n_users=40, n_items=30, seed=0):
    source = np.random.default_rng(seed)
    user, item = np.nonzero(source.random((n_users, n_items)) < np.linspace(0.02, 0.5, n_items))
    order = source.permutation(len(user))
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    return InteractionLog(
        user[order].astype(np.int32),
        item[order].astype(np.int32),
        ids(n_users),
        ids(n_items),
        time=source.integers(0, 30 * 86_400, len(user)),
    )


def fitted(kind, log, **options):
    model = build(kind)
    model.fit(log, 7, **options)
    return model


@pytest.fixture(params=MODELS, ids=lambda kind: kind.name)
def kind(request):
    return request.param


def test_scores_have_the_shape_of_the_block(kind):
    log = make_log()
    model = fitted(kind, log)
    users = np.array([5, 0, 5])
    scores = model.scores(users, log)
    assert scores.shape == (3, log.n_items) and scores.dtype == np.float32
    assert (model.n_users, model.n_items) == (log.n_users, log.n_items)
    np.testing.assert_array_equal(scores[0], scores[2])
    assert scores[0].std() > 0


def test_same_seed_same_bytes_and_the_log_unchanged(kind):
    log, before = make_log(), make_log()
    first, second = fitted(kind, log).state(), fitted(kind, log).state()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert log.fingerprint == before.fingerprint
    reordered = log.take(np.random.default_rng(1).permutation(len(log)))
    third = fitted(kind, reordered).state()
    assert all(torch.equal(first[name], third[name]) for name in first)


def test_state_has_the_declared_shapes_and_comes_back(kind):
    log = make_log()
    model = fitted(kind, log)
    state, shapes = model.state(), model.shapes(log.n_users, log.n_items)
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in state.items()} == shapes
    assert all(tensor.is_contiguous() for tensor in state.values())
    again = build(kind)
    again.load({name: tensor.clone() for name, tensor in state.items()}, log.n_users, log.n_items)
    users = np.arange(log.n_users)
    np.testing.assert_array_equal(again.scores(users, log), model.scores(users, log))


def test_weight_two_is_the_user_twice(kind):
    log = make_log()
    own = log.user == 3
    twice = replace(
        log,
        user=np.concatenate([log.user, np.full(own.sum(), log.n_users, np.int32)]),
        item=np.concatenate([log.item, log.item[own]]),
        time=np.concatenate([log.time, log.time[own]]),
        user_ids=np.append(log.user_ids, "copy"),
    )
    weights = np.ones(log.n_users, np.float32)
    weights[3] = 2
    users = np.arange(log.n_users)
    expected = fitted(kind, twice).scores(users, twice)
    np.testing.assert_allclose(fitted(kind, log, weights=weights).scores(users, log), expected, rtol=2e-4, atol=2e-5)
    assert np.abs(fitted(kind, log).scores(users, log) - expected).max() > 1e-3


def test_weight_zero_removes_the_user(kind):
    log = make_log()
    gone = log.n_users - 1
    # As the last to act, it would also set the end of the recent days.
    log.time[log.user == gone] += 20 * 86_400
    fewer = replace(log.take(log.user != gone), user_ids=log.user_ids[:-1])
    weights = np.ones(log.n_users, np.float32)
    weights[gone] = 0
    users = np.arange(gone)
    expected = fitted(kind, fewer).scores(users, fewer)
    np.testing.assert_allclose(fitted(kind, log, weights=weights).scores(users, log), expected, rtol=2e-4, atol=2e-5)
    assert np.abs(fitted(kind, log).scores(users, log) - expected).max() > 1e-3


def test_unusable_input_is_refused(kind):
    log = make_log()
    for weights in (np.ones(3), np.full(log.n_users, -1.0), np.zeros(log.n_users)):
        with pytest.raises(DataError):
            fitted(kind, log, weights=weights.astype(np.float32))
    with pytest.raises(DataError):
        fitted(kind, log.take(np.zeros(len(log), bool)))


def test_users_and_items_without_events_do_no_harm(kind):
    log = make_log()
    part = log.take((log.user > 4) & (log.item > 4))
    scores = fitted(kind, part).scores(np.arange(log.n_users), part)
    assert np.isfinite(scores).all()
    if kind not in (Popularity, RecentPopularity):
        assert np.allclose(scores[:5], 0)
    assert np.allclose(scores[:, :5], 0, atol=1e-6)
