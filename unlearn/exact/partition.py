"""Which shard each event belongs to: at random, or by balanced clusters of users or interactions.

All partitions are by whole users or by whole pairs: repeats of a pair share a shard, as they are forgotten together.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ...datasets.errors import InputError
from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import derive, rng

Float64 = NDArray[np.float64]


def random_users(log: InteractionLog, shards: int, seed: int) -> Int64:
    """Users dealt out at random, equally many to each shard (to within one): the shard of each event, int64 [E].

    A user's shard follows from the seed and the number of users alone: what others did, or took back, has no say.

    Args:
        log: whose events.
        shards: S, at least 1.
        seed: of the deal.
    """
    return (rng(seed, "partition", "users").permutation(log.n_users) % shards)[log.user]


def random_interactions(log: InteractionLog, shards: int, seed: int) -> Int64:
    """Pairs scattered at random, each by itself: the shard of each event, int64 [E].

    The shard is a hash of the seed and the pair. Were equal parts dealt out instead, a pair's shard would depend on
    which other pairs there are, and a retain set would be dealt out in another way.

    Args:
        log: whose events.
        shards: S, at least 1.
        seed: of the hash.

    Reference: Steele, Lea and Flood 2014, Fast Splittable Pseudorandom Number Generators, OOPSLA (the mixing
    function, constants of its variant 13 by Stafford).
    """
    pair = log.user.astype(np.uint64) * np.uint64(log.n_items) + log.item.astype(np.uint64)
    for key in (derive(seed, "partition", "first"), derive(seed, "partition", "second")):
        pair = _mixed(pair + np.uint64(key))
    return (pair % np.uint64(shards)).astype(np.int64)


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """A permutation of the 64-bit numbers that spreads each bit over all; products wrap around."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


def balanced_users(
    log: InteractionLog, vectors: Float32, shards: int, seed: int, *, slack: float = 1.2, rounds: int = 10
) -> Int64:
    """Users clustered by their vectors into shards of bounded size: the shard of each event, int64 [E].

    The distance is |p_u - c_k|^2. Users without events are nobody's.

    Args:
        log: whose events.
        vectors: float32 [U, d], of a model that was trained before.
        shards: S, at least 1; at most as many as there are users with events are used.
        seed: of the first centroids.
        slack: a shard closes at slack * (users with events) / S, rounded up; at least 1.
        rounds: assignments at most; fewer when two in a row are equal.

    Raises:
        InputError: there are no events, or slack is below 1.

    Reference: Chen et al. 2022, Recommendation Unlearning, WWW, section 3.2 (user-based balanced partition).
    """
    users = np.flatnonzero(log.user_counts)
    found = np.zeros(log.n_users, np.int64)
    found[users] = _clustered([vectors], [users], shards, seed, slack, rounds)
    return found[log.user]


def balanced_interactions(
    log: InteractionLog, users: Float32, items: Float32, shards: int, seed: int, *, slack: float = 1.2, rounds: int = 10
) -> Int64:
    """Pairs clustered by the vectors of both ends into shards of bounded size: the shard of each event, int64 [E].

    The distance is |p_u - c^u_k|^2 |q_i - c^i_k|^2.

    Args:
        log: whose events.
        users: float32 [U, d].
        items: float32 [I, d].
        shards: as in `balanced_users`.
        seed: as in `balanced_users`.
        slack: a shard closes at slack * pairs / S, rounded up.
        rounds: as in `balanced_users`.

    Raises:
        InputError: as `balanced_users`.

    Reference: Chen et al. 2022, Recommendation Unlearning, WWW, section 3.2 (interaction-based balanced partition).
    """
    key, place = np.unique(log.pair_keys, return_inverse=True)
    ends = [key // max(1, log.n_items), key % max(1, log.n_items)]
    return _clustered([users, items], ends, shards, seed, slack, rounds)[place]


def assigned(distance: Float64, capacity: int) -> Int64:
    """Samples to centroids in ascending order of distance, over all pairs, a centroid closing when it is full.

    Equal to walking once through all (sample, centroid) pairs by ascending distance (ties: lower sample, then lower
    centroid, first), in as many sorts as centroids close: until one closes, a sample's first pair that counts is that
    with its nearest open centroid.

    Args:
        distance: float64 [N, S], not NaN.
        capacity: samples a centroid takes, with S * capacity >= N.

    Returns:
        int64 [N].

    Raises:
        InputError: the centroids have no room for all samples.
    """
    samples, count = distance.shape
    if count * capacity < samples:
        raise InputError(f"{count} shards of at most {capacity:,} cannot hold {samples:,} samples; raise slack to 1")
    found = np.empty(samples, np.int64)
    room = np.full(count, capacity, np.int64)
    left = np.arange(samples)
    is_open = np.ones(count, np.bool_)
    while len(left):
        offered = np.where(is_open, distance[left], np.inf)
        nearest = offered.argmin(1)
        order = np.argsort(offered[np.arange(len(left)), nearest], kind="stable")
        wanted = nearest[order]
        # Where each centroid's last free place is taken; the first of these ends the round.
        ends = [np.flatnonzero(wanted == k)[room[k] - 1 : room[k]] for k in np.flatnonzero(is_open)]
        stop = min((int(end[0]) + 1 for end in ends if len(end)), default=len(left))
        taken = order[:stop]
        found[left[taken]] = nearest[taken]
        room -= np.bincount(nearest[taken], minlength=count)
        is_open = room > 0
        left = np.delete(left, taken)
    return found


def _clustered(tables: list[Float32], ends: list[Int64], shards: int, seed: int, slack: float, rounds: int) -> Int64:
    """Assign and move the centroids in turn; a sample is a row of each table, and distances multiply: int64 [N].

    A centroid is the mean of its samples' vectors, dimension by dimension; without samples it stays.
    """
    samples = len(ends[0])
    if samples == 0 or slack < 1:
        raise InputError(f"a partition needs events and slack of at least 1, got {samples} and {slack:g}")
    count = min(shards, samples)
    capacity = math.ceil(slack * samples / count - 1e-9)
    first = rng(seed, "partition", "centroids").choice(samples, count, replace=False)
    wide = [table.astype(np.float64) for table in tables]
    centroids = [table[end[first]] for table, end in zip(wide, ends, strict=True)]
    found = np.full(samples, -1, np.int64)
    for _ in range(max(1, rounds)):
        distance = np.ones((samples, count))
        for table, end, centroid in zip(wide, ends, centroids, strict=True):
            distance *= _squared(table, centroid)[end]
        before, found = found, assigned(distance, capacity)
        if np.array_equal(before, found):
            break
        held = np.bincount(found, minlength=count)
        for table, end, centroid in zip(wide, ends, centroids, strict=True):
            shape = (count, len(table))
            counts = sparse.csr_matrix((np.ones(samples), (found, end)), shape=shape)
            sums = np.asarray(counts @ table)
            centroid[held > 0] = sums[held > 0] / held[held > 0, None]
    return found


def _squared(table: Float64, centroids: Float64) -> Float64:
    """Squared distances, float64 [N, S]; sums in one order whatever the machine, since assignments hang on them."""
    return np.stack([((table - centroid) ** 2).sum(1) for centroid in centroids], 1)
