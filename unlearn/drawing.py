"""Requests that a policy draws: random, core and edge users, an item, scattered pairs."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..datasets.seeding import rng
from .request import Request

Draw = Literal["users", "core-users", "edge-users", "part-of-users", "items", "pairs"]
"""Whole users at random, the most active ones, the least active ones; half the pairs of random users; whole items
at random; pairs at random."""
DRAWS: tuple[str, ...] = get_args(Draw)


def draw(log: InteractionLog, kind: Draw, pairs: int, seed: int) -> Request:
    """A request of about so many events.

    Users, items or pairs are drawn until their events are so many, so a request has a comparable size on any data: at
    least `pairs`, less than twice that where no single user (of core users: the most active one), item or pair has
    more. A pair is drawn once, however often it occurs, and forgotten with all its repeats.

    Args:
        log: what the model was trained on.
        kind: what is drawn.
        pairs: about how many events are forgotten, at least 1 and at most half of the log.
        seed: of the draw.

    Raises:
        InputError: more than half of the log is asked for.

    Reference: core, edge and random users: Chen et al. 2024, CURE4Rec, NeurIPS.
    """
    if not 1 <= pairs <= len(log) // 2:
        raise InputError(f"a request of {pairs:,} pairs cannot be drawn from {len(log):,}; give 1 to {len(log) // 2:,}")
    stream = rng(seed, "unlearning", "draw", kind)
    label = f"{kind}, {pairs:,} pairs"
    first, events = _distinct(log)
    if kind == "pairs":
        usable = _not_larger(np.arange(len(first)), events, pairs)
        chosen = usable[stream.choice(len(usable), min(pairs, len(usable)), replace=False)]
        return Request.of(log, label, rows=first[chosen[: _enough(events[chosen], pairs)]])
    counts = log.item_counts if kind == "items" else log.user_counts
    half = np.bincount(log.user[first], minlength=log.n_users) // 2  # of a user's pairs
    order = stream.permutation(len(counts))
    order = order[(half if kind == "part-of-users" else counts)[order] > 0]
    if kind != "core-users":
        order = _not_larger(order, counts, pairs)  # one popular item may hold a third of a log
    if kind in ("core-users", "edge-users"):
        order = order[np.argsort(counts[order] * (-1 if kind == "core-users" else 1), kind="stable")]
    share = half if kind == "part-of-users" else counts
    chosen = order[: _enough(share[order], pairs)].astype(np.int64)
    if kind == "items":
        return Request.of(log, label, items=chosen)
    if kind != "part-of-users":
        return Request.of(log, label, users=chosen)
    place = stream.permutation(np.flatnonzero(np.isin(log.user[first], chosen)))
    place = place[np.argsort(log.user[first[place]], kind="stable")]
    user = log.user[first[place]]
    start = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=log.n_users))])[user]
    place = place[np.arange(len(place)) - start < half[user]]
    # a pair counts once above and with its repeats here: where there are some, fewer users are enough
    share = np.bincount(log.user[first[place]], events[place], log.n_users).astype(np.int64)
    chosen = chosen[: _enough(share[chosen], pairs)]
    return Request.of(log, label, rows=first[place[np.isin(log.user[first[place]], chosen)]])


def _distinct(log: InteractionLog) -> tuple[Int64, Int64]:
    """The first row of each distinct pair, ascending, and how often the pair occurs, int64 [P] each."""
    _, first, events = np.unique(log.pair_keys, return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], events[order]


def _not_larger(order: Int64, counts: Int64, most: int) -> Int64:
    """Those of the order that have at most so many events; all of them if none has."""
    small = counts[order] <= most
    return order[small] if small.any() else order


def _enough(counts: Int64, least: int) -> int:
    """How many of the first are so many events together; more than there are if all are fewer."""
    return 1 + int(np.searchsorted(np.cumsum(counts), least))
