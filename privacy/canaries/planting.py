"""Canaries: events planted by fair coins before training, and the secret list of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import InputError
from ...datasets.log import Int64, InteractionLog, Profiles
from ...datasets.read import LoadedLog
from ...datasets.seeding import rng
from ...datasets.split import Split, make_split
from ...recommenders.sampling import Positives

Kind = Literal["pairs", "users"]
"""A random item for a random active user; or a whole user, the copy of a real one with one item swapped."""

ACTIVE = 5
"""Distinct items a user must have to be given a canary, or to be copied."""

_TRIES = 100  # draws until all pairs are distinct


@dataclass(frozen=True, eq=False)
class Planted:
    """A log with canaries in it, and the secret list of all of them.

    Attributes:
        log: to be trained on: the original log with the included canaries behind it. Users who are canaries are named
            "injected:0", "injected:1", ... in it.
        kind: what a canary is.
        profiles: m accounts, one for each canary, included or not; a pair is an account of one event. Sorted by
            account, in each in the order in which the events are read.
        user: int64 [m], the index in the log; -1 for users who were not included.
        included: bool [m], how the coins fell.
    """

    log: InteractionLog
    kind: Kind
    profiles: Profiles
    user: Int64
    included: NDArray[np.bool_]

    def __len__(self) -> int:
        """m, the number of canaries."""
        return len(self.included)

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Events that are scored, the second half (rounded up) of each canary's; what is before them is read."""
        count = np.bincount(self.profiles.account, minlength=len(self))
        place = np.arange(len(self.profiles.account)) - (np.cumsum(count) - count)[self.profiles.account]
        return place >= (count // 2)[self.profiles.account]


def plant(log: InteractionLog, kind: Kind, count: int, seed: int) -> Planted:
    """Draw canaries and include each by a fair coin; the coins are drawn anew if all fall alike.

    Pairs are a uniform item that the user has not met, for users in random order, each as often as any other up to
    one; time and rating are those of a random event of the same user. Users are copies of random users in which one
    item of the second half, the one that is scored, is replaced by one that the original has not met; time, rating and
    side features are the original's, repeated items are left out.

    Args:
        log: what would be trained on without them.
        kind: what a canary is.
        count: m, 2 or more. Few can show little: see the page.
        seed: of canaries and coins. Who knows it knows the list.

    Raises:
        InputError: too few, or the log has too few active users or unseen items for so many.
    """
    if count < 2:
        raise InputError(f"{count} canaries cannot be compared; plant 2 or more, better 200")
    seen = Positives.of(log)
    number = np.diff(seen.offsets)
    among = np.flatnonzero((number >= ACTIVE) & (number < log.n_items))
    if not len(among):
        raise InputError(f"no user of the log has {ACTIVE} items and one not yet met; no canary can be planted")
    stream = rng(seed, "unlearning", "canaries", kind)
    rounds = -(-count // len(among))
    origin = np.concatenate([stream.permutation(among) for _ in range(rounds)])[:count].astype(np.int64)
    profiles = (_pairs if kind == "pairs" else _copies)(log, seen, origin, stream)
    coins, included = rng(seed, "unlearning", "canaries", "coins"), np.zeros(count, np.bool_)
    while included.all() or not included.any():  # given how many are heads, all labellings stay equally likely
        included = coins.random(count) < 0.5
    if kind == "pairs":
        own = part_of(profiles, included)
        added = replace(log, user=origin[included].astype(np.int32), item=own.item, value=own.value, time=own.time)
        return Planted(log.plus(added), kind, profiles, origin, included)
    place = np.cumsum(included) - 1
    own = part_of(profiles, included[profiles.account])
    features = None if log.users is None else log.users.iloc[origin[included]].reset_index(drop=True)
    accounts = replace(
        own, n_accounts=int(included.sum()), account=place[own.account].astype(np.int32), features=features
    )
    user = np.where(included, log.n_users + place, -1).astype(np.int64)
    return Planted(log.with_accounts(accounts), kind, profiles, user, included)


def trained(planted: Planted, log: InteractionLog) -> Planted:
    """The canaries as far as a training part holds them: included ones of which it has no event are left out.

    What is left is what may be asked to be forgotten. Its coins are no longer fair: for tests take `evenly`.

    Args:
        planted: over the log before it was split.
        log: the training part, with the same users and items.
    """
    own = planted.profiles
    there = np.isin(planted.user[own.account] * log.n_items + own.item, log.pair_keys)
    any_there = np.bincount(own.account, there, len(planted)) > 0
    return _kept(planted, log, ~planted.included | any_there)


def evenly(planted: Planted, split: Split) -> Planted:
    """The canaries that the split would have left in the training part, had all of them been included.

    Whether an event is held out depends on its time and on its user's history. Leaving out included canaries that are
    held out, and no others, would make the coins of what is left unfair, by how long a history is, and a bound that
    rests on fair coins could refute an innocent model. So the split is made again with all canaries in the data, and
    one rule that knows no coin decides. Included canaries that the real split held out stay, as what they are: included
    and, as it happened, not trained on, which weakens the bound and nothing else.

    Args:
        planted: over all events of the split's parts.
        split: the checkpoint's.

    Raises:
        InputError: included canaries are held out by a split that cannot be made again.
    """
    own, log = planted.profiles, planted.log
    if len(trained(planted, split.train)) == len(planted):
        return replace(planted, log=split.train)
    if split.recipe.startswith("given"):
        raise InputError(
            "some canaries are held out by the data's own split, which cannot be made again without the coins; train "
            "on a file that is split by leave-last-out, ratio or temporal"
        )
    out = ~planted.included
    place = np.cumsum(out) - 1
    rest = part_of(own, out[own.account])
    if planted.kind == "pairs":
        added = replace(
            log, user=planted.user[rest.account].astype(np.int32), item=rest.item, value=rest.value, time=rest.time
        )
        every, user = log.plus(added), planted.user
    else:
        accounts = replace(rest, n_accounts=int(out.sum()), account=place[rest.account].astype(np.int32))
        # named apart from the accounts that are there
        every = log.with_accounts(accounts)
        names = np.array([f"canary:{n}" for n in range(accounts.n_accounts)])
        every = replace(every, user_ids=np.concatenate([log.user_ids, names]))
        user = np.where(planted.included, planted.user, log.n_users + place)
    again = make_split(LoadedLog(every), split.recipe).train
    there = np.isin(user[own.account] * log.n_items + own.item, again.pair_keys)
    return _kept(planted, split.train, np.bincount(own.account, there, len(planted)) > 0)


def part_of(profiles: Profiles, rows: NDArray[np.bool_]) -> Profiles:
    """The same accounts with these events alone, bool [N]."""
    value = None if profiles.value is None else profiles.value[rows]
    time = None if profiles.time is None else profiles.time[rows]
    return replace(profiles, account=profiles.account[rows], item=profiles.item[rows], value=value, time=time)


def _pairs(log: InteractionLog, seen: Positives, user: Int64, stream: np.random.Generator) -> Profiles:
    """One distinct unseen item for each of `user` [m], with time and rating of a random event of that user."""
    item = seen.unseen(stream, user)
    for _ in range(_TRIES):
        first = np.unique(user * log.n_items + item, return_index=True)[1]
        again = np.setdiff1d(np.arange(len(user)), first)
        if not len(again):
            break
        item[again] = seen.unseen(stream, user[again])
    else:
        raise InputError(f"the log has too few unseen pairs of active users for {len(user):,} canaries; plant fewer")
    start = np.cumsum(log.user_counts) - log.user_counts
    place = start[user] + (stream.random(len(user)) * log.user_counts[user]).astype(np.int64)
    like = log.take(np.argsort(log.user, kind="stable")[place])
    return Profiles(len(user), np.arange(len(user), dtype=np.int32), item.astype(np.int32), like.value, like.time)


def _copies(log: InteractionLog, seen: Positives, origin: Int64, stream: np.random.Generator) -> Profiles:
    """The distinct items of each of `origin` [m] in their order, one of the second half swapped for an unseen one."""
    rows = log.chronological()
    rows = rows[np.sort(np.unique(log.pair_keys[rows], return_index=True)[1])]
    size = np.diff(seen.offsets)[origin]
    begin = np.cumsum(size) - size
    account = np.repeat(np.arange(len(origin)), size)
    like = log.take(rows[seen.offsets[origin][account] + np.arange(len(account)) - begin[account]])
    item = like.item.copy()
    swapped = begin + size // 2 + (stream.random(len(origin)) * (size - size // 2)).astype(np.int64)
    item[swapped] = seen.unseen(stream, origin)
    return Profiles(len(origin), account.astype(np.int32), item, like.value, like.time)


def _kept(planted: Planted, log: InteractionLog, kept: NDArray[np.bool_]) -> Planted:
    account = (np.cumsum(kept) - 1).astype(np.int32)
    part = part_of(planted.profiles, kept[planted.profiles.account])
    profiles = replace(part, n_accounts=int(kept.sum()), account=account[part.account])
    return Planted(log, planted.kind, profiles, planted.user[kept], planted.included[kept])
