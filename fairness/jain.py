"""Jain's fairness index of exposure."""

from __future__ import annotations

import numpy as np

from .counts import Counts
from .measure import SOURCE, Measure


def original(counts: Counts) -> float | None:
    """s^2 / (n sum c_i^2), in [k/n, 1]; 1 = even."""
    if not counts.slots:
        return None
    return counts.slots**2 / (counts.n * int(np.dot(counts.items, counts.items)))


def corrected(counts: Counts) -> float | None:
    """(J - k/n) / (J_max - k/n) with J_max = s^2 / (n [n f^2 + r (2 f + 1)]), 0..1."""
    value = original(counts)
    if value is None or not counts.correctable:
        return None
    f, r = counts.even
    most = counts.slots**2 / (counts.n * (counts.n * f * f + r * (2 * f + 1)))
    least = counts.k / counts.n
    return (value - least) / (most - least)


MEASURE = Measure(
    slug="jain",
    title="Jain's index",
    direction="up",
    corrected=corrected,
    original=original,
    source=SOURCE,
    meaning="How even exposure is, strictly: a few dominating items bring it near 0.",
    limits="Stays near 0 until most of the catalogue is shown evenly (published insertion: below .01 at 90 %).",
)
