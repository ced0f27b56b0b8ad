"""Jain's fairness index of exposure."""

from __future__ import annotations

import numpy as np

from .measure import REACHABLE, TORS, Measure
from .recommendations import Recommendations
from .value import Value


def original(data: Recommendations) -> Value:
    """s^2 / (n sum c_i^2), in [k/n, 1]; 1 = even."""
    exposure = data.exposure
    if not exposure.slots:
        return Value.undefined("nothing is recommended")
    return Value(exposure.slots**2 / (exposure.n * int(np.dot(exposure.count, exposure.count))))


def _most(m: int, n: int, k: int) -> float:
    s = m * k
    f, r = divmod(s, n)
    return s**2 / (n * (n * f * f + r * (2 * f + 1)))


def corrected(data: Recommendations) -> Value:
    """(J - k/n) / (J_max - k/n) with J_max = s^2 / (n [n f^2 + r (2 f + 1)]), 0..1."""
    exposure, value = data.exposure, original(data).value
    if value is None or exposure.no_range:
        return Value.undefined(exposure.no_range)
    least = exposure.k / exposure.n
    return Value((value - least) / (_most(exposure.n_lists, exposure.n, exposure.k) - least))


MEASURE = Measure(
    slug="jain",
    symbol="Jain",
    title="Jain's index",
    direction="up",
    needs="lists",
    original=original,
    corrected=corrected,
    ends=lambda m, n, k: (k / n, _most(m, n, k)),
    source=TORS,
    meaning="How even exposure is, strictly: a few dominating items bring it near 0.",
    limits=(
        "Stays near 0 until most of the catalogue is shown evenly (published insertion: below .01 at 90 %).",
        "Blind to who likes what, and to the place in the list.",
    ),
    cured=REACHABLE + "The limits above stay.",
)
