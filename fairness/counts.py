"""Exposure counts: the one pass over lists that every exposure measure shares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64


@dataclass(frozen=True, eq=False)
class Counts:
    """How often each item is recommended.

    Attributes:
        items: c, int64 [n], times item i stands in a list; n is the catalogue, not the items seen.
        lists: m, the number of users with a list.
        k: length of the lists.
    """

    items: Int64
    lists: int
    k: int

    @classmethod
    def of(cls, lists: Int32, n_items: int) -> Counts:
        """Count lists int32 [m, k] over a catalogue of n items; -1 marks an empty place.

        Raises:
            InputError: an item outside 0..n-1.
        """
        flat = lists.ravel()
        flat = flat[flat != -1]
        if len(flat) and (int(flat.min()) < 0 or int(flat.max()) >= n_items):
            raise InputError(f"recommendation lists hold items outside 0..{n_items - 1}")
        return cls(np.bincount(flat, minlength=n_items), lists.shape[0], lists.shape[1])

    @property
    def n(self) -> int:
        """Items in the catalogue."""
        return len(self.items)

    @cached_property
    def slots(self) -> int:
        """s, the places that were filled; m k where every list is full."""
        return int(self.items.sum())

    @property
    def even(self) -> tuple[int, int]:
        """(f, r): with the fairest lists, r items are shown f + 1 times and n - r items f times."""
        return divmod(self.slots, self.n)

    @property
    def correctable(self) -> bool:
        """Whether fairest and unfairest lists differ and are the ones the corrections assume.

        Decided on integers: with one user or k = n every choice of lists has the same counts; with lists cut
        short the reachable ends of the corrected forms do not hold.
        """
        return self.lists > 1 and 0 < self.k < self.n and self.slots == self.lists * self.k


def lorenz(counts: Counts, points: int = 101) -> list[tuple[float, float]]:
    """The Lorenz curve: share of exposure that the least shown share of items gets.

    Returns:
        (share of items, share of exposure) pairs from (0, 0) to (1, 1), at most `points`.
    """
    ascending = np.concatenate([[0], np.cumsum(np.sort(counts.items))])
    at = np.unique(np.linspace(0, counts.n, min(points, counts.n + 1)).astype(int))
    total = max(counts.slots, 1)
    return [(float(j / counts.n), float(ascending[j] / total)) for j in at]
