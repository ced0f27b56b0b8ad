"""Requests that a policy draws: random, core and edge users, an item, scattered pairs."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog
from ..datasets.seeding import rng
from .request import Request

Draw = Literal["users", "core-users", "edge-users", "part-of-users", "items", "pairs"]
"""Whole users at random, the most active ones, the least active ones; half the events of random users; whole items
at random; pairs at random."""
DRAWS: tuple[str, ...] = get_args(Draw)


def draw(log: InteractionLog, kind: Draw, pairs: int, seed: int) -> Request:
    """A request of about so many pairs.

    Users are drawn until their events are so many, so a request has a comparable size on any data: at least `pairs`,
    less than twice that where no single user (of core users: the most active one) or item has more.

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
    if kind == "pairs":
        return Request.of(log, label, rows=stream.choice(len(log), pairs, replace=False))
    counts = log.item_counts if kind == "items" else log.user_counts
    order = stream.permutation(len(counts))
    order = order[counts[order] > (1 if kind == "part-of-users" else 0)]
    if kind != "core-users" and (counts[order] <= pairs).any():
        order = order[counts[order] <= pairs]  # one popular item may hold a third of a log
    if kind in ("core-users", "edge-users"):
        order = order[np.argsort(counts[order] * (-1 if kind == "core-users" else 1), kind="stable")]
    share = counts[order] // 2 if kind == "part-of-users" else counts[order]
    chosen = order[: 1 + int(np.searchsorted(np.cumsum(share), pairs))].astype(np.int64)
    if kind == "items":
        return Request.of(log, label, items=chosen)
    if kind != "part-of-users":
        return Request.of(log, label, users=chosen)
    rows = stream.permutation(np.flatnonzero(np.isin(log.user, chosen)))
    place = np.argsort(log.user[rows], kind="stable")
    rows = rows[place]
    start = np.concatenate([[0], np.cumsum(np.bincount(log.user[rows], minlength=log.n_users))])[log.user[rows]]
    within = np.arange(len(rows)) - start
    return Request.of(log, label, rows=rows[within < log.user_counts[log.user[rows]] // 2])
