"""What is to be forgotten: events of a training log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..privacy.canaries.planting import Planted


@dataclass(frozen=True, eq=False)
class Request:
    """A forget set; what is left of the log is the retain set.

    Attributes:
        label: for people.
        rows: int64 [F], the events of the log to forget, ascending and distinct.
        users: int64, users who are to be forgotten whole, ascending.
        items: int64, items that are to be forgotten whole, ascending.
    """

    label: str
    rows: Int64
    users: Int64
    items: Int64

    @classmethod
    def of(
        cls,
        log: InteractionLog,
        label: str,
        *,
        rows: Int64 | None = None,
        users: Int64 | None = None,
        items: Int64 | None = None,
    ) -> Request:
        """A request to forget these events, and all events of these users and items.

        Repeats of a pair are forgotten together: to forget that u has met i is to forget every time.

        Args:
            log: what the model was trained on.
            label: for people.
            rows: indices of events.
            users: indices of users; they need not have events.
            items: indices of items.

        Raises:
            InputError: nothing would be forgotten, or nothing left to train on.
        """
        users = np.unique(np.empty(0, np.int64) if users is None else users).astype(np.int64)
        items = np.unique(np.empty(0, np.int64) if items is None else items).astype(np.int64)
        chosen = np.isin(log.user, users) | np.isin(log.item, items)
        if rows is not None and len(rows):
            chosen |= np.isin(log.pair_keys, log.pair_keys[rows])
        if not chosen.any():
            raise InputError(f"request {label!r}: the training log holds nothing of it; there is nothing to forget")
        if chosen.all():
            raise InputError(f"request {label!r}: it names every event, and no model can be trained on nothing")
        return cls(label, np.flatnonzero(chosen), users, items)

    def __len__(self) -> int:
        """F, the number of events."""
        return len(self.rows)

    def retained(self, log: InteractionLog) -> InteractionLog:
        """The retain set: the log less the forget set, same users and items."""
        return log.without(self.mask(log))

    def whole_users(self, log: InteractionLog) -> Int64:
        """Users with forgotten events who have none left, int64, ascending."""
        gone = np.unique(log.user[self.rows]).astype(np.int64)
        whole: Int64 = gone[self.retained(log).user_counts[gone] == 0]
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

        Args:
            log: what the rows count in.
            left: a part of it.
        """
        rows = np.flatnonzero(np.isin(left.pair_keys, log.pair_keys[self.rows]))
        return Request(self.label, rows, self.users, self.items) if len(rows) else None

    def purged(self, log: InteractionLog, part: InteractionLog) -> InteractionLog:
        """A part of the same data (validation, test) less what was asked to be forgotten, side features too.

        Events of users and items that are forgotten whole, and repeats of forgotten pairs; the side features of these
        users become empty.

        Args:
            log: what the rows count in.
            part: with the same users and items.
        """
        gone = np.isin(part.user, self.users) | np.isin(part.item, self.items)
        gone |= np.isin(part.pair_keys, log.pair_keys[self.rows])
        left = part.without(gone)
        if left.users is None or not len(self.users):
            return left
        table = left.users.copy()
        for name in table:
            column = table[name].to_numpy(copy=True, dtype=object)
            column[self.users] = None
            table[name] = pd.Series(column, index=table.index).astype(_nullable(table[name].dtype))
        return replace(left, users=table)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the rows."""
        return hashlib.sha256(self.rows.tobytes()).hexdigest()


def _nullable(kind: Any) -> Any:
    """A dtype that can say that nothing is known."""
    return np.dtype(np.float64) if isinstance(kind, np.dtype) and kind.kind in "iub" else kind


def pooled(log: InteractionLog, requests: list[Request], label: str = "") -> Request:
    """Several requests as one; a verification of one alone may have no power."""
    name = label or " + ".join(request.label for request in requests)
    rows, users, items = (
        np.concatenate([getattr(request, part) for request in requests]) for part in ("rows", "users", "items")
    )
    return Request.of(log, name, rows=rows, users=users, items=items)


def of_canaries(planted: Planted) -> Request:
    """The request to forget every included canary: rows of `planted.log`."""
    label = f"canaries, {int(planted.included.sum()):,} {planted.kind}"
    if planted.kind == "users":
        return Request.of(planted.log, label, users=planted.user[planted.included])
    keys = planted.user * planted.log.n_items + planted.profiles.item
    rows = np.flatnonzero(np.isin(planted.log.pair_keys, keys[planted.included]))
    return Request.of(planted.log, label, rows=rows)
