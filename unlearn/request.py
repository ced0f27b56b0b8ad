"""What is to be forgotten: events of a training log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog, Text
from ..datasets.split import Split
from ..privacy.canaries.planting import Planted


@dataclass(frozen=True, eq=False)
class Request:
    """A forget set; what is left of the log is the retain set.

    Attributes:
        label: for people.
        rows: int64 [F], the events of the log to forget, ascending and distinct.
        users: int64, users who are to be forgotten whole, ascending.
        items: int64, items that are to be forgotten whole, ascending.
        held: int64, pairs (`InteractionLog.pair_keys`) that the held-out parts hold and that are to be forgotten there,
            ascending; where a person's events were put was the split's choice, not theirs.
    """

    label: str
    rows: Int64
    users: Int64
    items: Int64
    held: Int64 = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(
        cls,
        log: InteractionLog,
        label: str,
        *,
        rows: Int64 | None = None,
        users: Int64 | None = None,
        items: Int64 | None = None,
        held: Int64 | None = None,
    ) -> Request:
        """A request to forget these events, and all events of these users and items.

        Repeats of a pair are forgotten together: to forget that u has met i is to forget every time.

        Args:
            log: what the model was trained on.
            label: for people.
            rows: indices of events.
            users: indices of users; they need not have events.
            items: indices of items.
            held: pairs of the held-out parts. With some, there need be nothing of the request in the log.

        Raises:
            InputError: nothing would be forgotten, or nothing left to train on.
        """
        held = np.unique(np.empty(0, np.int64) if held is None else held).astype(np.int64)
        users = np.unique(np.empty(0, np.int64) if users is None else users).astype(np.int64)
        items = np.unique(np.empty(0, np.int64) if items is None else items).astype(np.int64)
        chosen = np.isin(log.user, users) | np.isin(log.item, items)
        if rows is not None and len(rows):
            chosen |= np.isin(log.pair_keys, log.pair_keys[rows])
        if not chosen.any() and not len(held):
            raise InputError(f"request {label!r}: the training log holds nothing of it; there is nothing to forget")
        if len(log) and chosen.all():
            raise InputError(f"request {label!r}: it names every event, and no model can be trained on nothing")
        return cls(label, np.flatnonzero(chosen), users, items, held)

    def __len__(self) -> int:
        """F, the number of events of the training log."""
        return len(self.rows)

    def check_trained(self) -> None:
        """Refuse what only held-out parts hold where models are to be judged by it.

        Raises:
            InputError: no event of the training log is to be forgotten.
        """
        if not len(self):
            raise InputError(
                f"request {self.label!r}: the model was trained on nothing of it, so no model can show a trace of it"
            )

    def retained(self, log: InteractionLog) -> InteractionLog:
        """The retain set: the log less the forget set, same users and items.

        Nothing is known any more of users who are forgotten whole: their side features are empty, or a model that
        reads them would learn them anew.
        """
        return _unknown(log.without(self.mask(log)), self.users)

    def whole_users(self, log: InteractionLog) -> Int64:
        """Users with forgotten events who have none left, int64, ascending."""
        gone = np.unique(log.user[self.rows]).astype(np.int64)
        left = log.user_counts - np.bincount(log.user[self.rows], minlength=log.n_users)
        whole: Int64 = gone[left[gone] == 0]
        return whole

    def first_halves(self, log: InteractionLog) -> Int64:
        """Rows of the earlier half (rounded down) of the events of each of `whole_users`, int64, ascending.

        By them such a user can be read; no pair is in both halves.
        """
        order = log.chronological()
        order = order[np.isin(log.user[order], self.whole_users(log))]
        count = np.bincount(log.user[order], minlength=log.n_users)
        start = np.cumsum(count) - count
        early = np.arange(len(order)) - start[log.user[order]] < count[log.user[order]] // 2
        late = log.pair_keys[order[~early]]
        first: Int64 = order[early]
        return np.sort(first[~np.isin(log.pair_keys[first], late)])

    def forgotten(self, log: InteractionLog) -> InteractionLog:
        """The forget set, as a log with the same users and items."""
        return log.take(self.rows)

    def mask(self, log: InteractionLog) -> NDArray[np.bool_]:
        """Which events are to be forgotten, bool [E]."""
        found = np.zeros(len(log), np.bool_)
        found[self.rows] = True
        return found

    def of_what_is_left(self, log: InteractionLog, left: InteractionLog) -> Request | None:
        """The same request to a log from which others have been taken; None if nothing of it is left there.

        Of users who are to be forgotten whole and have no event, side features are something: a model that reads them
        has made them part of the user's vector.

        Args:
            log: what the rows count in.
            left: a part of it.
        """
        rows = np.flatnonzero(np.isin(left.pair_keys, log.pair_keys[self.rows]))
        described = left.users is not None and bool(left.users.iloc[self.users].notna().to_numpy().any())
        return replace(self, rows=rows) if len(rows) or described else None

    def purged(self, log: InteractionLog, part: InteractionLog) -> InteractionLog:
        """A part of the same data (validation, test) less what was asked to be forgotten, side features too.

        Events of users and items that are forgotten whole, and repeats of forgotten pairs; the side features of these
        users become empty.

        Args:
            log: what the rows count in.
            part: with the same users and items.
        """
        gone = np.isin(part.user, self.users) | np.isin(part.item, self.items) | np.isin(part.pair_keys, self.held)
        gone |= np.isin(part.pair_keys, log.pair_keys[self.rows])
        return _unknown(part.without(gone), self.users)

    def left_of(self, split: Split) -> Split:
        """The data after the request: what is retained, purged held-out parts, tombstones for users who are gone.

        Args:
            split: whose training part the rows count in.
        """
        log = split.train
        ids = tombstones(log.user_ids, self.users)
        parts = self.retained(log), self.purged(log, split.valid), self.purged(log, split.test)
        train, valid, test = (replace(part, user_ids=ids) for part in parts)
        return replace(split, train=train, valid=valid, test=test)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that is to be forgotten."""
        parts = (self.rows, self.users, self.items, self.held)
        return hashlib.sha256(b"".join(len(part).to_bytes(8, "little") + part.tobytes() for part in parts)).hexdigest()


