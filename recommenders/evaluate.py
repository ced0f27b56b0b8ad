"""Full-ranking evaluation of a recommender on held-out events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64, InteractionLog
from .base import Recommender
from .consumed import consumed
from .metrics import Float64, coverage, measure
from .ranking import rank


@dataclass(frozen=True, eq=False)
class UserMetrics:
    """Accuracy per user.

    Attributes:
        users: int64 [V], the users with held-out items.
        values: by name ("ndcg@20") float64 [V].
        coverage: by name ("coverage@20") the share of the catalogue in these users' lists.
    """

    users: Int64
    values: dict[str, Float64]
    coverage: dict[str, float]

    def means(self) -> dict[str, float]:
        """The mean over users of each value, and the coverage."""
        return {name: float(value.mean()) for name, value in self.values.items()} | self.coverage


def per_user(
    recommender: Recommender,
    held_out: InteractionLog,
    history: InteractionLog,
    cutoffs: Sequence[int] = (10, 20),
    *,
    mask: InteractionLog | None = None,
    n_users: int | None = None,
) -> UserMetrics:
    """Rank the whole catalogue for every user with held-out items and measure the lists.

    Held-out items that the user has already consumed cannot be listed and do not count; a user left without
    any is left out.

    Args:
        recommender: the fitted model.
        held_out: test (or validation) events.
        history: what the model may read, and what is masked: usually train and validation events.
        cutoffs: list lengths.
        mask: consumed items if not those of `history`; an empty log masks nothing (for sequence models that
            may recommend an item again).
        n_users: number of genuine users; injected accounts behind them are left out.

    Raises:
        InputError: no user has a held-out item, or the logs do not fit the model.
    """
    mask = history if mask is None else mask
    _check(cutoffs)
    users, relevant = relevance(held_out, mask, n_users)
    slate = rank(recommender, users, history, max(cutoffs), mask=mask).slate
    return _judge(slate.items, users, relevant, cutoffs)


def of_lists(
    items: Int32, held_out: InteractionLog, history: InteractionLog, cutoffs: Sequence[int] = (10, 20)
) -> UserMetrics:
    """The same of lists that are already there: row u of items int32 [U, K] is the list of user u.

    Raises:
        InputError: as `per_user`.
    """
    _check(cutoffs)
    users, relevant = relevance(held_out, history, len(items))
    return _judge(items[users], users, relevant, cutoffs)


def relevance(
    held_out: InteractionLog, mask: InteractionLog, n_users: int | None = None
) -> tuple[Int64, sparse.csr_matrix]:
    """The users with held-out items that can be listed, and these items.

    Args:
        held_out: test (or validation) events.
        mask: consumed items, which cannot be listed.
        n_users: number of genuine users; all by default.

    Returns:
        users int64 [V], and [V, I] with a stored 1 for each relevant item.

    Raises:
        InputError: the logs have different catalogues, or no user is left.
    """
    if held_out.n_items != mask.n_items:
        raise InputError(f"the held-out events have {held_out.n_items:,} items, the history {mask.n_items:,}")
    common = min(held_out.n_users, mask.n_users)
    limit = common if n_users is None else min(common, n_users)
    relevant = held_out.matrix()[:limit]
    relevant = (relevant - relevant.multiply(consumed(mask)[:limit])).tocsr()
    relevant.eliminate_zeros()
    users = np.flatnonzero(np.diff(relevant.indptr))
    if not len(users):
        raise InputError("no user has a held-out item that is not in the history already")
    return users, relevant[users]


def _check(cutoffs: Sequence[int]) -> None:
    if not cutoffs or min(cutoffs) < 1:
        raise InputError(f"cut-offs must be at least 1, got {list(cutoffs)}")


def _judge(items: Int32, users: Int64, relevant: sparse.csr_matrix, cutoffs: Sequence[int]) -> UserMetrics:
    _, values = measure(items, relevant, cutoffs)
    shares = {f"coverage@{k}": coverage(items, relevant.shape[1], k) for k in cutoffs}
    return UserMetrics(users, values, shares)


def evaluate(
    recommender: Recommender,
    held_out: InteractionLog,
    history: InteractionLog,
    cutoffs: Sequence[int] = (10, 20),
    *,
    mask: InteractionLog | None = None,
    n_users: int | None = None,
) -> dict[str, float]:
    """Means of `per_user` over users: "recall@10", "ndcg@10", "hr@10", "mrr@10", "precision@10", "coverage@10"."""
    return per_user(recommender, held_out, history, cutoffs, mask=mask, n_users=n_users).means()
