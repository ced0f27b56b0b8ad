"""Uncertainty of measures: users drawn anew, as weights on what was counted once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..datasets.log import Int64
from ..datasets.seeding import rng
from .measure import Formula
from .recommendations import GAMMA, Exposure, Recommendations
from .value import Float64

_CELLS = 8_000_000
"""Numbers of a block of resamples that exist at once."""


def draws(n_users: int, seed: int, resamples: int) -> Iterator[Int64]:
    """How often each user is drawn, int64 [m], resamples times; the same for every system with as many users."""
    generator = rng(seed, "bootstrap-over-users")
    for _ in range(resamples):
        yield np.bincount(generator.integers(0, n_users, n_users), minlength=n_users)


def resampled(data: Recommendations, seed: int, resamples: int) -> Iterator[Recommendations]:
    """The same recommendations with users drawn with replacement.

    Exposure of a whole block of resamples is one sparse product of the items' lists with the weights, not a pass over
    the lists for each.
    """
    users, n = len(data.lists), data.n_items
    user, place = np.nonzero(data.lists >= 0)
    cells = data.lists[user, place], user
    incidences = [
        sparse.csr_matrix((weight, cells), shape=(n, users))
        for weight in (np.ones(len(user)), 1 / np.log2(place + 2), GAMMA**place)
    ]
    filled = (data.lists >= 0).astype(np.float64)
    block = max(1, min(resamples, _CELLS // max(users, n)))
    source = draws(users, seed, resamples)
    for start in range(0, resamples, block):
        weights = np.stack([next(source) for _ in range(min(block, resamples - start))], axis=1)
        found = _exposures(incidences, filled, weights)
        for column, exposure in enumerate(found):
            yield replace(data, weights=weights[:, column], counted=exposure)


def _exposures(incidences: list[sparse.csr_matrix], filled: Float64, weights: NDArray[np.int64]) -> Iterator[Exposure]:
    numbers = weights.astype(np.float64)
    count, dcg, rbp = (np.ascontiguousarray((incidence @ numbers).T) for incidence in incidences)
    places = np.rint(filled.T @ numbers).astype(np.int64)
    total = len(weights)
    for row in range(weights.shape[1]):
        yield Exposure(np.rint(count[row]).astype(np.int64), dcg[row], rbp[row], places[:, row], total)


def standard_errors(
    data: Recommendations, formulas: Mapping[str, Formula], seed: int, resamples: int = 200
) -> dict[str, float]:
    """Standard error of each measure over the users: 200 resamples know it to 5 %.

    Args:
        data: unweighted recommendations.
        formulas: by name.
        seed: of the run.
        resamples: B.

    Returns:
        By name the standard deviation over resamples; NaN where fewer than two are defined.
    """
    found: dict[str, list[float]] = {name: [] for name in formulas}
    for sample in resampled(data, seed, resamples):
        for name, formula in formulas.items():
            value = formula(sample).value
            if value is not None:
                found[name].append(value)
    return {name: _spread(values) for name, values in found.items()}


def paired_errors(
    first: Recommendations, second: Recommendations, formulas: Mapping[str, Formula], seed: int, resamples: int = 200
) -> dict[str, float]:
    """Standard error of the difference of two systems' measures, the same users drawn for both."""
    found: dict[str, list[float]] = {name: [] for name in formulas}
    for one, other in zip(resampled(first, seed, resamples), resampled(second, seed, resamples), strict=True):
        for name, formula in formulas.items():
            here, there = formula(one).value, formula(other).value
            if here is not None and there is not None:
                found[name].append(here - there)
    return {name: _spread(values) for name, values in found.items()}


def _spread(values: list[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
