"""What stood before events in their users' sequences: models that read histories in order are asked from there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..datasets.log import Int64, InteractionLog

LONGEST = 1_000
"""Events before a place that are kept, the last ones: more than sequence models read."""


def places(log: InteractionLog, rows: Int64) -> Int64:
    """How many events of the same user come before each of these, int64 [N]; 0 for a user's first.

    Args:
        log: events.
        rows: int64 [N], indices of events.
    """
    order = log.chronological()
    place = np.empty(len(log), np.int64)
    place[order] = np.arange(len(log))
    return place[rows] - _offsets(log)[log.user[rows]]


def following(log: InteractionLog, rows: Int64) -> Int64:
    """Those of the events that come after another one of their user; all if none does."""
    after = places(log, rows) > 0
    return rows[after] if after.any() else rows


def prefixes(log: InteractionLog, user: Int64, count: Int64) -> InteractionLog:
    """A log with a user for each place, who has what stood before it: the first events of its user, in time order.

    Args:
        log: events.
        user: int64 [P], whose sequence.
        count: int64 [P], how many of its events stood before the place; of these the last 1,000 are kept.

    Returns:
        P users over the same items, without times or values: its events stand in order.
    """
    offsets, items = _offsets(log), log.item[log.chronological()]
    length = np.minimum(count, LONGEST)
    stop = offsets[user] + count
    row = np.repeat(np.arange(len(user)), length)
    at = np.arange(len(row)) + np.repeat(stop - np.cumsum(length), length)
    return replace(
        log, user=row.astype(np.int32), item=items[at], user_ids=np.arange(len(user)).astype(np.str_),
        value=None, time=None, users=None,
    )  # fmt: skip


def _offsets(log: InteractionLog) -> Int64:
    offsets = np.zeros(log.n_users + 1, np.int64)
    np.cumsum(log.user_counts, out=offsets[1:])
    return offsets
