"""Candidates of membership inference: events or users that a fair coin puts into a training log, or leaves out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import DataError
from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import rng
from ...datasets.split import Split
from ...recommenders.sampling import Positives
from ..places import following

Unit = Literal["interactions", "users"]
"""What is in the training data or not: a pair of user and item with all its events, or all events of a user."""

TRAINED, HELD_OUT, PLANTED = 0, 1, 2
"""Where a candidate comes from: the training part, the validation or test part, or nowhere (an item out of taste)."""
_BASE, _NEVER = -1, -2


@dataclass(frozen=True, eq=False)
class Candidates:
    """What is guessed about.

    Attributes:
        unit: what a candidate is.
        everything: all events there are.
        owner: int64 [E], the candidate that an event belongs to; -1 if every model is trained on it, -2 if none is.
        user: int64 [C].
        item: int64 [C]; -1 for users.
        source: int8 [C], TRAINED, HELD_OUT or PLANTED.
        population_user: int64 [Z], of pairs (or users) that no model is trained on, to compare with.
        population_item: int64 [Z]; -1 for users.
    """

    unit: Unit
    everything: InteractionLog
    owner: Int64
    user: Int64
    item: Int64
    source: NDArray[np.int8]
    population_user: Int64
    population_item: Int64

    def __len__(self) -> int:
        """C."""
        return len(self.user)

    @property
    def base(self) -> InteractionLog:
        """What every model is trained on."""
        return self.everything.take(self.owner == _BASE)

    @property
    def never(self) -> InteractionLog:
        """What no model is trained on."""
        return self.everything.take(self.owner == _NEVER)

    def trained(self, included: NDArray[np.bool_], known: NDArray[np.bool_] | None = None) -> InteractionLog:
        """A training log, in the order of events of the whole.

        Args:
            included: bool [C], which candidates are in it.
            known: bool [E], which of the events that are nobody's candidate; all if not given.
        """
        base = self.owner == _BASE
        return self.everything.take(
            (base if known is None else base & known) | np.append(included, [False, False])[self.owner]
        )


def coins(count: int, seed: int, place: int) -> NDArray[np.bool_]:
    """Fair and independent: whether each candidate is in the training data of model `place`, bool [C]."""
    return rng(seed, "privacy", "coins", place).random(count) < 0.5


def overlap(asked: Candidates, share: float, seed: int, place: int) -> NDArray[np.bool_] | None:
    """Which events that are nobody's candidate model `place` is trained on, bool [E]; None for all of them.

    Of each user with a candidate one is always kept: the coin would decide else whether the user has a vector at all.
    """
    if share >= 1:
        return None
    drawn = rng(seed, "privacy", "overlap", place).random(len(asked.everything))
    known, user = drawn < share, asked.everything.user
    rows = np.flatnonzero((asked.owner == _BASE) & np.isin(user, asked.user))
    rows = rows[np.lexsort((drawn[rows], user[rows]))]
    known[rows[np.unique(user[rows], return_index=True)[1]]] = True  # the lowest draw: kept anyway if any is
    return known


def draw_pairs(split: Split, most: int, planted: int, seed: int, *, in_order: bool = False) -> Candidates:
    """Candidates among pairs: some that were trained on, as many held-out ones, and some out of taste.

    Users are taken in turn, one pair each before anybody's second, and never more than a quarter (one at least) of a
    user's pairs of a part, so that pairs are nearly independent and nobody's history is emptied. Half of the held-out
    pairs at most are candidates; the others are in no training log: they are the population of RMIA, and what utility
    is measured on.

    Args:
        split: of the audited model.
        most: of each of the first two kinds.
        planted: items that the user has never met, with the time and value of one of the user's training events that
            are nobody's candidate; users without such an event get none.
        seed: of the draw.
        in_order: leave out first events of users, which sequence models are never taught to predict.

    Raises:
        DataError: there are fewer than 20 pairs of a kind.
    """
    held = split.valid.plus(split.test)
    log = split.train.plus(held)
    stream = rng(seed, "privacy", "candidates", "pairs")
    own = np.arange(len(split.train))
    pairs = np.diff(split.train.matrix().indptr)  # distinct items of each user
    own = own[pairs[split.train.user] > 1]
    own = own if not in_order else np.intersect1d(own, following(split.train, own))
    # of a user without a training event the coin would decide whether there is a vector at all
    known = (pairs[held.user] > 0) & ~np.isin(held.pair_keys, split.train.pair_keys)
    outside = len(split.train) + np.flatnonzero(known)
    chosen = _in_turn(log, own, most, stream), _in_turn(log, outside, min(most, len(outside) // 2), stream)
    for rows, name in zip(chosen, ("training", "held-out"), strict=True):
        if len(rows) < 20:
            raise DataError(f"only {len(rows)} {name} pairs can be candidates; membership inference needs 20 or more")
    rows = np.concatenate(chosen)
    own = np.arange(len(split.train))
    extra = _planted(log, own[~np.isin(log.pair_keys[own], log.pair_keys[rows])], planted, stream)
    user = np.concatenate([log.user[rows], extra.user]).astype(np.int64)
    item = np.concatenate([log.item[rows], extra.item]).astype(np.int64)
    everything = log.plus(extra)
    keys = user * log.n_items + item
    order = np.argsort(keys)
    place = np.searchsorted(keys, everything.pair_keys, sorter=order).clip(max=len(keys) - 1)
    is_own = keys[order][place] == everything.pair_keys
    part = np.where(np.arange(len(everything)) < len(split.train), _BASE, _NEVER)
    owner = np.where(is_own, order[place], part).astype(np.int64)
    source = np.repeat(np.array([TRAINED, HELD_OUT, PLANTED], np.int8), [*map(len, chosen), len(extra)])
    free = outside[owner[outside] == _NEVER]
    other = _in_turn(log, free, 2 * most, stream, share=1.0)
    return Candidates(
        "interactions", everything, owner, user, item, source,
        log.user[other].astype(np.int64), log.item[other].astype(np.int64),
    )  # fmt: skip


def draw_users(split: Split, most: int, seed: int) -> Candidates:
    """Candidates among users with four or more training events; a quarter of the users at most, drawn at random.

    Half as many others are in no training log. Held-out events of no user are trained on.

    Args:
        split: of the audited model.
        most: candidates.
        seed: of the draw.

    Raises:
        DataError: there are fewer than 40 such users.
    """
    log = split.train
    able = np.flatnonzero(log.user_counts >= 4)
    if len(able) < 160:
        raise DataError(f"{len(able)} users have four training events; user-level inference needs 160 or more")
    order = rng(seed, "privacy", "candidates", "users").permutation(able).astype(np.int64)
    count = min(most, len(able) // 4)
    user, other = np.sort(order[:count]), np.sort(order[count : count + count // 2])
    owner = np.full(log.n_users, _BASE, np.int64)
    owner[user], owner[other] = np.arange(count), _NEVER
    nothing = np.full(count, -1, np.int64)
    return Candidates(
        "users", log, owner[log.user], user, nothing, np.zeros(count, np.int8), other, nothing[: len(other)]
    )


def _in_turn(log: InteractionLog, rows: Int64, most: int, stream: np.random.Generator, share: float = 0.25) -> Int64:
    """At most so many of the rows, of distinct pairs, users in turn, at most a share of a user's (one at least)."""
    rows = stream.permutation(rows)
    rows = rows[np.sort(np.unique(log.pair_keys[rows], return_index=True)[1])]
    rows = rows[np.argsort(log.user[rows], kind="stable")]
    count = np.bincount(log.user[rows], minlength=log.n_users)
    turn = np.arange(len(rows)) - (np.cumsum(count) - count)[log.user[rows]]
    kept = turn + 1 <= np.maximum(share * count, 1)[log.user[rows]]
    rows, turn = rows[kept], turn[kept]
    shuffled = stream.permutation(len(rows))  # else the first users would always be those drawn
    return np.sort(rows[shuffled[np.argsort(turn[shuffled], kind="stable")][:most]])


def _planted(log: InteractionLog, kept: Int64, count: int, stream: np.random.Generator) -> InteractionLog:
    """A distinct unseen item for each of so many users at most, with time and value of one of the user's kept events.

    Args:
        log: all events.
        kept: int64, rows of it that every model is trained on.
        count: users.
        stream: of the draw.
    """
    seen, base = Positives.of(log), log.take(kept)
    number, counts = np.diff(seen.offsets), base.user_counts
    user = stream.permutation(np.flatnonzero((number >= 2) & (number < log.n_items)))
    user = np.sort(user[counts[user] > 0][:count]).astype(np.int64)
    item = seen.unseen(stream, user)
    start = np.cumsum(counts) - counts
    at = start[user] + (stream.random(len(user)) * counts[user]).astype(np.int64)
    like = base.take(np.argsort(base.user, kind="stable")[at])
    return replace(like, item=item.astype(np.int32))
