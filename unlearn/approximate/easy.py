"""Which held-out pairs are as easy to guess as the forgotten ones, by a model that was taught neither."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from ...datasets.log import Int64, InteractionLog
from ...privacy.signals import percentiles
from ...recommenders.base import Recipe, Recommender
from ...recommenders.catalogue import fit

Float64 = NDArray[np.float64]

_DENSE = 6_000  # items up to which EASE is asked: it holds a number for every two, and its time grows with their cube
_WINDOW = 50  # held-out pairs that answer a forgotten one, at least
_FAR = 1e-3  # percentiles nearer to 0 or 1 are all the same


def trained_guide(retained: InteractionLog) -> Recommender:
    """A cheap model of the retain set, which guesses forgotten and held-out pairs alike, knowing neither."""
    return fit(Recipe("ease" if retained.n_items <= _DENSE else "itemknn", {}), retained, 0)


def hints(
    guide: Recommender | None, retained: InteractionLog, pairs: tuple[Int64, Int64], history: InteractionLog
) -> Float64:
    """What tells how easy pairs are: the items' log popularity; by a guide, log odds of its percentiles as well.

    A guide makes more of a long history than the victim may do, so the log length of the user's is a third hint then.

    Args:
        guide: of the retain set; None: popularity has to do.
        retained: the retain set, by which popularity and lengths are counted.
        pairs: users and items, int64 [P] each.
        history: what the guide reads of users.

    Returns:
        float64 [P, 3], of popularity alone [P, 1].
    """
    told = [np.log1p(retained.item_counts[pairs[1]])]
    if guide is not None:
        told += [log_odds(percentiles(guide, *pairs, history)), np.log1p(retained.user_counts[pairs[0]])]
    return np.stack(told, axis=1)


def as_easy(forgotten: Float64, controls: Float64, placed: Float64) -> Float64:
    """Weights of held-out pairs by which they are as easy to guess as the forgotten ones.

    The hints are summed up by what they tell of the victim: a linear regression of the log odds of the held-out pairs'
    percentiles on their hints. Each forgotten pair is answered by the held-out pairs next to it in that sum, a
    twentieth of them and 50 at least.

    Args:
        forgotten: hints of forgotten pairs, float64 [F, H], F >= 1.
        controls: of held-out pairs, float64 [C, H], C >= 1.
        placed: percentiles of the held-out pairs by the victim, float64 [C], 0..1.

    Returns:
        float64 [C], sum 1.
    """
    own, other = (np.column_stack([np.ones(len(side)), side]) for side in (forgotten, controls))
    told = np.linalg.lstsq(other, log_odds(placed), rcond=None)[0]
    easy, ranked = own @ told, other @ told
    order = np.argsort(ranked, kind="stable")
    width = min(len(order), max(_WINDOW, len(order) // 20))
    middle = sum(np.searchsorted(ranked[order], easy, side=side) for side in ("left", "right")) // 2
    first = (middle - width // 2).clip(0, len(order) - width)
    edges = np.bincount(first, minlength=len(order) + 1) - np.bincount(first + width, minlength=len(order) + 1)
    weights = np.empty(len(order))
    weights[order] = np.cumsum(edges)[:-1] / (width * len(easy))
    return weights


def log_odds(level: Float64 | float) -> Float64:
    """Of percentiles, kept off 0 and 1."""
    return np.asarray(logit(np.clip(level, _FAR, 1 - _FAR)))
