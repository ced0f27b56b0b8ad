"""What an attacker may see, as an object: an attack gets this and nothing else, so no threat model is cheated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import DataError, InputError, RecauditError, unknown_name
from ..datasets.log import Float32, Int64, InteractionLog
from ..datasets.seeding import rng
from .rhythm import Rhythm
from .scale import RatingScale

Grant = Literal[
    "catalogue", "global_ratings", "popularity", "item_means", "log", "item_features", "user_features", "query"
]
"""What can be granted; "catalogue" is what any visitor sees: items, rating scale, usual activity."""


class Query(Protocol):
    """The victim as anyone can use it: what it lists to who has these events.

    Attributes:
        calls: lists given so far.
    """

    calls: int

    def __call__(self, sequences: Int64) -> Int64:
        """Ranked lists, best first: int64 [B, L], L at least 1 -> int64 [B, k], -1 where there is no item left."""
        ...


class KnowledgeError(RecauditError):
    """An attack read what its threat model does not grant, or what the data do not have."""


@dataclass(frozen=True, eq=False)
class Public:
    """What anyone can see of a service (the grant "catalogue").

    Attributes:
        n_items: I.
        mean_profile: events per user with events, rounded half up, at least 1.
        scale: the ratings in use, None if the log has none.
        rhythm: when users act, None if the log has no times.
        form: the values that users have in each column of their side features, as a sign-up form offers them.
    """

    n_items: int
    mean_profile: int
    scale: RatingScale | None
    rhythm: Rhythm | None
    form: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class GlobalRatings:
    """Mean and standard deviation of all visible ratings."""

    mean: float
    deviation: float


@dataclass(frozen=True, eq=False)
class ItemRatings:
    """Ratings per item, read-only.

    Attributes:
        mean: float32 [I]; the global mean where an item has no rating.
        deviation: float32 [I]; the global one where an item has fewer than two ratings.
    """

    mean: Float32
    deviation: Float32


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Granted facts. Reading any other raises; what is not granted is not even inside.

    Attributes:
        grants: what was granted.
    """

    grants: frozenset[Grant]
    _held: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        log: InteractionLog,
        grants: Iterable[Grant],
        *,
        share: float = 1.0,
        seed: int = 0,
        query: Query | None = None,
    ) -> Knowledge:
        """What the harness lets an attacker see of a training log.

        Args:
            log: the training log; it is neither changed nor exposed to writing.
            grants: what may be read.
            share: share of users whose whole profiles are visible, 0 < share <= 1; popularity and means come
                from them alone.
            seed: which users are visible.
            query: the victim that may be asked, None where there is none.

        Raises:
            InputError: unknown grant or share out of range.
            DataError: the log has no events.
        """
        granted = frozenset(grants)
        for name in sorted(granted - set(get_args(Grant))):
            raise unknown_name("grant", name, get_args(Grant))
        if not 0 < share <= 1:
            raise InputError(f"knowledge: the visible share of users must be above 0 and at most 1, got {share}")
        if not len(log):
            raise DataError("the training log has no events: there is nothing an attacker could learn from")
        visible, users = _sample(log, share, seed)
        makers: dict[str, Callable[[], Any]] = {
            "catalogue": lambda: _public(visible, None if log.users is None else log.users.iloc[users]),
            "global_ratings": lambda: _global(visible),
            "popularity": lambda: _sealed(visible.item_counts.copy()),
            "item_means": lambda: _per_item(visible),
            "log": lambda: visible,
            "item_features": lambda: log.items,
            "user_features": lambda: None if log.users is None else log.users.iloc[users],
            "query": lambda: query,
        }
        return cls(granted, MappingProxyType({name: makers[name]() for name in sorted(granted)}))

    def __reduce__(self) -> tuple[Any, ...]:
        """A mapping proxy cannot be pickled, its content can."""
        return _rebuild, (self.grants, dict(self._held))

    @property
    def public(self) -> Public:
        """Items, scale, activity (grant "catalogue")."""
        found: Public = self._read("catalogue")
        return found

    @property
    def n_items(self) -> int:
        """I (grant "catalogue")."""
        return self.public.n_items

    @property
    def scale(self) -> RatingScale:
        """The rating scale (grant "catalogue").

        Raises:
            KnowledgeError: the data have no ratings.
        """
        if self.public.scale is None:
            raise KnowledgeError("the data have no ratings; craft no values for implicit logs")
        return self.public.scale

    @property
    def global_ratings(self) -> GlobalRatings:
        """Mean and deviation of all ratings (grant "global_ratings")."""
        found: GlobalRatings = self._read("global_ratings")
        return found

    @property
    def popularity(self) -> Int64:
        """Visible events per item, int64 [I] (grant "popularity")."""
        found: Int64 = self._read("popularity")
        return found

    @property
    def item_ratings(self) -> ItemRatings:
        """Mean and deviation per item (grant "item_means")."""
        found: ItemRatings = self._read("item_means")
        return found

    @property
    def log(self) -> InteractionLog:
        """The visible users' events over all U users and I items, without side features (grant "log")."""
        found: InteractionLog = self._read("log")
        return found

    @property
    def item_features(self) -> pd.DataFrame:
        """A copy of the items' side features, I rows (grant "item_features")."""
        found: pd.DataFrame = self._read("item_features")
        return found.copy()

    @property
    def user_features(self) -> pd.DataFrame:
        """A copy of the visible users' side features; its index is the user index (grant "user_features")."""
        found: pd.DataFrame = self._read("user_features")
        return found.copy()

    @property
    def query(self) -> Query:
        """The victim, to be asked for lists; it counts how often (grant "query").

        Raises:
            KnowledgeError: there is no victim to ask.
        """
        found: Query = self._read("query")
        return found

    def _read(self, name: Grant) -> Any:
        if name not in self.grants:
            raise KnowledgeError(f"the attack reads {name!r}, which it does not declare; add it to its `grants`")
        if self._held[name] is None and name == "query":
            raise KnowledgeError("there is no victim to query here; pass `query`, or use an attack that reads the log")
        if self._held[name] is None:
            raise KnowledgeError(f"the data have no {name.replace('_', ' ')}; use an attack that does not need them")
        return self._held[name]


