"""A vector for a user from the user's items, by the map that the model's other users show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..datasets.log import Float32, Int64, InteractionLog
from .base import Recommender

_RIDGE = 1e-3  # of the mean eigenvalue
_TRIED = 64
"""Users, at most, who are given one and the same history to find out whether a model reads what it has kept of them."""
_CLOSE = 1e-4  # relative difference below which scores count as equal: batches are summed in other orders


def mapped(users: Float32, items: Float32, history: sparse.csr_matrix, apart: NDArray[np.integer]) -> Float32:
    """Ridge regression of users' vectors on the mean vector of their items: weights float32 [d, d].

    Args:
        users: float32 [U, d].
        items: float32 [I, d].
        history: 0/1 [U, I], what they are known by.
        apart: users who must not count.
    """
    counted = np.setdiff1d(np.flatnonzero(np.diff(history.indptr)), apart)
    past = means(history[counted], items).astype(np.float64)
    gram = past.T @ past
    gram[np.diag_indices_from(gram)] += _RIDGE * max(np.trace(gram) / len(gram), 1e-12)
    found: Float32 = np.linalg.solve(gram, past.T @ users[counted]).astype(np.float32)
    return found


def means(history: sparse.csr_matrix, items: Float32) -> Float32:
    """The mean vector of the items of each row, float32 [N, d]; zeros for empty rows."""
    found: Float32 = (history @ items / np.diff(history.indptr).clip(1)[:, None]).astype(np.float32)
    return found


def foldable(model: Recommender) -> bool:
    """Whether a model can be asked as if it knew a user by a history alone (`FoldedIn`).

    Models with vectors can; systems that are asked for the lists of known users cannot. Others are tried: users with
    one and the same history must get the same scores, or the model reads rows that it keeps of them.
    """
    if hasattr(model, "embeddings"):
        return True
    if getattr(model, "family", "") == "black box":
        return False
    users = np.unique(np.linspace(0, model.n_users - 1, min(_TRIED, model.n_users)).astype(np.int64))
    read = np.arange(min(20, max(1, model.n_items // 2)), dtype=np.int32)
    ids, names = (np.arange(count).astype(str) for count in (model.n_users, model.n_items))
    log = InteractionLog(np.repeat(users.astype(np.int32), len(read)), np.tile(read, len(users)), ids, names)
    found = model.scores(users, log)
    return bool(np.allclose(found, found[:1], rtol=_CLOSE, atol=_CLOSE * float(np.abs(found).max())))


class FoldedIn:
    """A model that knows some users by a given history alone, not by what it has kept of them.

    Models with vectors get a new user vector (`mapped`); models that read histories read it. Models that do neither
    (`foldable`) are asked as they are: what they say of a user is what they have kept.
    """

    def __init__(self, model: Recommender, retained: InteractionLog, known: InteractionLog, users: Int64) -> None:
        """Learn the map from the retain set.

        Args:
            model: any.
            retained: what the map is learnt from.
            known: what is known of users, those to fold in included.
            users: int64 [N], who is folded in; ascending.
        """
        self.model, self.known, self.users = model, known, users
        self.n_users, self.n_items = model.n_users, model.n_items
        self._vectors: tuple[Float32, Float32] | None = None
        if len(users) and hasattr(model, "embeddings"):
            own, items = model.embeddings()
            weights = mapped(own, items, retained.matrix(), users)
            self._vectors = means(known.matrix()[users], items) @ weights, items

    def folded_embeddings(self) -> tuple[Float32, Float32]:
        """User float32 [U, d] and item float32 [I, d] vectors of a model that has them, those of folded users too."""
        users, items = self.model.embeddings()  # type: ignore[attr-defined]
        if self._vectors is None:
            return users, items
        users = users.copy()
        users[self.users] = self._vectors[0]
        return users, items

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; the history that was given at the start is read instead."""
        found = self.model.scores(users, self.known)
        if self._vectors is None:
            return found
        place = np.searchsorted(self.users, users).clip(max=len(self.users) - 1)
        rows = np.flatnonzero(self.users[place] == users)
        if len(rows):
            found = found.copy()
            found[rows] = self._vectors[0][place[rows]] @ self._vectors[1].T
        return found
