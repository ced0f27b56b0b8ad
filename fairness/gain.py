"""The gain that corrected IAA and II-F come down to."""

from __future__ import annotations

import numpy as np

from .recommendations import Recommendations
from .value import Float64, Value


def user_gain(data: Recommendations, weights: Float64) -> Float64:
    """S, each user's sum of place weights over its hits: float64 [k] -> [m]."""
    _, hits = data.judged
    return np.asarray(hits @ weights)


def missed_gain(data: Recommendations, weights: Float64) -> Value:
    """Mean over users of the share of the reachable gain that the list misses, 0..1.

    With W_h the sum of the first h weights, R relevant items and f = max(0, R - (n - k)) of them that no list can
    leave out: (W_min(R, k) - S) / (W_min(R, k) - (W_k - W_(k - f))). Users for whom all lists gain the same are
    left out.

    Args:
        data: lists with binary relevance.
        weights: float64 [k], weight of each place, none negative and falling.
    """
    k, relevant = data.k, data.n_relevant
    cumulative = np.concatenate([[0.0], np.cumsum(weights)])
    forced = np.maximum(0, relevant - (data.n_items - k))
    most = cumulative[np.minimum(relevant, k)]
    least = cumulative[k] - cumulative[k - forced]
    # equal ends, decided on the integers: no relevant item, or every place is relevant in every list
    defined = (relevant > 0) & (relevant < data.n_items) & (forced < k)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (most - user_gain(data, weights)) / (most - least)
    return data.mean(share, defined)


EFFECTIVENESS = (
    "Not evidence of fairness: by its formula it is one minus a normalised gain of each user's own list, and "
    "compares neither items nor users. Read it as relevance, beside NDCG."
)
