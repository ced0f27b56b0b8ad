"""IAA: does an item's attention follow its relevance, user by user?"""

from __future__ import annotations

import numpy as np

from .gain import EFFECTIVENESS, missed_gain, user_gain
from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Value


def original(data: Recommendations) -> Value:
    """Mean over users of the mean over items of |attention - relevance|, attention (k - r) / (k - 1) at rank r <= k."""
    k = data.k
    if k == 1:
        return Value.undefined("attention (k - r) / (k - 1) does not exist for lists of one item")
    attention = (k - np.arange(1, k + 1)) / (k - 1)
    given = (data.lists >= 0) @ attention
    return data.mean((given + data.n_relevant - 2 * user_gain(data, attention)) / data.n_items)


def corrected(data: Recommendations) -> Value:
    """Per user between its ends, attention (k + 1 - r) / k so that the last place gets some; mean over users, 0..1."""
    k = data.k
    return missed_gain(data, (k + 1 - np.arange(1, k + 1)) / k)


MEASURE = Measure(
    slug="iaa",
    symbol="IAA",
    title="Inequity of amortised attention (IAA)",
    direction="down",
    needs="relevance",
    original=original,
    corrected=corrected,
    ends=None,
    source=f"Biega, Gummadi, Weikum, SIGIR 2018; {SIGIR}",
    meaning="Distance between the attention that a user's list gives to items and their relevance to the user.",
    limits=("Undefined for lists of one item.", "The last place gets no attention.", "Sees one user at a time."),
    cured="Defined for lists of one item, the last place counts, ends 0 and 1 can be reached (authors' correction).",
    caution=EFFECTIVENESS,
)
