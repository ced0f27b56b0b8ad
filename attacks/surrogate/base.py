"""What a surrogate is: a recommender whose fitted vectors are differentiable in the fake accounts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, eq=False)
class Accounts:
    """Fake accounts as a surrogate reads them: a dense block, small because there are few of them.

    Attributes:
        present: float [A, I] in 0..1, how much of an event there is.
        rating: float [A, I], `present` times the event's rating; times 1 where the surrogate reads no ratings.
        features: float [A, n], encoded side features, for surrogates that read them.
    """

    present: torch.Tensor
    rating: torch.Tensor
    features: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class Factors:
    """Scores as dot products.

    Attributes:
        user: float [U, d], genuine users.
        item: float [I, d].
    """

    user: torch.Tensor
    item: torch.Tensor

    def scores(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items: int64 [B] -> float [B, I]."""
        return self.user[users] @ self.item.T


class Surrogate(Protocol):
    """A recommender that an attacker trains on the visible log and the accounts.

    It keeps its parameters between calls, so that a call after a small change of the accounts starts warm.
    """

    def fit(self, accounts: Accounts) -> Factors:
        """Train from fresh parameters on the accounts as they are; nothing is differentiable."""
        ...

    def unrolled(self, accounts: Accounts) -> Factors:
        """Train on from the kept parameters through a few differentiable updates.

        The result's graph leads back to `accounts`; the parameters that are kept have none.
        """
        ...
