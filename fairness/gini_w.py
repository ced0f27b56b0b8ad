"""Gini index of exposure weighted by place."""

from __future__ import annotations

import numpy as np

from .measure import REACHABLE, TORS, Measure
from .recommendations import Recommendations
from .value import Float64, Value


def original(data: Recommendations) -> Value:
    """The Gini index of w_i, the sum of 1 / log2(rank + 1) over the places of item i; 0 = even."""
    shown = data.exposure.dcg
    total = float(shown.sum())
    if not total:
        return Value.undefined("nothing is recommended")
    n = len(shown)
    return Value(float(np.dot(2 * np.arange(1, n + 1) - n - 1, np.sort(shown))) / (n * total))


def _places(k: int) -> Float64:
    """Weights of the places from the last to the first."""
    return np.asarray(1 / np.log2(np.arange(k, 0, -1) + 1))


def _least(m: int, n: int, k: int) -> float:
    """0 if there are more slots than items (a bound), else every item at most once, each place with m items."""
    if m * k > n:
        return 0.0
    before = n - m * k + m * np.arange(k)  # items below those of this place
    weights = _places(k)
    return float((weights * m * (2 * before + m - n)).sum() / (n * m * weights.sum()))


def _most(n: int, k: int) -> float:
    """All users get the same list."""
    weights = _places(k)
    return float((weights * (2 * np.arange(n - k + 1, n + 1) - n - 1)).sum() / (n * weights.sum()))


def corrected(data: Recommendations) -> Value:
    """The same between the ends for this many users, items and places; 0 fairest, 1 everybody the same list."""
    exposure, value = data.exposure, original(data).value
    # lists of the whole catalogue still differ in their order
    if value is None or not exposure.full or exposure.n_lists == 1:
        return Value.undefined(exposure.no_range)
    least, most = _least(exposure.n_lists, exposure.n, exposure.k), _most(exposure.n, exposure.k)
    return Value((value - least) / (most - least))


MEASURE = Measure(
    slug="gini_w",
    symbol="Gini-w",
    title="Gini index weighted by place",
    direction="down",
    needs="lists",
    original=original,
    corrected=corrected,
    ends=lambda m, n, k: (_least(m, n, k), _most(n, k)),
    tight=False,
    source=TORS,
    meaning="How unevenly attention is shared among all items, the first places of a list counting more.",
    limits=(
        "Blind to who likes what.",
        "With more slots than items the fair end is a bound that lists in general cannot reach.",
    ),
    cured=REACHABLE + "Except the fair end where there are more slots than items.",
)
