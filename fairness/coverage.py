"""Coverage (QF): which share of the catalogue is shown to anybody."""

from __future__ import annotations

import numpy as np

from .counts import Counts
from .measure import SOURCE, Measure


def original(counts: Counts) -> float | None:
    """Share of items recommended at least once, 0..1."""
    return float(np.count_nonzero(counts.items) / counts.n)


def corrected(counts: Counts) -> float | None:
    """Coverage between the fewest (k) and the most items that these lists can show, 0..1."""
    if not counts.correctable:
        return None
    shown = int(np.count_nonzero(counts.items))
    most = counts.n - counts.k if counts.slots >= counts.n else counts.k * (counts.lists - 1)
    return (shown - counts.k) / most


MEASURE = Measure(
    slug="qf",
    title="Coverage (QF)",
    direction="up",
    corrected=corrected,
    original=original,
    source=SOURCE,
    meaning="Share of the catalogue that appears in at least one list.",
    limits="An item shown once counts as much as one shown to everybody.",
)
