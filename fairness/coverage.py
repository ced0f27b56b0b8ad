"""Coverage (QF): which share of the catalogue is shown to anybody."""

from __future__ import annotations

import numpy as np

from .measure import REACHABLE, TORS, Measure
from .recommendations import Recommendations
from .value import Value


def original(data: Recommendations) -> Value:
    """Share of items recommended at least once, 0..1."""
    exposure = data.exposure
    return Value(float(np.count_nonzero(exposure.count) / exposure.n))


def corrected(data: Recommendations) -> Value:
    """Coverage between the fewest (k) and the most items that these lists can show, 0..1."""
    exposure = data.exposure
    if exposure.no_range:
        return Value.undefined(exposure.no_range)
    shown = int(np.count_nonzero(exposure.count))
    most = exposure.n - exposure.k if exposure.slots >= exposure.n else exposure.k * (exposure.n_lists - 1)
    return Value((shown - exposure.k) / most)


MEASURE = Measure(
    slug="qf",
    symbol="QF",
    title="Coverage (QF)",
    direction="up",
    needs="lists",
    original=original,
    corrected=corrected,
    ends=lambda m, n, k: (k / n, min(m * k, n) / n),
    source=TORS,
    meaning="Share of the catalogue that appears in at least one list.",
    limits=("An item shown once counts as much as one shown to everybody.",),
    cured=REACHABLE + "The limit above stays.",
)
