"""DPFR: how far a model is from the best trade-offs of relevance and fairness that the test data allow.

Rampisela, Ruotsalo, Maistro, Lioma: Joint Evaluation of Fairness and Relevance in Recommender Systems with Pareto
Frontier, WWW 2025 (arXiv 2502.11921). The frontier is found greedily, so it is an estimate and not proven optimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import xlogy

from ..datasets.errors import InputError
from ..datasets.log import Int64
from .oracle2fair import Walk
from .recommendations import Exposure
from .value import Float64

Relevance = Literal["precision", "recall", "ndcg", "map"]
Fairness = Literal["jain", "entropy", "gini"]


@dataclass(frozen=True, eq=False)
class Frontier:
    """What lists can reach, from the most relevant to the fairest.

    Attributes:
        points: float64 [P, 2], (relevance, fairness), relevance falling and fairness improving, each strictly.
        arc: float64 [P], length of the line from the first point to each.
    """

    points: Float64
    arc: Float64


def frontier(path: Walk, relevance: Relevance, fairness: Fairness, points: int | None = None) -> Frontier:
    """The points of a walk that no other point of it beats in both measures.

    For each relevance it is the fairest; a point with less of both is left out too. The relevance is a mean over the
    users who have relevant items, binary, at the k of the walk (MAP divides by min(R, k)); the fairness is the
    corrected form, over all lists.

    Args:
        path: from `walk`; serves every pair of measures.
        relevance: "precision", "recall", "ndcg" or "map".
        fairness: "jain" and "entropy" (up), or "gini" (down: the fair end is 0).
        points: None for every replacement; q for the paper's estimate: the start, every floor(N / (q + 1))-th of the N
            replacements, and the end.

    Raises:
        InputError: nobody has a relevant item, or points below 0.
    """
    count = len(path.steps)
    if points is not None and points < 0:
        raise InputError(f"the number of points between the ends must be 0 or more, got {points}")
    stride = 1 if points is None else max(count // (points + 1), 1)
    at = np.unique(np.append(np.arange(0, count + 1, stride), count))
    both = np.column_stack([_relevance(path, relevance)[at], _fairness(path, fairness)[at]])
    fair = -both[:, 1] if fairness == "gini" else both[:, 1]
    order = np.lexsort((-fair, -both[:, 0]))
    best = np.maximum.accumulate(fair[order])
    both = both[order[np.append(True, best[1:] > best[:-1])]]
    arc = np.append(0.0, np.cumsum(np.hypot(*np.diff(both, axis=0).T)))
    return Frontier(both, arc)


def reference(frontier: Frontier, alpha: float = 0.5) -> Float64:
    """The point of the frontier whose arc length is nearest `alpha` of the whole: float64 [2], (relevance, fairness).

    Args:
        frontier: from `frontier`.
        alpha: weight of fairness, 0 the relevance end, 1 the fair end.

    Raises:
        InputError: alpha outside 0..1.
    """
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha is the weight of fairness and lies in 0..1, got {alpha}")
    nearest = int(np.abs(frontier.arc - alpha * frontier.arc[-1]).argmin())
    return np.asarray(frontier.points[nearest], np.float64)


def distance(frontier: Frontier, relevance: float, fairness: float, alpha: float = 0.5) -> float:
    """DPFR: how far a model's (relevance, fairness) is from `reference`; 0 best, sqrt(2) at most, not normalised.

    Both values by the measures and the k of the frontier, over the same users; Gini as it is, not turned round.

    Raises:
        InputError: alpha outside 0..1.
    """
    return float(np.hypot(*(reference(frontier, alpha) - (relevance, fairness))))


def _relevance(path: Walk, name: Relevance) -> Float64:
    """The mean relevance at the start and after each step: float64 [N + 1]."""
    k, liked = path.lists.shape[1], path.n_relevant
    some = liked[liked > 0]
    if not len(some):
        raise InputError("nobody has a relevant item")
    gains = np.append(0.0, np.cumsum(1 / np.log2(np.arange(2, k + 2))))
    # whole numbers, so that equal lists have equal values whatever led to them, and nothing adds up
    scale = 2.0 ** (62 - len(some).bit_length())

    def scaled(hits: Int64, liked: Int64) -> Int64:
        # relevant items stand in front, so the number of hits says where they are
        best = np.minimum(liked, k)
        value: Float64 = {
            "precision": hits / k,
            "recall": hits / liked,
            "ndcg": gains[hits] / gains[best],
            "map": hits / best,
        }[name]
        return np.rint(value * scale).astype(np.int64)

    users = np.maximum(liked[path.steps[:, 0]], 1)  # those without relevant items have no hits to lose
    change = scaled(path.steps[:, 6], users) - scaled(path.steps[:, 5], users)
    total = np.cumsum(np.append(scaled(np.minimum(some, k), some).sum(), change))
    return np.asarray(total / (scale * len(some)))


def _fairness(path: Walk, name: Fairness) -> Float64:
    """The corrected fairness at the start and after each step: float64 [N + 1]."""
    exposure = Exposure.of(path.lists, path.n_items)
    n, k, s, count = exposure.n, exposure.k, exposure.slots, np.sort(exposure.count)
    f, r = exposure.even
    taken, given, spread = path.steps[:, 3], path.steps[:, 4], path.steps[:, 7]
    if name == "gini":
        pairs = np.cumsum(np.append(np.dot(2 * np.arange(1, n + 1) - n - 1, count), spread))
        least = (n - r) * r / (n * s)
        return np.asarray((pairs / (n * s) - least) / (1 - k / n - least))
    if name == "jain":
        squares = np.cumsum(np.append(np.dot(count, count), 2 * (given - taken + 1)))
        most = s * s / (n * (n * f * f + r * (2 * f + 1)))
        return np.asarray((s * s / n / squares - k / n) / (most - k / n))
    # whole numbers, as for the relevance; the logarithm's base cancels
    scale = 2.0 ** (62 - int(s * np.log(s)).bit_length())
    table = np.rint(xlogy(c := np.arange(count[-1] + 1), c) * scale).astype(np.int64)
    change = table[taken - 1] - table[taken] + table[given + 1] - table[given]
    total = np.cumsum(np.append(table[count].sum(), change)) / scale
    most = np.log(s) - (r * xlogy(f + 1, f + 1) + (n - r) * xlogy(f, f)) / s
    return np.asarray((np.log(s) - total / s - np.log(k)) / (most - np.log(k)))
