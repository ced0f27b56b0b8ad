"""IBO and IWO: which items do better, or worse, than they would in random order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from .measure import SIGIR, Measure
from .recommendations import Recommendations
from .value import Float64, Value

BETTER, WORSE = 1.1, 0.9


def impact_ratios(data: Recommendations) -> Float64:
    """Each item's impact over that under random order, float64 [n]; NaN where relevant to nobody.

    Impact: mean over users of 1 / rank where the item is relevant and listed. Random order:
    |U_i| (sum of 1 / r for r <= k) / (n m).
    """
    _, hits = data.judged
    users, places = np.nonzero(hits)
    value = 1.0 / (places + 1)
    if data.weights is not None:
        value = value * data.weights[users]
    impact = np.bincount(data.lists[users, places], value, minlength=data.n_items)
    wanted = data.item_sum(np.ones(len(data.lists)))
    random = wanted * (1.0 / np.arange(1, data.k + 1)).sum() / data.n_items
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(impact / random)


def _share(test: Callable[[Float64], NDArray[np.bool_]], *, of_all: bool) -> Callable[[Recommendations], Value]:
    def formula(data: Recommendations) -> Value:
        ratios = impact_ratios(data)
        wanted = ratios[~np.isnan(ratios)]
        if of_all and len(wanted) < len(ratios):
            return Value.undefined("some item is relevant to nobody; the corrected form leaves such items out")
        if not len(wanted):
            return Value.undefined("no item is relevant to anybody")
        return Value(float(np.count_nonzero(test(wanted)) / len(wanted)))

    return formula


_DIGITS = 9  # a ratio at a threshold must not flip with the order in which users are summed


def _better(ratios: Float64) -> NDArray[np.bool_]:
    return np.round(ratios, _DIGITS) >= BETTER


def _worse(ratios: Float64) -> NDArray[np.bool_]:
    return np.round(ratios, _DIGITS) <= WORSE


_SOURCE = f"Saito, Joachims, KDD 2022 (fair ranking as fair division); {SIGIR}"
_LIMITS = (
    "A step at 1.1 and 0.9: an item near it flips with one hit more or less; look at the distribution of ratios too.",
    "The original is undefined as soon as one item is relevant to nobody.",
)
_CURED = "Defined where items are relevant to nobody, by leaving them out (authors' correction)."

IBO = Measure(
    slug="ibo",
    symbol="IBO",
    title="Items better off (IBO)",
    direction="up",
    needs="relevance",
    original=_share(_better, of_all=True),
    corrected=_share(_better, of_all=False),
    ends=lambda m, n, k: (0.0, 1.0),
    tight=False,
    source=_SOURCE,
    meaning="Share of items whose users find them at least a tenth better than in random order.",
    limits=_LIMITS,
    cured=_CURED,
)

IWO = replace(
    IBO,
    slug="iwo",
    symbol="IWO",
    title="Items worse off (IWO)",
    direction="down",
    original=_share(_worse, of_all=True),
    corrected=_share(_worse, of_all=False),
    meaning="Share of items whose users find them at least a tenth worse than in random order.",
)
