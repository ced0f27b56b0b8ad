"""Making a log smaller: k-core, a least rating, first events only; ids and side tables shrink with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .log import Int64, InteractionLog


def compact(log: InteractionLog) -> InteractionLog:
    """The log without the users and items that have no event; the others keep their order."""
    used_users, used_items = log.user_counts > 0, log.item_counts > 0
    if used_users.all() and used_items.all():
        return log
    return replace(
        log,
        user=(np.cumsum(used_users, dtype=np.int32) - np.int32(1))[log.user],
        item=(np.cumsum(used_items, dtype=np.int32) - np.int32(1))[log.item],
        user_ids=log.user_ids[used_users],
        item_ids=log.item_ids[used_items],
        users=None if log.users is None else log.users.loc[used_users].reset_index(drop=True),
        items=None if log.items is None else log.items.loc[used_items].reset_index(drop=True),
    )


def k_core(log: InteractionLog, users: int, items: int) -> InteractionLog:
    """Drop users with fewer than `users` events and items with fewer than `items`, until none is left to drop.

    The result is the largest such log; it does not depend on the order of dropping (Seidman, Network structure
    and minimum degree, Social Networks 5, 1983). Events are counted, repeats of a pair included.

    Raises:
        DataError: nothing would be left.
    """
    keep = np.ones(len(log), bool)
    while True:
        user_counts = np.bincount(log.user[keep], minlength=log.n_users)
        item_counts = np.bincount(log.item[keep], minlength=log.n_items)
        stays = keep & (user_counts[log.user] >= users) & (item_counts[log.item] >= items)
        if stays.sum() == keep.sum():
            break
        keep = stays
    return _kept(log, keep, f"a core of {users} events a user and {items} an item")


def min_rating(log: InteractionLog, threshold: float) -> InteractionLog:
    """Only the events rated at or above the threshold.

    Raises:
        DataError: the log has no ratings, or none is that high.
    """
    if log.value is None:
        raise DataError("a least rating needs ratings; this log has none")
    return _kept(log, log.value >= np.float32(threshold), f"a least rating of {threshold:g}")


def deduplicate(log: InteractionLog) -> tuple[InteractionLog, int]:
    """Only the first event, in file order, of every user-item pair; and how many were dropped."""
    _, first = np.unique(log.pair_keys, return_index=True)
    rows: Int64 = np.sort(first)
    return log.take(rows), len(log) - len(rows)


def _kept(log: InteractionLog, keep: NDArray[np.bool_], what: str) -> InteractionLog:
    if not keep.any():
        raise DataError(f"{what} leaves no events")
    return log if keep.all() and len(log) else compact(log.take(keep))