TOMBSTONE = "forgotten:"


def tombstones(ids: Text, users: Int64) -> Text:
    """The ids, with these users' replaced by "forgotten:" and the number of their row, which says nothing of the id.

    A row keeps its tombstone through later requests. Where somebody else has such an id, a stroke is added.

    Args:
        ids: text [U], distinct.
        users: int64, whose ids go.
    """
    found = ids.tolist()
    taken = set(np.delete(ids, users).tolist())
    for user in users.tolist():
        name = f"{TOMBSTONE}{user}"
        while name in taken:
            name += "'"
        found[user] = name
    return np.array(found, np.str_)


def _unknown(log: InteractionLog, users: Int64) -> InteractionLog:
    """The log with no side features of these users; a column keeps its kind, whole numbers stay whole."""
    if log.users is None or not len(users):
        return log
    table = log.users.copy()
    for name in table:
        column = table[name].to_numpy(copy=True, dtype=object)
        column[users] = None
        table[name] = pd.Series(column, index=table.index).astype(_nullable(table[name].dtype))
    return replace(log, users=table)


def _nullable(kind: Any) -> Any:
    """A dtype that can say that nothing is known."""
    if not isinstance(kind, np.dtype) or kind.kind not in "iub":
        return kind
    return pd.BooleanDtype() if kind.kind == "b" else pd.Int64Dtype() if kind.kind == "i" else pd.UInt64Dtype()


def pooled(log: InteractionLog, requests: list[Request], label: str = "") -> Request:
    """Several requests as one; a verification of one alone may have no power."""
    name = label or " + ".join(request.label for request in requests)
    parts = ("rows", "users", "items", "held")
    joined = {part: np.concatenate([getattr(request, part) for request in requests]) for part in parts}
    return Request.of(log, name, **joined)


def of_canaries(planted: Planted) -> Request:
    """The request to forget every included canary: rows of `planted.log`."""
    label = f"canaries, {int(planted.included.sum()):,} {planted.kind}"
    if planted.kind == "users":
        return Request.of(planted.log, label, users=planted.user[planted.included])
    keys = planted.user * planted.log.n_items + planted.profiles.item
    rows = np.flatnonzero(np.isin(planted.log.pair_keys, keys[planted.included]))
    return Request.of(planted.log, label, rows=rows)
