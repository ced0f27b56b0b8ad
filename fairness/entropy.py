"""Normalised entropy of exposure."""

from __future__ import annotations

import numpy as np

from .measure import REACHABLE, TORS, Measure
from .recommendations import Exposure, Recommendations
from .value import Value


def over_shown(exposure: Exposure) -> float:
    """-sum p_i log_n p_i over the items that are shown, p_i = c_i / s (0 log 0 = 0)."""
    share = exposure.count[exposure.count > 0] / exposure.slots
    return float(-(share * np.log(share)).sum() / np.log(exposure.n))


def _most(m: int, n: int, k: int) -> float:
    """The entropy of the fairest lists: r items shown f + 1 times and n - r items f times."""
    s = m * k
    f, r = divmod(s, n)
    if f == 0:
        return float(np.log(s) / np.log(n))
    shares = np.array([(f + 1) / s, f / s])
    return -float(np.dot([r, n - r], shares * np.log(shares))) / float(np.log(n))


def original(data: Recommendations) -> Value:
    """-sum p_i log_n p_i over all n items; undefined as soon as one item is never shown (0 log 0)."""
    exposure = data.exposure
    if exposure.n < 2 or not exposure.slots:
        return Value.undefined("entropy needs at least two items and one list")
    if not exposure.count.all():
        return Value.undefined("some item is never shown, so the sum holds 0 log 0; the corrected form is defined")
    return Value(over_shown(exposure))


def corrected(data: Recommendations) -> Value:
    """Entropy over shown items between log_n k and the largest these lists can reach, 0..1."""
    exposure = data.exposure
    if exposure.no_range:
        return Value.undefined(exposure.no_range)
    least = float(np.log(exposure.k) / np.log(exposure.n))
    most = _most(exposure.n_lists, exposure.n, exposure.k)
    return Value((over_shown(exposure) - least) / (most - least))


MEASURE = Measure(
    slug="entropy",
    symbol="Ent",
    title="Entropy",
    direction="up",
    needs="lists",
    original=original,
    corrected=corrected,
    ends=lambda m, n, k: (float(np.log(k) / np.log(n)), _most(m, n, k)),
    source=TORS,
    meaning="How spread out exposure is; 1 = as even as these lists allow.",
    limits=(
        "The original is undefined as soon as one item is never shown.",
        "Grows with coverage almost linearly; says little about the few items at the very top.",
    ),
    cured=REACHABLE + "Defined when items are never shown.",
)
