"""Gini index of exposure."""

from __future__ import annotations

import numpy as np

from .measure import REACHABLE, TORS, Measure
from .recommendations import Recommendations
from .value import Value


def original(data: Recommendations) -> Value:
    """Sum over j of (2 j - n - 1) c_(j) / (n s), counts ascending; 0 = even."""
    exposure = data.exposure
    if not exposure.slots:
        return Value.undefined("nothing is recommended")
    n = exposure.n
    # integers until the one division, so that blocks and order cannot change the last bit
    weighted = int(np.dot(2 * np.arange(1, n + 1) - n - 1, np.sort(exposure.count)))
    return Value(weighted / (n * exposure.slots))


def _least(m: int, n: int, k: int) -> float:
    r = m * k % n
    return (n - r) * r / (n * m * k)


def corrected(data: Recommendations) -> Value:
    """(G - G_min) / (1 - k/n - G_min) with G_min = (n - r) r / (n s): 0 fairest, 1 everybody the same list."""
    exposure, value = data.exposure, original(data).value
    if value is None or exposure.no_range:
        return Value.undefined(exposure.no_range)
    least = _least(exposure.n_lists, exposure.n, exposure.k)
    return Value((value - least) / (1 - exposure.k / exposure.n - least))


MEASURE = Measure(
    slug="gini",
    symbol="Gini",
    title="Gini index",
    direction="down",
    needs="lists",
    original=original,
    corrected=corrected,
    ends=lambda m, n, k: (_least(m, n, k), 1 - k / n),
    source=TORS,
    meaning="How unevenly exposure is shared among all items of the catalogue; 0 even, 1 one list for all.",
    limits=("Blind to who likes what: a popular item may deserve more exposure.", "Blind to the place in the list."),
    cured=REACHABLE + "The limits above stay; gini_w sees places.",
)
