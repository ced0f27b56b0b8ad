"""Ranking equals its plain definition, whatever the block sizes."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.datasets.errors import InputError, RecauditError
from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.ranking import rank


@dataclass
class Table:
    """A recommender that is its own table of scores."""

    table: np.ndarray

    @property
    def n_users(self):
        return len(self.table)

    @property
    def n_items(self):
        return self.table.shape[1]

    def scores(self, users, history):
        return self.table[users]


@dataclass
class Factors(Table):
    """The same with factors; `scores` must not be needed."""

    factors: tuple[np.ndarray, np.ndarray]

    def embeddings(self):
        return self.factors

    def scores(self, users, history):
        raise AssertionError("embeddings were to be used")


def log_of(matrix):
    user, item = np.nonzero(matrix)
    ids = lambda n: np.array([str(i) for i in range(n)])  # noqa: E731
    return InteractionLog(user.astype(np.int32), item.astype(np.int32), *map(ids, matrix.shape))


def plain_list(scores, consumed, k):
    left = [i for i in range(len(scores)) if not consumed[i]]
    best = sorted(left, key=lambda i: (-scores[i], i))[:k]
    return best + [-1] * (k - len(best))


def plain_rank(scores, consumed, item):
    if consumed[item]:
        return np.nan
    rivals = [s for i, s in enumerate(scores) if not consumed[i] and i != item]
    return 1 + sum(s > scores[item] for s in rivals) + sum(s == scores[item] for s in rivals) / 2


@st.composite
def problems(draw):
    n_users, n_items = draw(st.integers(1, 9)), draw(st.integers(1, 400))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([1, 3, 1000]))  # few distinct scores: many ties
    left = source.integers(-spread, spread + 1, (n_users, 2)).astype(np.float32)
    right = source.integers(-spread, spread + 1, (n_items, 2)).astype(np.float32)
    consumed = source.random((n_users, n_items)) < draw(st.sampled_from([0.0, 0.1, 0.95, 1.0]))
    watch = source.integers(0, n_items, draw(st.integers(0, 4))).astype(np.int32)
    shape = dict(user_block=draw(st.integers(1, 10)), item_tile=draw(st.sampled_from([1, 7, 150, 2048])))
    return left, right, consumed, draw(st.integers(0, 12)), watch, shape


@settings(max_examples=150, deadline=None)
@given(problems())
def test_equals_the_plain_definition_for_any_blocks(problem):
    left, right, consumed, k, watch, shape = problem
    table = left @ right.T
    for model in (Table(table), Factors(table, (left, right))):
        before = table.copy()
        result = rank(model, None, log_of(consumed), k, watch=watch, **shape)
        expected = [plain_list(s, c, k) for s, c in zip(table, consumed, strict=True)]
        assert result.slate.items.tolist() == expected
        listed = np.take_along_axis(table, np.maximum(result.slate.items, 0), 1)
        listed[result.slate.items < 0] = -np.inf
        np.testing.assert_array_equal(result.slate.scores, listed)
        ranks = [[plain_rank(s, c, t) for s, c in zip(table, consumed, strict=True)] for t in watch]
        np.testing.assert_array_equal(result.watched, np.reshape(ranks, (len(watch), len(left))))
        np.testing.assert_array_equal(table, before)


def test_some_users_in_their_order_and_a_mask_of_its_own():
    table = np.arange(20, dtype=np.float32).reshape(4, 5)
    consumed = np.zeros((4, 5), bool)
    consumed[3, 4] = True
    history = log_of(np.zeros((4, 5), bool))
    result = rank(Table(table), np.array([3, 0]), history, 2, mask=log_of(consumed), watch=np.int32([4]))
    assert result.users.tolist() == [3, 0]
    assert result.slate.items.tolist() == [[3, 2], [4, 3]]
    np.testing.assert_array_equal(result.watched, [[np.nan, 1]])
    assert result.slate.items.dtype == np.int32 and result.watched.dtype == np.float32


def test_only_genuine_users_are_ranked():
    result = rank(Table(np.ones((5, 3), np.float32)), None, log_of(np.zeros((5, 3), bool)), 1, n_users=3)
    assert result.users.tolist() == [0, 1, 2]


def test_infinite_scores_are_the_extremes_and_signed_zeros_tie():
    table = np.float32([[-np.inf, 0.0, np.inf, -0.0]])
    result = rank(Table(table), None, log_of(np.zeros((1, 4), bool)), 4, watch=np.arange(4, dtype=np.int32))
    assert result.slate.items.tolist() == [[2, 1, 3, 0]]
    assert result.watched[:, 0].tolist() == [4, 2.5, 1, 2.5]


def test_read_only_and_float64_scores_are_fine():
    class Constant(Table):
        def scores(self, users, history):
            return np.broadcast_to(np.arange(self.n_items, dtype=float), (len(users), self.n_items))

    result = rank(Constant(np.ones((2, 3))), None, log_of(np.eye(2, 3) > 0), 2)
    assert result.slate.items.tolist() == [[2, 1], [2, 0]]


@pytest.mark.parametrize(
    "model",
    [
        Table(np.float32([[1, np.nan, 2]])),
        Factors(np.zeros((1, 3)), (np.float32([[np.nan]]), np.ones((3, 1), np.float32))),
        Factors(np.zeros((1, 3)), (np.float32([[1e30]]), np.float32([[1e30]] * 3))),
    ],
)
def test_scores_that_are_no_numbers_name_the_model(model):
    with pytest.raises(RecauditError, match=type(model).__name__):
        rank(model, None, log_of(np.zeros((1, 3), bool)), 1)


def test_wrong_users_items_and_shapes_are_refused():
    model, history = Table(np.ones((2, 3), np.float32)), log_of(np.zeros((2, 3), bool))
    with pytest.raises(InputError, match="user index"):
        rank(model, np.array([2]), history, 1)
    with pytest.raises(InputError, match="watched item"):
        rank(model, None, history, 1, watch=np.int32([3]))
    with pytest.raises(InputError, match="3"):
        rank(model, None, log_of(np.zeros((2, 4), bool)), 1)
    with pytest.raises(InputError, match="negative"):
        rank(model, None, history, -1)
    model.scores = lambda users, history: np.ones((1, 3), np.float32)
    with pytest.raises(RecauditError, match="shape"):
        rank(model, None, history, 1)
