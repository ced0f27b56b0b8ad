"""A log with planted tastes: groups of users who like groups of items, on top of unequal popularity."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.split import Split


def make_log(user: ArrayLike, item: ArrayLike, n_users: int, n_items: int) -> InteractionLog:
    """A log of these events with numbers as ids."""
    return InteractionLog(
        np.asarray(user, np.int32),
        np.asarray(item, np.int32),
        np.arange(n_users).astype(np.str_),
        np.arange(n_items).astype(np.str_),
    )


def planted_split(
    seed: int = 0, n_users: int = 200, n_items: int = 160, groups: int = 4, loyalty: float = 0.97
) -> Split:
    """Train, validation and test parts of about 16, 2 and 2 items a user.

    A user of group g takes an item of group g with probability `loyalty`, else any item; within a group popularity
    falls as 1 / rank, so that a popularity list is good but knowing the groups is better.
    """
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.sqrt(1 + np.arange(n_items) // groups)
    parts: list[list[tuple[int, int]]] = [[], [], []]
    for user in range(n_users):
        own = np.arange(n_items) % groups == user % groups
        chance = popularity * np.where(own, loyalty / groups, (1 - loyalty) / groups)
        chosen = rng.choice(n_items, 20, replace=False, p=chance / chance.sum())
        for place, item in enumerate(chosen[rng.permutation(20)]):
            parts[0 if place < 16 else 1 + place % 2].append((user, int(item)))
    train, valid, test = (make_log(*np.array(part).T, n_users, n_items) for part in parts)
    return Split(train, valid, test, "planted")
