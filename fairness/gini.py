"""Gini index of exposure."""

from __future__ import annotations

import numpy as np

from .counts import Counts
from .measure import SOURCE, Measure


def original(counts: Counts) -> float | None:
    """Sum over j of (2 j - n - 1) c_(j) / (n s), counts ascending; 0 = even."""
    if not counts.slots:
        return None
    n = counts.n
    # integers until the one division, so that blocks and order cannot change the last bit
    weighted = int(np.dot(2 * np.arange(1, n + 1) - n - 1, np.sort(counts.items)))
    return weighted / (n * counts.slots)


def corrected(counts: Counts) -> float | None:
    """(G - G_min) / (1 - k/n - G_min) with G_min = (n - r) r / (n s): 0 fairest, 1 everybody the same list."""
    value = original(counts)
    if value is None or not counts.correctable:
        return None
    _, r = counts.even
    least = (counts.n - r) * r / (counts.n * counts.slots)
    return (value - least) / (1 - counts.k / counts.n - least)


MEASURE = Measure(
    slug="gini",
    title="Gini index",
    direction="down",
    corrected=corrected,
    original=original,
    source=SOURCE,
    meaning="How unevenly exposure is shared among all items of the catalogue; 0 even, 1 one list for all.",
    limits="Blind to who likes what: a popular item may deserve more exposure.",
)
