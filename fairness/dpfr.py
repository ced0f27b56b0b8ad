"""DPFR as an audit reports it: NDCG with corrected entropy, at the middle of the frontier.

Rampisela et al.: Joint Evaluation of Fairness and Relevance in Recommender Systems with Pareto Frontier, WWW 2025
(arXiv 2502.11921).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from ..recommenders.metrics import ndcg
from . import entropy
from .measure import Formula
from .oracle2fair import walk
from .pareto import distance, frontier
from .recommendations import Recommendations
from .value import Value

TITLE = "Distance to the Pareto frontier of NDCG and entropy (DPFR)"
MEANING = "How far relevance and evenness of exposure together are from the best compromise the test data allow."


def formula(data: Recommendations, consumed: sparse.csr_matrix | None, alpha: float = 0.5) -> Formula:
    """The distance as a function of lists over the same users, items and relevance as `data`.

    The frontier is estimated once, from the test data alone; the function may be called with weights on users, which
    move the system's own point and leave the frontier.

    Args:
        data: lists with binary relevance; the lists themselves play no part.
        consumed: [m, n], items that cannot be recommended to a user, or None.
        alpha: weight of fairness, 0..1.

    Raises:
        InputError: one user, lists as long as the catalogue, nothing relevant, a user with fewer than k items left.
    """
    relevant, _ = data.judged
    front = frontier(walk(relevant, consumed, data.k), "ndcg", "entropy", points=None)

    def dpfr(lists: Recommendations) -> Value:
        _, hits = lists.judged
        gains = ndcg(hits, np.maximum(lists.n_relevant, 1), lists.k)
        relevance, fairness = lists.mean(gains, lists.n_relevant > 0), entropy.corrected(lists)
        if relevance.value is None or fairness.value is None:
            return Value.undefined(relevance.note or fairness.note)
        return Value(distance(front, relevance.value, fairness.value, alpha))

    return dpfr
