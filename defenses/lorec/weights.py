"""Iterative weight compensation: accounts that are flagged again and again count less, all others a little more."""

from __future__ import annotations

import numpy as np

from ...datasets.log import Float32
from ..base import Float64

START = 3.0
"""Counter of every account before the first update."""

GUARD = 3
"""An update that flags one account of so many, or more, is refused."""


class Compensation:
    """A counter for every account, and what it counts in training.

    Reference: Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723, the user weights.

    Attributes:
        counters: float64 [N]; their sum never changes.
        done: updates that were made.
        refused: updates that flagged too many accounts and changed nothing.
    """

    def __init__(self, accounts: int) -> None:
        """Start all counters alike."""
        self.counters: Float64 = np.full(accounts, START)
        self.done = 0
        self.refused = 0

    def update(self, suspicion: Float64, level: Float64 | None = None) -> bool:
        """Lower the counters of accounts above the level by one and share what they lose among the rest.

        Args:
            suspicion: float [N].
            level: float [N] that each account is compared with; the mean of all if None.

        Returns:
            Whether it was done: not if a third of the accounts or more would be flagged.
        """
        flagged = suspicion > (suspicion.mean() if level is None else level)
        count, accounts = int(flagged.sum()), len(flagged)
        if GUARD * count >= accounts:
            self.refused += 1
            return False
        self.counters[flagged] -= 1
        self.counters[~flagged] += count / (accounts - count)
        self.done += 1
        return True

    def weights(self) -> Float32:
        """What each account counts, float32 [N]: 1.05 at most, exactly 1 after up to three flags, then ever less."""
        ratio = (1 + np.exp(-START)) / (1 + np.exp(-self.counters))
        found: Float32 = np.where((ratio > 0.5) & (ratio < 1), 1.0, ratio).astype(np.float32)
        return found
