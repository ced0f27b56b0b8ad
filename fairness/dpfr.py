"""DPFR as an audit reports it: NDCG with corrected entropy, at the middle of the frontier."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np

from ..datasets.errors import InputError
from ..recommenders.metrics import ndcg
from . import entropy
from .measure import Measure
from .oracle2fair import walk
from .pareto import Frontier, distance, frontier
from .recommendations import Recommendations, Relevance
from .value import Value

_frontiers: WeakKeyDictionary[Relevance, dict[int, Frontier]] = WeakKeyDictionary()


def _frontier(relevance: Relevance, k: int) -> Frontier:
    """Estimated once from the test data, whatever the lists and the weights of users."""
    by_length = _frontiers.setdefault(relevance, {})
    if k not in by_length:
        by_length[k] = frontier(walk(relevance.cells, relevance.consumed, k), "ndcg", "entropy")
    return by_length[k]


def original(data: Recommendations) -> Value:
    """Distance of (NDCG, corrected entropy) from the point at half the arc length of their Pareto frontier, 0..1.41."""
    _, hits = data.judged
    assert data.relevance is not None
    if data.relevance.consumed is None:
        return Value.undefined("it needs the items that users have consumed, beside the relevant ones")
    gains = ndcg(hits, np.maximum(data.n_relevant, 1), data.k)
    relevance, fairness = data.mean(gains, data.n_relevant > 0), entropy.corrected(data)
    if relevance.value is None or fairness.value is None:
        return Value.undefined(relevance.note or fairness.note)
    try:
        return Value(distance(_frontier(data.relevance, data.k), relevance.value, fairness.value))
    except InputError as error:  # the test data allow no frontier; the message says why
        return Value.undefined(str(error))


MEASURE = Measure(
    slug="dpfr",
    symbol="DPFR",
    title="Distance to the Pareto frontier of NDCG and entropy (DPFR)",
    direction="down",
    needs="consumed",
    original=original,
    corrected=None,
    ends=lambda m, n, k: (0.0, 2.0**0.5),
    tight=False,
    source=(
        "Rampisela, Ruotsalo, Maistro, Lioma: Joint Evaluation of Fairness and Relevance in Recommender Systems with "
        "Pareto Frontier, WWW 2025 (arXiv 2502.11921)"
    ),
    meaning="How far relevance and evenness of exposure together are from the best compromise the test data allow.",
    limits=(
        "The frontier is found greedily, so it is an estimate.",
        "Distances on different test data or list lengths do not compare.",
    ),
)
