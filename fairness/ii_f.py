"""II-F: exposure against what relevance would earn, user by user."""

from __future__ import annotations

import numpy as np

from ..datasets.log import Int64
from .gain import EFFECTIVENESS, missed_gain, user_gain
from .measure import SIGIR, Measure
from .recommendations import GAMMA, Recommendations
from .value import Float64, Value


def earned(n_relevant: Int64) -> Float64:
    """t, the exposure each of a user's relevant items would have if they shared the first places: float64 [m].

    (1 - GAMMA ** R) / ((1 - GAMMA) R), also where R is larger than the list is long; 0 without relevant items.
    """
    r = np.maximum(n_relevant, 1).astype(np.float64)
    return np.asarray(np.where(n_relevant > 0, (1 - GAMMA**r) / ((1 - GAMMA) * r), 0.0))


def _places(k: int) -> Float64:
    return np.asarray(GAMMA ** np.arange(k), np.float64)


def original(data: Recommendations) -> Value:
    """Mean over users and items of (e - e*)^2, e = GAMMA ** (rank - 1) where listed, e* as earned."""
    places = _places(data.k)
    t = earned(data.n_relevant)
    given = (data.lists >= 0) @ places**2
    return data.mean((given - 2 * t * user_gain(data, places) + data.n_relevant * t**2) / data.n_items)


def corrected(data: Recommendations) -> Value:
    """Per user between its ends (relevant items first; none or as few as possible listed); mean over users, 0..1."""
    return missed_gain(data, _places(data.k))


MEASURE = Measure(
    slug="ii_f",
    symbol="II-F",
    title="Individual inequity of exposure (II-F)",
    direction="down",
    needs="relevance",
    original=original,
    corrected=corrected,
    ends=None,
    source=f"Wu, Mitra, Ma, Diaz, Liu, SIGIR 2022 (joint multisided exposure fairness); {SIGIR}",
    meaning="Distance between the exposure a user's list gives to items and what their relevance to the user earns.",
    limits=("0 is out of reach unless lists and relevant items number one.", "Sees one user at a time."),
    cured="Ends 0 and 1 can be reached (authors' correction).",
    caution=EFFECTIVENESS,
)
