"""II-D and AI-D: how far expected exposure is from an even split, per user or added up over users."""

from __future__ import annotations

import numpy as np

from .measure import TORS, Measure
from .recommendations import GAMMA, Recommendations
from .value import Value


def _even(k: int, n: int) -> float:
    """Mean exposure of an item in one list."""
    return (1 - GAMMA**k) / ((1 - GAMMA) * n)


def individual(data: Recommendations) -> Value:
    """II-D: mean over users and items of (e_ui - mean)^2, e_ui = GAMMA ** (rank - 1) where listed, else 0."""
    exposure = data.exposure
    even = _even(exposure.k, exposure.n)
    filled = exposure.filled / exposure.n_lists
    places = GAMMA ** np.arange(exposure.k)
    square, mean = float(filled @ places**2) / exposure.n, float(filled @ places) / exposure.n
    return Value(square - 2 * even * mean + even**2)


def added_up(data: Recommendations) -> Value:
    """AI-D: mean over items of the square of the mean over users of (e_ui - mean); 0 = even."""
    exposure = data.exposure
    apart = exposure.rbp / exposure.n_lists - _even(exposure.k, exposure.n)
    return Value(float(apart @ apart) / exposure.n)


def relative(data: Recommendations) -> Value:
    """AI-D / II-D, 0..1; 1 where all users get the same list."""
    exposure = data.exposure
    if exposure.no_range:
        return Value.undefined(exposure.no_range)
    most, value = individual(data).value, added_up(data).value
    assert most is not None and value is not None
    return Value(value / most)


def _constant(m: int, n: int, k: int) -> float:
    return float((GAMMA ** (2 * np.arange(k))).sum()) / n - _even(k, n) ** 2


II_D = Measure(
    slug="ii_d",
    symbol="II-D",
    title="Individual disparity of exposure (II-D)",
    direction="down",
    needs="lists",
    original=individual,
    corrected=None,
    ends=lambda m, n, k: (_constant(m, n, k),) * 2,
    source=f"{TORS}; Wu et al., SIGIR 2022 (joint multisided exposure fairness)",
    meaning="Distance of each user's exposure of items from an even split.",
    limits=("A constant for one fixed list a user, whatever is recommended.",),
    caution="With one fixed list a user it depends on the length of the lists and the catalogue alone.",
)

AI_D = Measure(
    slug="ai_d",
    symbol="AI-D",
    title="Disparity of exposure over all users (AI-D)",
    direction="down",
    needs="lists",
    original=added_up,
    corrected=None,
    own=relative,
    ends=lambda m, n, k: (0.0, _constant(m, n, k)),
    tight=False,
    source=f"{TORS}; Wu et al., SIGIR 2022 (joint multisided exposure fairness)",
    meaning="How far the attention that items get from all users together is from an even split.",
    limits=("The original is tiny for large catalogues.", "Blind to who likes what."),
    cured="AI-D / II-D in 0..1 is recaudit's own scaling, not the paper's: 1 means one list for everybody.",
)
