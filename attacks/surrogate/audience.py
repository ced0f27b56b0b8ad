"""The genuine users whose lists an attack aims at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from ...datasets.log import Int64, InteractionLog
from ...recommenders.consumed import consumed
from ..goal import Goal

CELLS = 4_000_000
"""Scores in memory at a time: users x items of one step."""


@dataclass(frozen=True, eq=False)
class Audience:
    """Users who can still be shown a target.

    Attributes:
        users: int64 [n], ascending, those of the goal's audience (or all) who lack a target.
        targets: int64 [T].
    """

    users: Int64
    targets: torch.Tensor
    _matrix: sparse.csr_matrix

    @classmethod
    def of(cls, log: InteractionLog, goal: Goal) -> Audience:
        """The audience in the log that the attacker sees; all users with events if none of them lacks a target."""
        matrix = consumed(log)
        inside = log.user_counts > 0
        if goal.audience is not None:
            asked = np.zeros(log.n_users, bool)
            asked[list(goal.audience)] = True
            inside &= asked
        holds = np.asarray(matrix[:, list(goal.targets)].sum(axis=1)).ravel() == len(goal.targets)
        users = np.flatnonzero(inside & ~holds)
        if not len(users):
            users = np.flatnonzero(log.user_counts > 0)
        return cls(users, torch.tensor(goal.targets), matrix)

    def sample(self, rng: np.random.Generator, cells: int = CELLS) -> tuple[torch.Tensor, torch.Tensor]:
        """Users for one step: all, or as many at random as `cells` scores allow.

        Returns:
            users int64 [B], ascending, and what they have consumed, bool [B, I].
        """
        most = max(1, cells // self._matrix.shape[1])
        users = self.users
        if len(users) > most:
            users = np.sort(rng.choice(users, most, replace=False))
        return torch.from_numpy(users), torch.from_numpy(self._matrix[users].toarray() > 0)
