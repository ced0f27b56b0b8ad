"""VoCD: how differently the items that are shown are shown."""

from __future__ import annotations

import numpy as np

from .measure import TORS, Measure
from .recommendations import Recommendations
from .value import Value


def original(data: Recommendations) -> Value:
    """Mean over pairs of recommended items of |c_i - c_j| / max(c_i, c_j), 0..1.

    The papers' use, in which every pair of items is compared (similarity threshold 0). Sorted, with prefix sums:
    the j-th count contributes (j - 1) - (sum of the smaller ones) / c_j.
    """
    count = np.sort(data.exposure.count[data.exposure.count > 0])
    q = len(count)
    if q < 2:
        return Value.undefined("fewer than two items are recommended, there is no pair to compare")
    smaller = np.cumsum(count) - count
    return Value(float((np.arange(q) - smaller / count).sum() / (q * (q - 1) / 2)))


MEASURE = Measure(
    slug="vocd",
    symbol="VoCD",
    title="Violation of coverage disparity (VoCD)",
    direction="down",
    needs="lists",
    original=original,
    corrected=None,
    ends=lambda m, n, k: (0.0, 1.0),
    tight=False,
    source=f"{TORS}, with every pair of recommended items taken as similar",
    meaning="How differently, pair by pair, the items that are shown at all are shown.",
    limits=(
        "Items that are never shown do not count: one list for everybody is perfectly fair to it.",
        "The unfair end 1 cannot be reached; the authors argue that no correction exists.",
    ),
    caution="It looks at recommended items only; read it beside coverage.",
)
