"""Users who are read by half of their history, where a model has no row of them that says anything."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.log import InteractionLog
from ...recommenders.base import Recommender
from ...recommenders.fold_in import FoldedIn
from ..request import Request


@dataclass(frozen=True, eq=False)
class Folded:
    """Users who are read as if half of their history were all that is known of them, and asked for the other half.

    The row of a user who is forgotten whole is thrown away, and what is left of them is in the items. So they are
    folded in by a random half of their events, and so is half of the other users, whose held-out pairs are compared:
    their halves say as much of them. The users who are left teach the map (`fold_in.mapped`).

    Attributes:
        users: bool [U], who is folded in.
        asked: bool [E], events of the log that are in the other half.
        retained: the retain set.
        known: what is read of all users: the retain set, and of `users` half of their events alone.
    """

    users: NDArray[np.bool_]
    asked: NDArray[np.bool_]
    retained: InteractionLog
    known: InteractionLog

    @classmethod
    def of(
        cls, log: InteractionLog, request: Request, retained: InteractionLog, rng: np.random.Generator
    ) -> Folded | None:
        """None unless more than half of the forgotten events are of users who are forgotten whole.

        Args:
            log: before the request.
            request: its rows.
            retained: the retain set.
            rng: who of the others is folded in, and which half is read.
        """
        whole = request.whole_users(log)
        if 2 * log.user_counts[whole].sum() <= len(request):
            return None
        others = np.flatnonzero(retained.user_counts)
        users = np.zeros(log.n_users, np.bool_)
        users[whole] = users[rng.choice(others, len(others) // 2, replace=False)] = True
        pairs, place = np.unique(log.pair_keys, return_inverse=True)  # no pair is in both halves
        second = rng.random(len(pairs))[place] < 0.5
        users &= np.bincount(log.user[~second], minlength=log.n_users) > 0  # of whom nothing is read, nothing is known
        own = users[log.user]
        known = retained.without(users[retained.user]).plus(log.take(np.flatnonzero(own & ~second)))
        return cls(users, own & second, retained, known)

    def model(self, model: Recommender) -> Recommender:
        """The model, as it answers for these users."""
        return FoldedIn(model, self.retained, self.known, np.flatnonzero(self.users))
