"""The value of a measure, which may be undefined, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
