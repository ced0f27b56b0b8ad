"""Interaction logs and injected accounts: the two arrays-of-events types everything else is built on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from .errors import DataError

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Text = NDArray[np.str_]
_Number = TypeVar("_Number", np.float32, np.int64)


@dataclass(frozen=True, eq=False)
class Profiles:
    """Injected accounts as sparse events; repeats of (account, item) are allowed for sequences.

    Attributes:
        n_accounts: A, the number of accounts (an account may have no event).
        account: int32 [N], in 0..A-1.
        item: int32 [N], item index of the log they are made for.
        value: float32 [N] on the log's rating scale, or None for implicit logs.
        time: int64 [N], Unix seconds or positions as in the log, or None.
        features: side features of the accounts, A rows, or None.
    """

    n_accounts: int
    account: Int32
    item: Int32
    value: Float32 | None = None
    time: Int64 | None = None
    features: pd.DataFrame | None = None

    @classmethod
    def empty(cls) -> Profiles:
        """No accounts at all: the null attack."""
        return cls(0, np.empty(0, np.int32), np.empty(0, np.int32))


@dataclass(frozen=True, eq=False)
class ItemEdits:
    """New texts or features of items that their owner has changed; no account is injected.

    Attributes:
        items: int32 [N], distinct item indices.
        table: N rows, the columns of the item table that change.
    """

    items: Int32
    table: pd.DataFrame


@dataclass(frozen=True, eq=False)
class InteractionLog:
    """Who interacted with what. Ids are indices here and text (`user_ids`, `item_ids`) to the user.

    Attributes:
        user: int32 [E], in 0..U-1.
        item: int32 [E], in 0..I-1.
        user_ids: text [U]; the id as the data file has it, leading zeros kept.
        item_ids: text [I].
        value: float32 [E], ratings, or None for implicit feedback.
        time: int64 [E], Unix seconds (or an order), or None. Events keep the order of the file.
        users: side features, U rows aligned to `user_ids`, or None.
        items: side features (title, genres, ...), I rows aligned to `item_ids`, or None.
    """

    user: Int32
    item: Int32
    user_ids: Text
    item_ids: Text
    value: Float32 | None = None
    time: Int64 | None = None
    users: pd.DataFrame | None = field(default=None, repr=False)
    items: pd.DataFrame | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check what every later step relies on."""
        n = len(self.user)
        for name in ("item", "value", "time"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise DataError(f"column {name} has {len(column):,} rows, user has {n:,}")
        for name, index, count in (("user", self.user, self.n_users), ("item", self.item, self.n_items)):
            if n and (int(index.min()) < 0 or int(index.max()) >= count):
                raise DataError(f"{name} index outside 0..{count - 1}")
        if self.value is not None and not np.isfinite(self.value).all():
            raise DataError("ratings hold NaN or infinite values; remove those rows")

    @property
    def n_users(self) -> int:
        """U."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self.item_ids)

    def __len__(self) -> int:
        """E, the number of events."""
        return len(self.user)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, events, values and times; side features are not part of it."""
        digest = hashlib.sha256()
        for ids in (self.user_ids, self.item_ids):
            digest.update("\x1f".join(ids.tolist()).encode() + b"\x1e")
        for column in (self.user, self.item, self.value, self.time):
            digest.update(b"none" if column is None else column.dtype.str.encode() + column.tobytes())
        return digest.hexdigest()

    @cached_property
    def features_fingerprint(self) -> str:
        """SHA-256 (hex) over the side features of users and items, as text."""
        digest = hashlib.sha256()
        for frame in (self.users, self.items):
            digest.update(b"none\x1e" if frame is None else frame.to_csv(index=False).encode() + b"\x1e")
        return digest.hexdigest()

    @cached_property
    def item_counts(self) -> Int64:
        """Events per item, int64 [I]: the popularity."""
        return np.bincount(self.item, minlength=self.n_items)

    @cached_property
    def user_counts(self) -> Int64:
        """Events per user, int64 [U]."""
        return np.bincount(self.user, minlength=self.n_users)

    @cached_property
    def pair_keys(self) -> Int64:
        """A number for the pair of every event, user x I + item: int64 [E]; repeats of a pair have the same."""
        return self.user.astype(np.int64) * self.n_items + self.item

    def matrix(self) -> sparse.csr_matrix:
        """The 0/1 interaction matrix, float32 CSR [U, I], duplicates merged, columns sorted."""
        ones = np.ones(len(self), np.float32)
        matrix = sparse.csr_matrix((ones, (self.user, self.item)), shape=(self.n_users, self.n_items))
        matrix.sum_duplicates()
        matrix.data[:] = 1.0
        return matrix

    def edge_index(self) -> Int64:
        """Unique user-item edges as int64 [2, edges]; items start at U (torch-geometric's convention)."""
        matrix = self.matrix().tocoo()
        return np.stack([matrix.row.astype(np.int64), matrix.col.astype(np.int64) + self.n_users])

    def chronological(self) -> Int64:
        """Order of events by user, then time, then file order: int64 [E]. Without times, the file order."""
        if self.time is None:
            return np.argsort(self.user, kind="stable")
        return np.lexsort((np.arange(len(self)), self.time, self.user))

    def sequences(self) -> tuple[Int64, Int32]:
        """Each user's items in time order: offsets int64 [U + 1] and items int32 [E]."""
        offsets = np.zeros(self.n_users + 1, np.int64)
        np.cumsum(self.user_counts, out=offsets[1:])
        return offsets, self.item[self.chronological()]

    def take(self, rows: NDArray[np.bool_] | Int64) -> InteractionLog:
        """The log with only these events (mask [E] or indices), same users and items."""
        value = None if self.value is None else self.value[rows]
        time = None if self.time is None else self.time[rows]
        return replace(self, user=self.user[rows], item=self.item[rows], value=value, time=time)

    def plus(self, other: InteractionLog) -> InteractionLog:
        """Events of both logs, which must share users and items."""
        if other.n_users != self.n_users or other.n_items != self.n_items:
            raise DataError("logs with different users or items cannot be joined")
        return replace(
            self,
            user=np.concatenate([self.user, other.user]),
            item=np.concatenate([self.item, other.item]),
            value=_join(self.value, other.value),
            time=_join(self.time, other.time),
        )

    def without(self, rows: NDArray[np.bool_]) -> InteractionLog:
        """The log less the events in the mask [E] (a deletion request), same users and items."""
        return self.take(~rows)

    def with_accounts(self, profiles: Profiles) -> InteractionLog:
        """The log with the injected accounts behind the genuine users; of size zero it is the log itself."""
        if profiles.n_accounts == 0:
            return self
        if self.value is not None and profiles.value is None:
            raise DataError("the log has ratings, the injected profiles have none")
        if self.time is not None and profiles.time is None:
            raise DataError("the log has times, the injected profiles have none")
        names = np.array([f"injected:{n}" for n in range(profiles.n_accounts)])
        users = self.users
        if users is not None:
            extra = profiles.features
            if extra is None:
                extra = pd.DataFrame(index=range(profiles.n_accounts), columns=users.columns)
            users = pd.concat([users, extra.reindex(columns=users.columns)], ignore_index=True)
        return replace(
            self,
            user=np.concatenate([self.user, profiles.account.astype(np.int32) + np.int32(self.n_users)]),
            item=np.concatenate([self.item, profiles.item.astype(np.int32)]),
            value=None if self.value is None else _join(self.value, profiles.value),
            time=None if self.time is None else _join(self.time, profiles.time),
            user_ids=np.concatenate([self.user_ids, names]),
            users=users,
        )

    def with_edits(self, edits: ItemEdits) -> InteractionLog:
        """The log with an item table in which these cells are others; events and all other items stay.

        Raises:
            DataError: an item or a column that the log does not have.
        """
        if self.items is None or not set(edits.table.columns) <= set(self.items.columns):
            missing = ", ".join(
                sorted(set(edits.table.columns) - set(() if self.items is None else self.items.columns))
            )
            raise DataError(f"the item table has no column {missing} to edit")
        if len(edits.items) and not 0 <= int(edits.items.min()) <= int(edits.items.max()) < self.n_items:
            raise DataError(f"item index outside 0..{self.n_items - 1}")
        items = self.items.copy()
        for name in edits.table.columns:
            column = items[name].to_numpy(copy=True, dtype=object)
            column[edits.items] = edits.table[name].to_numpy()
            items[name] = pd.Series(column, index=items.index).astype(items[name].dtype)
        return replace(self, items=items)

    def title(self, item: int) -> str:
        """The item's title if the log has one, else its id."""
        if self.items is not None and "title" in self.items:
            title = self.items["title"].iloc[item]
            if isinstance(title, str) and title:
                return title
        return str(self.item_ids[item])


def _join(first: NDArray[_Number] | None, second: NDArray[_Number] | None) -> NDArray[_Number] | None:
    return None if first is None or second is None else np.concatenate([first, second.astype(first.dtype)])