def _rebuild(grants: frozenset[Grant], held: dict[str, Any]) -> Knowledge:
    return Knowledge(grants, MappingProxyType(held))


def _sample(log: InteractionLog, share: float, seed: int) -> tuple[InteractionLog, Int64]:
    """The log of the visible users, arrays read-only, and who they are."""
    users = np.flatnonzero(log.user_counts)
    if share < 1:
        count = max(1, int(np.floor(len(users) * share + 0.5)))
        users = np.sort(rng(seed, "knowledge").choice(users, count, replace=False))
        seen = np.zeros(log.n_users, bool)
        seen[users] = True
        log = log.take(seen[log.user])
    value = None if log.value is None else _sealed(log.value)
    time = None if log.time is None else _sealed(log.time)
    user, item = _sealed(log.user), _sealed(log.item)
    return replace(log, user=user, item=item, value=value, time=time, users=None, items=None), users


def _sealed(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _public(log: InteractionLog, users: pd.DataFrame | None) -> Public:
    mean = int(np.floor(len(log) / np.count_nonzero(log.user_counts) + 0.5))
    scale = None if log.value is None else RatingScale.of(log.value)
    form = {} if users is None else {str(name): np.asarray(users[name].dropna().unique()) for name in users.columns}
    return Public(log.n_items, max(mean, 1), scale, Rhythm.of(log), form)


def _global(log: InteractionLog) -> GlobalRatings | None:
    if log.value is None:
        return None
    values = log.value.astype(np.float64)
    return GlobalRatings(float(values.mean()), float(values.std()))


def _per_item(log: InteractionLog) -> ItemRatings | None:
    overall = _global(log)
    if overall is None or log.value is None:
        return None
    counts = log.item_counts
    values = log.value.astype(np.float64)
    some = np.maximum(counts, 1)
    mean = np.bincount(log.item, values, log.n_items) / some
    spread = np.bincount(log.item, (values - mean[log.item]) ** 2, log.n_items) / some
    mean[counts == 0] = overall.mean
    deviation = np.where(counts >= 2, np.sqrt(spread), overall.deviation)
    return ItemRatings(_sealed(mean.astype(np.float32)), _sealed(deviation.astype(np.float32)))
