"""Users' histories as windows and padded batches, made by whole arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import DataError
from ..datasets.log import Float32, Int64, InteractionLog

# Ranking asks for scores block by block with one history: it is sorted once, for as long as that log lives.
_SORTED: WeakKeyDictionary[InteractionLog, tuple[Int64, Int64]] = WeakKeyDictionary()


def ordered(history: InteractionLog) -> tuple[Int64, Int64]:
    """`history.sequences()`, kept while the log lives: offsets int64 [U + 1], items int64 [E]."""
    found = _SORTED.get(history)
    if found is None:
        offsets, items = history.sequences()
        found = _SORTED[history] = (offsets, items.astype(np.int64))
    return found


def padded(items: Int64, start: Int64, length: Int64) -> tuple[Int64, NDArray[np.bool_]]:
    """Runs of `items` as rows, filled up on the right with item 0.

    Args:
        items: int64 [E].
        start: where each run begins, int64 [B].
        length: its length, at least 1, int64 [B].

    Returns:
        int64 [B, L] with L the largest length, and bool [B, L], true where a row has an item.
    """
    place = np.arange(length.max(initial=1))
    valid = place < length[:, None]
    return np.where(valid, items[np.where(valid, start[:, None] + place, 0)], 0), valid


@dataclass(frozen=True, eq=False)
class Windows:
    """Training windows: each a run of inputs of one user, whose targets are the same run one step later.

    A user with n events has n - 1 (input, target) pairs. They are cut into windows of at most `max_length` that do
    not overlap, counted from the end, so that the last window is the one that scoring reads; a pair near the
    beginning of a window sees less of the past than it could.

    Attributes:
        items: int64 [E], all sequences one after the other.
        start: int64 [W], first input.
        length: int64 [W], number of pairs, 1..max_length.
        user: int64 [W], whose window it is.
        weight: float32 [W], weight of the window's user, or None for all ones.
    """

    items: Int64
    start: Int64
    length: Int64
    user: Int64
    weight: Float32 | None = None

    @classmethod
    def of(cls, log: InteractionLog, max_length: int, weights: NDArray[np.float32] | None = None) -> Windows:
        """The windows of a log, by user and time.

        A user of weight zero has no window: nothing is learnt from it, neither as a sequence nor through the
        popularity that negatives are drawn by.

        Raises:
            DataError: weights of the wrong length, negative or not finite; or no pair is left.
        """
        offsets, items = ordered(log)
        pairs = np.maximum(np.diff(offsets) - 1, 0)
        weight = None if weights is None else _checked(weights, log.n_users)
        if weight is not None:
            pairs[weight == 0] = 0
        count = -(-pairs // max_length)
        user = np.repeat(np.arange(log.n_users), count)
        if not len(user):
            raise DataError("no sequence to train on: no user (of weight above zero) has two events")
        before_end = np.cumsum(count)[user] - 1 - np.arange(len(user))
        stop = offsets[user] + pairs[user] - before_end * max_length
        start = np.maximum(offsets[user], stop - max_length)
        return cls(items, start, stop - start, user, None if weight is None else weight[user])

    def targets(self, rows: Int64) -> Int64:
        """Targets of these windows, one after the other, int64 [T]."""
        after, valid = padded(self.items, self.start[rows] + 1, self.length[rows])
        return after[valid]

    def popularity(self, n_items: int) -> NDArray[np.float64]:
        """How often each item is a target, float64 [I]."""
        ends = np.zeros(len(self.items) + 1, np.int64)
        np.add.at(ends, self.start + 1, 1)
        np.add.at(ends, self.start + self.length + 1, -1)
        used = np.cumsum(ends)[:-1] > 0
        return np.bincount(self.items[used], minlength=n_items).astype(np.float64)

    def batches(self, rng: np.random.Generator, tokens: int, min_steps: int) -> Iterator[Int64]:
        """All windows, alike in length within a batch, batches in random order: indices int64 [B] each.

        Windows are sorted by length, at random among equals, and cut into batches of nearly the same number of
        pairs, about `tokens`, but into `min_steps` batches at least (as far as there are windows).
        """
        by_key, by_batch = rng.spawn(2)
        order = np.lexsort((by_key.random(len(self.start)), self.length))
        filled = np.cumsum(self.length[order])
        steps = min(len(order), max(min_steps, -(-int(filled[-1]) // tokens)))
        cuts = np.searchsorted(filled, filled[-1] * np.arange(1, steps) / steps) + 1
        parts = [part for part in np.split(order, cuts) if len(part)]
        for number in by_batch.permutation(len(parts)):
            yield parts[number]


def _checked(weights: NDArray[np.float32], n_users: int) -> Float32:
    checked: Float32 = np.asarray(weights, np.float32)
    if checked.shape != (n_users,):
        raise DataError(f"user weights have shape {checked.shape}, the log has {n_users:,} users")
    if not np.isfinite(checked).all() or checked.min(initial=0.0) < 0:
        raise DataError("user weights must be finite and not negative")
    return checked
