"""The value of a measure, which may be undefined, and why; values by user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import Int64

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Value:
    """What a formula gives.

    Attributes:
        value: the number; None where the formula is undefined, never 0 in its place.
        note: why it is undefined, or what the number cannot say here; "" if there is nothing to add.
        users: how many users a mean was taken over, where some had to be left out; else None.
    """

    value: float | None
    note: str = ""
    users: int | None = None

    @classmethod
    def undefined(cls, reason: str) -> Value:
        """No value, and why."""
        return cls(None, reason)


@dataclass(frozen=True, eq=False)
class PerUser:
    """A measure of every user, and its mean.

    Attributes:
        values: float64 [m]; NaN for a user who was left out.
        mean: over the others, users counted by their weights; its `users` says how many, its note how many are
            left out and why.
        left_out: how many users were left out, by weight.
    """

    values: Float64
    mean: Value
    left_out: int

    @classmethod
    def of(cls, values: Float64, weights: Int64 | None, why: str) -> PerUser:
        """Take the mean of float64 [m] where it is not NaN; `why` says what the users who are left out lack."""
        known = ~np.isnan(values)
        users = np.ones(len(values), np.int64) if weights is None else weights
        count = int(users[known].sum())
        left_out = int(users.sum()) - count
        if not count:
            return cls(values, Value.undefined(f"every user is left out: {why}"), left_out)
        note = f"users left out: {left_out} ({why})" if left_out else ""
        mean = float(np.average(values[known], weights=users[known]))
        return cls(values, Value(mean, note, users=count), left_out)
