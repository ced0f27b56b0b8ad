"""FSat: which share of the items gets its maximin share of exposure."""

from __future__ import annotations

import numpy as np

from .measure import TORS, Measure
from .recommendations import Recommendations
from .value import Value

_EMPTY = "fewer slots than items: the maximin share is 0 and every item has it, so the value says nothing"


def original(data: Recommendations) -> Value:
    """Share of items shown at least f = floor(s / n) times, 0..1; always 1 when there are fewer slots than items."""
    exposure = data.exposure
    f, _ = exposure.even
    return Value(float(np.count_nonzero(exposure.count >= f) / exposure.n), _EMPTY if f == 0 else "")


def fewest(m: int, n: int, k: int) -> int:
    """The fewest items that can have their share: all others one view short of it, and these in every list."""
    f = m * k // n
    return n if f == 0 else -((n * (f - 1) - m * k) // (m - f + 1))


def corrected(data: Recommendations) -> Value:
    """(FSat - k/n) / (1 - k/n), the authors' form: 1 fairest, 0 everybody the same list; it can fall below 0."""
    exposure, found = data.exposure, original(data)
    # for one user it is defined, and as empty as the original
    if found.value is None or not exposure.full or exposure.k >= exposure.n:
        return Value.undefined(exposure.no_range)
    least = exposure.k / exposure.n
    return Value((found.value - least) / (1 - least), found.note)


MEASURE = Measure(
    slug="fsat",
    symbol="FSat",
    title="Fraction of satisfied items (FSat)",
    direction="up",
    needs="lists",
    original=original,
    corrected=corrected,
    ends=lambda m, n, k: (fewest(m, n, k) / n, 1.0),
    tight=False,
    inside=False,
    source=TORS,
    meaning="Share of items that are shown at least as often as an even split of all slots would show them.",
    limits=(
        "Always 1 with fewer slots than items.",
        "An item one view below its share counts as one never shown.",
        "The authors' correction takes one list for everybody as the unfair end, but lists that leave many items one "
        "view short have fewer satisfied items: the corrected form can be negative.",
    ),
    cured="The ends for the fairest lists and for one list for everybody are 1 and 0. The limits above stay.",
)
