"""Training pairs and negatives, drawn by whole arrays: an epoch's sampling costs a few per cent of the epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import DataError
from ..datasets.log import Float32, Int64, InteractionLog


@dataclass(frozen=True, eq=False)
class Positives:
    """The unique (user, item) pairs a model is trained on, sorted by user, then item.

    Attributes:
        user: int64 [P].
        item: int64 [P].
        n_users: U.
        n_items: I.
        weight: float32 [P], the weight of the pair's user, or None for all ones.
    """

    user: Int64
    item: Int64
    n_users: int
    n_items: int
    weight: Float32 | None = None

    @classmethod
    def of(cls, log: InteractionLog, weights: NDArray[np.float32] | None = None) -> Positives:
        """The pairs of a log.

        A user of weight zero is removed: none of its pairs is kept, so nothing is learnt from it, neither as
        a positive nor through the popularity that negatives are drawn by.

        Args:
            log: events; repeats of a pair count once.
            weights: float32 [U], none negative, or None.

        Raises:
            DataError: weights of the wrong length, negative or not finite; or no pair is left.
        """
        pairs = log.matrix().tocoo()
        user, item = pairs.row.astype(np.int64), pairs.col.astype(np.int64)
        weight = None
        if weights is not None:
            weight = _checked(weights, log.n_users)[user]
            kept = weight > 0
            user, item, weight = user[kept], item[kept], weight[kept]
        if len(user) == 0:
            raise DataError("no interaction to train on: the log is empty, or every user has weight zero")
        return cls(user, item, log.n_users, log.n_items, weight)

    def __len__(self) -> int:
        """P, the number of pairs."""
        return len(self.user)

    @cached_property
    def offsets(self) -> Int64:
        """Where each user's pairs start, int64 [U + 1]."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.user, minlength=self.n_users))])

    @cached_property
    def _gaps(self) -> Int64:
        """For each pair how many unseen items of the user precede it, keyed by user: sorted, int64 [P]."""
        place = np.arange(len(self)) - self.offsets[self.user]
        return self.user * (self.n_items + 1) + self.item - place

    def order(self, rng: np.random.Generator) -> Int64:
        """A random order of the pairs, int64 [P].

        It sorts random keys instead of permuting: with injected users behind the genuine ones, the genuine
        pairs come in the same relative order as without them (common random numbers).
        """
        return np.argsort(rng.random(len(self)), kind="stable")

    def unseen(self, rng: np.random.Generator, users: Int64) -> Int64:
        """One uniform item that the user has not seen, for each of `users` [N]: int64 [N], exact.

        The r-th unseen item is r plus the number of seen items before it, which one binary search finds: no
        draw is ever rejected. Users who have seen every item get a uniform item.
        """
        seen = np.diff(self.offsets)[users]
        free = self.n_items - seen
        chance = rng.random(len(users))
        rank = (chance * np.where(free > 0, free, self.n_items)).astype(np.int64)
        before = np.searchsorted(self._gaps, users * (self.n_items + 1) + rank, side="right")
        return np.where(free > 0, rank + before - self.offsets[users], rank)

    def shared(self, rng: np.random.Generator, shape: tuple[int, ...], exponent: float) -> Int64:
        """Items drawn in proportion to (pairs of the item) ** exponent, int64 of this shape.

        By inversion of the cumulative share, so that a few injected pairs change few of the draws.

        Args:
            rng: draws.
            shape: of the answer.
            exponent: 0 draws uniformly from the whole catalogue, 1 by popularity.
        """
        share = np.cumsum(np.bincount(self.item, minlength=self.n_items) ** exponent)
        return np.searchsorted(share / share[-1], rng.random(shape), side="right")


def blocks(order: Int64, largest: int) -> Iterator[Int64]:
    """Cut an order into the fewest batches of at most `largest`, all of nearly the same size."""
    yield from np.array_split(order, max(1, -(-len(order) // largest)))


def collisions(items: Int64, drawn: Int64) -> Int64:
    """Where shared negatives are a pair's own positive: (pair, negative) int64 [2, n], sorted by pair.

    Args:
        items: the positives, int64 [B].
        drawn: the negatives, int64 [N], repeats allowed.
    """
    order = np.argsort(drawn, kind="stable")
    ordered = drawn[order]
    start = np.searchsorted(ordered, items, side="left")
    count = np.searchsorted(ordered, items, side="right") - start
    pair = np.repeat(np.arange(len(items)), count)
    within = np.arange(len(pair)) - np.repeat(np.cumsum(count) - count, count)
    return np.stack([pair, order[np.repeat(start, count) + within]])


def _checked(weights: NDArray[np.float32], n_users: int) -> Float32:
    checked: Float32 = np.asarray(weights, np.float32)
    if checked.shape != (n_users,):
        raise DataError(f"user weights have shape {checked.shape}, the log has {n_users:,} users")
    if not np.isfinite(checked).all() or checked.min(initial=0.0) < 0:
        raise DataError("user weights must be finite and not negative")
    return checked
