"""IFD÷: do equally relevant items of a user stand at equal ranks?"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Float64, Value


def _discount(ranks: Float64) -> Float64:
    return np.asarray(1 / np.log2(ranks + 1))


def original(data: Recommendations) -> Value:
    """Mean over users of (1 / R^2) sum over pairs of relevant items of the difference of their 1 / log2(rank + 1).

    Over the full ranking, so the length of the lists plays no part: the p-th of R relevant items by rank has the
    coefficient R - 2 p + 1.
    """
    relevant, _ = data.judged
    ranks = None if data.relevance is None else data.relevance.ranks
    if ranks is None:
        return Value.undefined("the full ranks of relevant items are not known; the cut-off form needs lists only")
    total = data.n_relevant
    user = np.repeat(np.arange(len(total)), total)
    order = np.lexsort((ranks, user))
    place = np.arange(len(user)) - np.repeat(relevant.indptr[:-1], total) + 1
    share = (total[user] - 2 * place + 1) * _discount(ranks[order].astype(float))
    found = np.bincount(user, share, minlength=len(total)) / np.maximum(total, 1) ** 2
    return data.mean(found, total > 0)


def _cut(data: Recommendations) -> Float64:
    """Each user's value with no weight beyond the list, float64 [m]."""
    _, hits = data.judged
    place = np.cumsum(hits, axis=1)
    coefficient = data.n_relevant[:, None] - 2 * place + 1
    found = (hits * coefficient) @ _discount(np.arange(1.0, data.k + 1))
    return np.asarray(found / np.maximum(data.n_relevant, 1) ** 2)


def cutoff(data: Recommendations) -> Value:
    """The same with no weight beyond the list: needs the lists only."""
    return data.mean(_cut(data), data.n_relevant > 0)


@lru_cache(maxsize=4096)
def extremes(n_relevant: int, k: int, forced: int) -> tuple[float, float]:
    """Lowest and highest cut-off value of a user, over all placings of at least `forced` hits.

    By recursion over places: the best of leaving a place without a hit, or giving it the next one.
    """
    most = min(n_relevant, k)
    hits = np.arange(1, most + 1)
    low, high = np.full(most + 1, np.inf), np.full(most + 1, -np.inf)
    low[0] = high[0] = 0.0
    for weight in _discount(np.arange(1.0, k + 1)):
        gain = (n_relevant - 2 * hits + 1) * weight
        low[1:] = np.minimum(low[1:], low[:-1] + gain)
        high[1:] = np.maximum(high[1:], high[:-1] + gain)
    square = n_relevant**2
    return float(low[forced:].min()) / square, float(high[forced:].max()) / square


def corrected(data: Recommendations) -> Value:
    """The cut-off form per user between its ends, mean over users, 0..1."""
    counts, which = np.unique(data.n_relevant, return_inverse=True)
    ends = np.array([extremes(int(r), data.k, max(0, int(r) - data.n_items + data.k)) for r in np.maximum(counts, 1)])
    low, high = ends[which].T
    one = data.n_relevant == 1  # no pair: 0 by definition
    # with every item listed and relevant there is one value only
    defined = one | ((data.n_relevant > 1) & (high > low))
    share = (_cut(data) - low) / np.where(high > low, high - low, 1.0)
    found = data.mean(np.where(one, 0.0, share), defined)
    if found.value is not None and (data.n_relevant <= 1).all():
        return replace(found, note="every user has a single relevant item: no pair to compare, 0 whatever is listed")
    return found


MEASURE = Measure(
    slug="ifd_div",
    symbol="IFD÷",
    title="Individual fairness disparity by ratio (IFD÷)",
    direction="down",
    needs="ranks",
    original=original,
    corrected=corrected,
    ends=None,
    source=SIGIR,
    meaning="How differently the items that are equally relevant to a user are ranked for that user.",
    limits=(
        "The original does not depend on the length of the lists, and needs the full ranking.",
        "Sees one user at a time.",
    ),
    cured="Counts the list only, ends 0 and 1 can be reached (authors' correction; our ends are exact).",
    caution="A list without any relevant item counts as perfectly fair: read it beside NDCG only.",
)
