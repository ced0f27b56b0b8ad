"""Partitions: by whole users or pairs, of bounded size, and equal to the slow definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.unlearn.exact.partition import (
    assigned,
    balanced_interactions,
    balanced_users,
    random_interactions,
    random_users,
)
from recaudit.unlearn.request import Request

LOG = generate(users=60, items=40, events=900, seed=0)


def greedy(distance: np.ndarray, capacity: int) -> np.ndarray:
    """The definition: one walk through all pairs by ascending distance."""
    samples, count = distance.shape
    found = np.full(samples, -1)
    room = np.full(count, capacity)
    for place in np.argsort(distance, axis=None, kind="stable"):
        sample, k = divmod(int(place), count)
        if found[sample] < 0 and room[k] > 0:
            found[sample] = k
            room[k] -= 1
    return found


@pytest.mark.parametrize("seed", range(20))
def test_assignment_equals_one_walk_through_all_pairs(seed: int) -> None:
    draw = np.random.default_rng(seed)
    samples, count = int(draw.integers(1, 40)), int(draw.integers(1, 7))
    distance = draw.random((samples, count))
    if seed % 2:  # many ties
        distance = np.round(distance * 3)
    capacity = math.ceil(samples / count) + int(draw.integers(0, 3))
    np.testing.assert_array_equal(assigned(distance, capacity), greedy(distance, capacity))


def test_a_full_centroid_sends_the_farther_samples_to_the_next_one() -> None:
    distance = np.array([[3.0, 10.0], [1.0, 10.0], [2.0, 10.0]])
    np.testing.assert_array_equal(assigned(distance, 2), [1, 0, 0])
    with pytest.raises(InputError, match="cannot hold"):
        assigned(distance, 1)


def events(user: list[int], item: list[int], users: int, items: int) -> InteractionLog:
    ids = [np.array([str(n) for n in range(count)]) for count in (users, items)]
    return InteractionLog(np.array(user, np.int32), np.array(item, np.int32), *ids)


def test_planted_groups_of_users_are_found() -> None:
    """Groups lie apart in one dimension only: a centroid that mixed dimensions would lose them."""
    draw = np.random.default_rng(3)
    group = np.arange(90) % 3
    vectors = draw.normal(0, 0.1, (90, 2)).astype(np.float32)
    vectors[:, 1] += 5.0 * group
    log = events(list(range(90)), [0] * 90, 90, 1)
    found = [balanced_users(log, vectors, 3, seed, rounds=30) for seed in range(5)]
    spread = min(sum(np.var(vectors[part == k], 0).sum() for k in range(3)) for part in found)
    assert spread < 0.2  # 3 groups x 2 dimensions x 0.01; a mixed shard alone has 6
    whole = min(sum(len(np.unique(group[part == k])) for k in range(3)) for part in found)
    assert whole == 3


def test_balanced_shards_stay_below_their_bound() -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (60, 4)).astype(np.float32)
    vectors[:40] *= 0.01  # most users in one place
    found = balanced_users(LOG, vectors, 5, 0)
    owner = np.full(60, -1)
    owner[LOG.user] = found
    np.testing.assert_array_equal(owner[LOG.user], found)  # whole users
    present = np.unique(LOG.user)
    assert np.bincount(owner[present]).max() <= math.ceil(1.2 * len(present) / 5)
    pairs = balanced_interactions(LOG, vectors, vectors[:40], 5, 0)
    assert np.bincount(pairs, minlength=5).max() <= math.ceil(1.2 * len(LOG) / 5)
    assert len(np.unique(pairs[LOG.user == np.argmax(LOG.user_counts)])) > 1  # users may be divided


def test_interactions_follow_both_ends() -> None:
    """Four blocks of user side x item side. A match at one end alone makes the product small too, hence the noise."""
    draw = np.random.default_rng(0)
    side = np.array([-1.0] * 10 + [1.0] * 10)
    users, items = (side[:, None] + draw.normal(0, 0.05, (20, 2))).astype(np.float32), np.zeros((20, 2), np.float32)
    items[:, 1] = side + draw.normal(0, 0.05, 20)
    user, item = (part.ravel() for part in np.meshgrid(np.arange(20), np.arange(20), indexing="ij"))
    log = events(user.tolist(), item.tolist(), 20, 20)
    kind = (side[user] > 0) * 2 + (side[item] > 0)

    def purity(seed: int) -> float:
        found = balanced_interactions(log, users, items, 4, seed, rounds=30)
        return float(sum(np.bincount(kind[found == k]).max() for k in range(4)) / len(log))

    assert max(purity(seed) for seed in range(8)) == 1.0


@pytest.mark.parametrize("shards", [1, 3, 100])
def test_edges(shards: int) -> None:
    vectors = np.random.default_rng(0).normal(0, 1, (60, 4)).astype(np.float32)
    for found in (
        random_users(LOG, shards, 0),
        random_interactions(LOG, shards, 0),
        balanced_users(LOG, vectors, shards, 0),
        balanced_interactions(LOG, vectors, vectors, shards, 0),
    ):
        assert found.shape == (len(LOG),)
        assert 0 <= found.min() <= found.max() < shards
    one = LOG.take(np.array([5]))
    assert balanced_users(one, vectors, shards, 0).tolist() == [0]
    with pytest.raises(InputError):
        balanced_users(LOG.take(np.empty(0, np.int64)), vectors, shards, 0)


def test_random_partitions_do_not_depend_on_what_is_taken_back() -> None:
    request = Request.of(LOG, "", rows=np.random.default_rng(2).choice(len(LOG), 300, replace=False))
    left = ~request.mask(LOG)
    for deal in (random_users, random_interactions):
        np.testing.assert_array_equal(deal(LOG, 4, 9)[left], deal(request.retained(LOG), 4, 9))
        assert (deal(LOG, 4, 9) != deal(LOG, 4, 10)).any()


def test_random_partitions_are_even() -> None:
    log = generate(users=500, items=200, events=20_000, seed=1)
    owner = np.full(500, -1)
    owner[log.user] = random_users(log, 10, 0)
    assert np.bincount(owner[owner >= 0]).max() <= 50
    count = np.bincount(random_interactions(log, 10, 0), minlength=10)
    assert ((count - 2000) ** 2 / 2000).sum() < 27.9  # chi-square, 9 degrees of freedom, 0.1 %
    # neighbouring items of one user do not share a shard more often than by chance
    found = random_interactions(log, 10, 0)
    order = np.lexsort((log.item, log.user))
    same = float((found[order][1:] == found[order][:-1]).mean())
    assert abs(same - 0.1) < 0.01


def test_repeats_of_a_pair_share_a_shard() -> None:
    twice = LOG.plus(LOG)
    vectors = np.random.default_rng(0).normal(0, 1, (60, 4)).astype(np.float32)
    for found in (random_interactions(twice, 7, 0), balanced_interactions(twice, vectors, vectors, 7, 0)):
        np.testing.assert_array_equal(found[: len(LOG)], found[len(LOG) :])
