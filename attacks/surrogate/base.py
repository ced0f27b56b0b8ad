"""What a surrogate is: a small recommender fitted to genuine and fake profiles, differentiable in the fake ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ...datasets.log import Float32, Int64, InteractionLog

Scores = Callable[[torch.Tensor], torch.Tensor]
"""Scores of genuine users over the catalogue: int64 [B] -> float [B, I], differentiable in the fake profiles."""


@dataclass(frozen=True, eq=False)
class Genuine:
    """The events an attacker sees, one per (user, item), sorted by user, then item.

    Attributes:
        user: int64 [E].
        item: int64 [E].
        value: float32 [E]; 1 without ratings.
        n_users: U.
        n_items: I.
    """

    user: Int64
    item: Int64
    value: Float32
    n_users: int
    n_items: int

    @classmethod
    def of(cls, log: InteractionLog) -> Genuine:
        """Of a pair that the log repeats the last event counts."""
        order = log.chronological()
        key = log.user[order].astype(np.int64) * log.n_items + log.item[order]
        _, last = np.unique(key[::-1], return_index=True)
        at = order[len(order) - 1 - last]
        value = np.ones(len(at), np.float32) if log.value is None else log.value[at].astype(np.float32)
        return cls(log.user[at].astype(np.int64), log.item[at].astype(np.int64), value, log.n_users, log.n_items)

    def lacking(self, item: int) -> Int64:
        """Users with events who lack the item, int64, ascending: those an attack can reach."""
        holders = self.user[self.item == item]
        return np.setdiff1d(np.unique(self.user), holders)


class Surrogate(Protocol):
    """Fits itself to genuine and fake profiles.

    `fakes` is float [A, I]: what the fake accounts rate (0 for nothing), or, for surrogates that read who has what,
    weights in 0..1. It is small and dense; genuine profiles never are.
    """

    def fit(self, genuine: Genuine, fakes: torch.Tensor, rng: np.random.Generator) -> Scores:
        """Train from scratch; the last epochs are unrolled, so that scores have a gradient in `fakes`.

        Args:
            genuine: the visible log.
            fakes: float32 [A, I], may require a gradient.
            rng: first parameters and batch order.
        """
        ...
