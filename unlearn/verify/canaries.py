"""Canaries: events planted by fair coins before training, whose forgetting can be tested without any retrain."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...audit.files import write_whole
from ...datasets.errors import InputError
from ...datasets.log import Float32, Int64, InteractionLog, Profiles, Text
from ...datasets.seeding import rng
from ...recommenders.base import Recommender
from ...recommenders.sampling import Positives
from ..fold_in import FoldedIn
from ..request import Request
from .membership import Float64, percentiles, separation

Kind = Literal["pairs", "users"]
"""A random item for a random active user; or a whole user, the copy of a real one with one item swapped."""

ACTIVE = 5
"""Distinct items a user must have to be given a canary, or to be copied."""

_TRIES = 100  # draws until all pairs are distinct
_CELLS = 4_000_000  # labels permuted at a time


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


@dataclass(frozen=True)
class CanaryTest:
    """Whether included and forgotten canaries can be told from those never included.

    Attributes:
        included: how many were included.
        never: how many were not.
        mean_included: mean value of the included ones.
        mean_never: of the others.
        auc: of the included against the others, 0..1; ties count half.
        p: of the hypothesis that the coins left no trace, two-sided.
        p_left: one-sided: small where included ones lie too high, part of their trace is left.
        p_over: one-sided: small where they lie too low, more was forgotten than was learnt.
        exact: whether all relabellings were counted, not a sample of them.
    """

    included: int
    never: int
    mean_included: float
    mean_never: float
    auc: float
    p: float
    p_left: float
    p_over: float
    exact: bool

    @property
    def difference(self) -> float:
        """Mean of the included ones less that of the others."""
        return self.mean_included - self.mean_never


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
        own = _part(profiles, included)
        added = replace(log, user=origin[included].astype(np.int32), item=own.item, value=own.value, time=own.time)
        return Planted(log.plus(added), kind, profiles, origin, included)
    place = np.cumsum(included) - 1
    own = _part(profiles, included[profiles.account])
    features = None if log.users is None else log.users.iloc[origin[included]].reset_index(drop=True)
    accounts = replace(
        own, n_accounts=int(included.sum()), account=place[own.account].astype(np.int32), features=features
    )
    user = np.where(included, log.n_users + place, -1).astype(np.int64)
    return Planted(log.with_accounts(accounts), kind, profiles, user, included)


def request(planted: Planted) -> Request:
    """The request to forget every included canary: rows of `planted.log`."""
    label = f"canaries, {int(planted.included.sum()):,} {planted.kind}"
    if planted.kind == "users":
        return Request.of(planted.log, label, users=planted.user[planted.included])
    keys = planted.user * planted.log.n_items + planted.profiles.item
    rows = np.flatnonzero(np.isin(planted.log.pair_keys, keys[planted.included]))
    return Request.of(planted.log, label, rows=rows)


def statistic(model: Recommender, planted: Planted, history: InteractionLog) -> Float64:
    """What a model says of each canary, included or not, by one rule for both: float64 [m] in 0..1.

    Pairs: the percentile of the item among what the user has not met. Users: the mean percentile of the scored half,
    after the first half was read. Canary users have no row of their own that would be comparable, since those never
    included were never trained: all are new users to the model (`fold_in.FoldedIn`).

    Args:
        model: over the users and items of `planted.log`.
        planted: the secret list.
        history: what is known of all other users, usually the retain set. Events of canaries in it are not read.

    Raises:
        InputError: other numbers of users or items, or a model that cannot score new users.
        DataError: a score is NaN.
    """
    sizes = {(own.n_users, own.n_items) for own in (model, history, planted.log)}
    if len(sizes) > 1:
        raise InputError("model, history and planted log must know the same users and items; open them with one data")
    profiles, scored, count = planted.profiles, planted.scored, len(planted)
    own, item = profiles.account[scored].astype(np.int64), profiles.item[scored].astype(np.int64)
    if planted.kind == "pairs":
        keys = planted.user * history.n_items + item
        return percentiles(model, planted.user, item, history.without(np.isin(history.pair_keys, keys)))
    gone = np.isin(history.user, planted.user[planted.included])
    base = replace(history.without(gone), users=None)
    known = base.with_accounts(_part(profiles, ~scored))
    wide = replace(base, user_ids=known.user_ids)
    rows = base.n_users + np.arange(count)
    found = percentiles(FoldedIn(_Widened(model, count), wide, known, rows), rows[own], item, known)
    return np.bincount(own, found, count) / np.bincount(own, minlength=count)


def test(values: Float64, included: NDArray[np.bool_], draws: int = 9_999, seed: int = 0) -> CanaryTest:
    """Permutation test of the coins: the difference of means among all labellings with as many included.

    Under exact unlearning the model depends on nothing that the coins decided, so that every such labelling is equally
    likely and p is exact: it is at most x with a chance of at most x. All labellings are counted where they are at most
    `draws`; otherwise so many are drawn, and the observed one counts as one of them.

    Args:
        values: float64 [m], of `statistic`.
        included: bool [m].
        draws: 1 or more.
        seed: of the relabelling.

    Raises:
        InputError: nothing, or everything, was included.

    Reference: Phipson and Smyth 2010, Permutation P-values Should Never Be Zero, Statistical Applications in Genetics
        and Molecular Biology 9 (the observed labelling is counted).
    """
    size, chosen = len(values), int(included.sum())
    if not 0 < chosen < size:
        raise InputError(f"{chosen} of {size} canaries were included; there is nothing to compare")
    exact = math.comb(size, chosen) <= draws
    centred = values - values.mean()  # the difference of means is then the included sum times a constant
    observed, slack = float(centred[included].sum()), 1e-9 * float(np.abs(centred).sum())
    if exact:
        sums = np.array([centred[list(own)].sum() for own in combinations(range(size), chosen)])
    else:
        sums = np.append(np.concatenate(list(_relabelled(centred, included, draws, seed))), observed)
    p, left, over = (
        float(np.mean(extreme))
        for extreme in (np.abs(sums) >= abs(observed) - slack, sums >= observed - slack, sums <= observed + slack)
    )
    return CanaryTest(
        chosen, size - chosen, float(values[included].mean()), float(values[~included].mean()),
        separation(values[included], values[~included]), p, left, over, exact,
    )  # fmt: skip


class _Canary(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    included: bool
    user: str | None = None
    items: list[str] = Field(min_length=1)
    times: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] | None = None
    values: list[float] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal["recaudit canaries"] = "recaudit canaries"
    version: Literal[1] = 1
    kind: Kind
    canaries: list[_Canary] = Field(min_length=2)


def save(planted: Planted, path: Path) -> None:
    """Write the secret list as JSON, ids as text; the log is not part of it.

    Raises:
        OSError: the file cannot be written.
    """
    log, own = planted.log, planted.profiles
    found = []
    for place, rows in enumerate(np.split(np.arange(len(own.item)), np.flatnonzero(np.diff(own.account)) + 1)):
        user = int(planted.user[place])
        found.append(_Canary(
            included=bool(planted.included[place]),
            user=None if user < 0 else str(log.user_ids[user]),
            items=log.item_ids[own.item[rows]].tolist(),
            times=None if own.time is None else own.time[rows].tolist(),
            values=None if own.value is None else own.value[rows].tolist(),
        ))  # fmt: skip
    write_whole(path, _File(kind=planted.kind, canaries=found).model_dump_json(indent=1, exclude_none=True).encode())


def load(path: Path, log: InteractionLog) -> Planted:
    """Read a secret list.

    Args:
        path: written by `save`.
        log: what was trained on, with the included canaries in it.

    Raises:
        InputError: no such file, not such a list, an unknown id, or a canary that is not in the log as the list says;
            the message names file and field.
    """
    try:
        found = _File.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; give a file that `save` wrote") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    sizes = np.array([len(row.items) for row in found.canaries])
    account = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    users, items = _index(log.user_ids), _index(log.item_ids)
    item, user = np.empty(len(account), np.int32), np.full(len(sizes), -1, np.int64)
    at = 0
    for place, row in enumerate(found.canaries):
        where = f"{path}: canaries.{place}"
        if row.user is None and (row.included or found.kind == "pairs"):
            raise InputError(f"{where}.user: is missing; only users who were never included have none")
        if row.user is not None:
            user[place] = users(row.user, f"{where}.user")
        if found.kind == "pairs" and len(row.items) != 1:
            raise InputError(f"{where}.items: a pair has one item, this one has {len(row.items)}")
        for name, column, wanted in (("times", row.times, log.time), ("values", row.values, log.value)):
            if wanted is not None and (column is None or len(column) != len(row.items)):
                raise InputError(f"{where}.{name}: needs one for each of the {len(row.items)} items, as the log has")
        item[at : at + len(row.items)] = [items(name, f"{where}.items") for name in row.items]
        at += len(row.items)
    included = np.array([row.included for row in found.canaries])
    there = np.isin(user[account] * log.n_items + item, log.pair_keys) & (user[account] >= 0)
    wrong = np.flatnonzero(there != included[account])
    if len(wrong):
        place = int(account[wrong[0]])
        says = "included, but not all of its events are" if included[place] else "never included, but it is"
        raise InputError(f"{path}: canaries.{place}.included: {says} in the log; give the log that was trained on")
    value = None if log.value is None else np.array([v for row in found.canaries for v in row.values or ()], np.float32)
    time = None if log.time is None else np.array([t for row in found.canaries for t in row.times or ()], np.int64)
    return Planted(log, found.kind, Profiles(len(sizes), account, item, value, time), user, included)


class _Widened:
    """A model with rows for users it has never met: zeros, which folding in replaces, where it has vectors."""

    embeddings: Callable[[], tuple[Float32, Float32]]

    def __init__(self, model: Recommender, count: int) -> None:
        self.model, self.n_users, self.n_items = model, model.n_users + count, model.n_items
        if hasattr(model, "embeddings"):
            users, items = model.embeddings()
            table = np.concatenate([users, np.zeros((count, users.shape[1]), np.float32)]), items
            self.embeddings = lambda: table

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        if hasattr(self, "embeddings"):
            vectors, items = self.embeddings()
            found: Float32 = vectors[users] @ items.T
            return found
        try:
            return self.model.scores(users, history)
        except IndexError:
            raise InputError(
                "the model keeps something of each user but gives no vectors, so that new users cannot be scored; "
                "plant pairs instead of users"
            ) from None


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


def _part(profiles: Profiles, rows: NDArray[np.bool_]) -> Profiles:
    """The same accounts with these events alone, bool [N]."""
    value = None if profiles.value is None else profiles.value[rows]
    time = None if profiles.time is None else profiles.time[rows]
    return replace(profiles, account=profiles.account[rows], item=profiles.item[rows], value=value, time=time)


def _relabelled(centred: Float64, included: NDArray[np.bool_], draws: int, seed: int) -> Iterator[Float64]:
    """The included sum under random labellings, in blocks."""
    stream, size = rng(seed, "unlearning", "canaries", "relabel"), len(centred)
    block = max(1, _CELLS // size)
    for start in range(0, draws, block):
        labels = np.tile(included, (min(block, draws - start), 1))
        yield stream.permuted(labels, axis=1) @ centred


def _index(ids: Text) -> Callable[[str, str], int]:
    """Where an id is among these; an unknown one is named with the field it stands in."""
    places = {name: place for place, name in enumerate(ids.tolist())}

    def found(name: str, where: str) -> int:
        if name not in places:
            raise InputError(f"{where}: unknown id {name!r}; the log has no such id (case and zeros count)")
        return places[name]

    return found
