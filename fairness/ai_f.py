"""AI-F: exposure against what relevance would earn, added up over users."""

from __future__ import annotations

from .ii_f import earned
from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Value


def original(data: Recommendations) -> Value:
    """Mean over items of the square of the mean over users of (e - e*); 0 = every item gets what it earns."""
    apart = (data.exposure.rbp - data.item_sum(earned(data.n_relevant))) / data.n_users
    return Value(float(apart @ apart) / data.n_items)


MEASURE = Measure(
    slug="ai_f",
    symbol="AI-F",
    title="Inequity of exposure over all users (AI-F)",
    direction="down",
    needs="relevance",
    original=original,
    corrected=None,
    ends=None,
    source=f"Wu, Mitra, Ma, Diaz, Liu, SIGIR 2022 (joint multisided exposure fairness); {SIGIR}",
    meaning="How far the exposure that items get from all users together is from what their relevance earns.",
    limits=(
        "Tiny for large catalogues; no correction exists.",
        "Earned exposure counts all relevant items of a user, also those that no list has room for.",
    ),
)
