"""Normalised entropy of exposure."""

from __future__ import annotations

import numpy as np

from .counts import Counts
from .measure import SOURCE, Measure


def _entropy(counts: Counts) -> float:
    share = counts.items[counts.items > 0] / counts.slots
    return float(-(share * np.log(share)).sum() / np.log(counts.n))


def original(counts: Counts) -> float | None:
    """-sum p_i log_n p_i over all n items; undefined as soon as one item is never shown (0 log 0)."""
    if not counts.slots or counts.n < 2 or not counts.items.all():
        return None
    return _entropy(counts)


def corrected(counts: Counts) -> float | None:
    """Entropy over shown items between log_n k and the largest these lists can reach, 0..1."""
    if not counts.correctable:
        return None
    n, s = counts.n, counts.slots
    least = np.log(counts.k) / np.log(n)
    f, r = counts.even
    if f == 0:
        most = np.log(s) / np.log(n)
    else:
        shares = np.array([(f + 1) / s, f / s])
        most = -float(np.dot([r, n - r], shares * np.log(shares))) / np.log(n)
    return float((_entropy(counts) - least) / (most - least))


MEASURE = Measure(
    slug="entropy",
    title="Entropy",
    direction="up",
    corrected=corrected,
    original=original,
    source=SOURCE,
    meaning="How spread out exposure is; 1 = as even as these lists allow.",
    limits="Grows with coverage almost linearly; says little about the few items at the very top.",
)
