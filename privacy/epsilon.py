"""Lower bounds on epsilon: what attacks that have succeeded so often refute.

Bounds from rates take candidates for independent draws, which candidates of one training need not be; `one_run` asks
for fair and independent coins only. `docs/methods/epsilon.md` compares them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from ..audit.statistics import clopper_pearson
from ..datasets.errors import InputError
from ..datasets.seeding import rng
from .signals import Float64

LARGEST = 50.0
"""No sample that fits a machine shows more."""


@dataclass(frozen=True)
class Bound:
    """A lower confidence bound on the epsilon of a mechanism.

    Attributes:
        epsilon: 0 and above; the true one is lower with a chance of `alpha` at most.
        ceiling: what a perfect attack on a sample of this size and at this level would have shown.
        delta: of the (epsilon, delta) that is bounded.
        alpha: the level.
        method: how it was computed.
        unit: what is in the data or not: interaction or user.
        model_based: whether it holds only if the trade-off of errors is that of a Gaussian mechanism.
        details: counts behind it.
    """

    epsilon: float
    ceiling: float
    delta: float
    alpha: float
    method: str
    unit: str = "interaction"
    model_based: bool = False
    details: dict[str, Any] = field(default_factory=dict)


def from_rates(hits: int, members: int, alarms: int, others: int, delta: float = 0.0, alpha: float = 0.05) -> Bound:
    """From how many members and how many others a threshold, fixed before, lets through.

    Any (epsilon, delta) mechanism has TPR <= e^eps FPR + delta, and the same of 1 - FPR and 1 - TPR. TPR is bounded
    from below and FPR from above, each at alpha / 2 (Clopper-Pearson); both inequalities read the same two bounds, so
    that the larger of their epsilons still holds at alpha.

    Args:
        hits: members above the threshold.
        members: all of them.
        alarms: others above it.
        others: all of them; members and others are independent draws.
        delta: in [0, 1).
        alpha: in (0, 1).

    Raises:
        InputError: a count that is negative or above its total, no member or no other, delta or alpha out of range.

    Reference: Jagielski, Ullman, Oprea 2020, Auditing Differentially Private Machine Learning, NeurIPS, section 3.
    """
    low, high = _rates(hits, members, alarms, others, delta, alpha)
    return Bound(
        _of_rates(low, high, delta), ceiling(members, others, delta, alpha), delta, alpha, "Clopper-Pearson",
        details={"tpr_low": low, "fpr_high": high},
    )  # fmt: skip


def ceiling(members: int, others: int, delta: float = 0.0, alpha: float = 0.05) -> float:
    """What `from_rates` would show if every member were caught and nobody else: samples of this size show no more.

    Args and errors as `from_rates`.
    """
    return _of_rates(*_rates(members, members, 0, others, delta, alpha), delta)


def gaussian_from_rates(
    hits: int, members: int, alarms: int, others: int, delta: float = 1e-5, alpha: float = 0.05
) -> Bound:
    """The same under the assumption of a Gaussian mechanism's trade-off: tighter, and model-based.

    mu = Phi^-1(1 - FPR) - Phi^-1(1 - TPR) from the ends of both intervals, and epsilon solves
    delta = Phi(-eps / mu + mu / 2) - e^eps Phi(-eps / mu - mu / 2).

    Args and errors as `from_rates`; delta above 0.

    Reference: Dong, Roth, Su 2022, Gaussian Differential Privacy, JRSS B 84, corollary 2.13.
    """
    if not delta > 0:
        raise InputError(f"delta must be above 0 for a Gaussian mechanism, got {delta:g}")
    ends = _rates(hits, members, alarms, others, delta, alpha), _rates(members, members, 0, others, delta, alpha)
    mu = [float(stats.norm.isf(high) - stats.norm.isf(low)) for low, high in ends]
    return Bound(
        _of_mu(mu[0], delta), _of_mu(mu[1], delta), delta, alpha, "Gaussian trade-off", model_based=True,
        details={"tpr_low": ends[0][0], "fpr_high": ends[0][1]},
    )  # fmt: skip


def at_best_threshold(member: Float64, other: Float64, delta: float = 0.0, alpha: float = 0.05, seed: int = 0) -> Bound:
    """`from_rates` at a threshold that is chosen on one random half of the scores and used on the other.

    Args:
        member: float64 [N], scores of members, 2 or more.
        other: float64 [M], of others, 2 or more.
        delta: in [0, 1).
        alpha: in (0, 1).
        seed: of the halves.

    Raises:
        InputError: as `from_rates`, or a score is NaN, or too few.
    """
    _scores(member, other)
    if min(len(member), len(other)) < 2:
        raise InputError("a threshold needs 2 members and 2 others, one of each to choose it by")
    stream = rng(seed, "privacy", "threshold")
    (first, second), (own, rest) = (np.array_split(stream.permutation(part), 2) for part in (member, other))
    levels = np.unique(np.concatenate([first, own]))
    hits = len(first) - np.searchsorted(np.sort(first), levels, side="left")
    alarms = len(own) - np.searchsorted(np.sort(own), levels, side="left")
    low = clopper_pearson(hits, len(first), alpha / 2)[0]
    high = clopper_pearson(alarms, len(own), alpha / 2)[1]
    chosen = levels[int(np.argmax([_of_rates(a, b, delta) for a, b in zip(low, high, strict=True)]))]
    return from_rates(int((second >= chosen).sum()), len(second), int((rest >= chosen).sum()), len(rest), delta, alpha)


def at_fixed_thresholds(
    member: Float64, other: Float64, thresholds: Sequence[float], delta: float = 0.0, alpha: float = 0.05
) -> Bound:
    """The best of `from_rates` over thresholds named before any score was seen, each at an equal part of alpha.

    All scores count, where `at_best_threshold` has half of them; but it needs a scale that is known beforehand, such
    as percentiles. Thresholds read off these scores, quantiles for one, do not hold the level.

    Args:
        member: float64 [N], scores of members.
        other: float64 [M], of others.
        thresholds: T different ones; a score at or above one passes it.
        delta: in [0, 1).
        alpha: in (0, 1).

    Raises:
        InputError: as `from_rates`, or a score is NaN, or there is no threshold, or one is NaN.
    """
    _scores(member, other)
    _levels(delta, alpha)
    levels = np.unique(np.asarray(thresholds, np.float64))
    if not len(levels) or np.isnan(levels).any():
        raise InputError("thresholds: give one number or more, none of them NaN")
    hits = len(member) - np.searchsorted(np.sort(member), levels, side="left")
    alarms = len(other) - np.searchsorted(np.sort(other), levels, side="left")
    part = alpha / len(levels)
    tried = [
        from_rates(int(a), len(member), int(b), len(other), delta, part) for a, b in zip(hits, alarms, strict=True)
    ]
    best = int(np.argmax([own.epsilon for own in tried]))
    return replace(
        tried[best], alpha=alpha, details=tried[best].details | {"threshold": float(levels[best]), "tried": len(levels)}
    )


def one_run(m: int, r: int, v: int, delta: float = 0.0, alpha: float = 0.05) -> float:
    """Of m candidates that fair coins put into one training, r were guessed about and v of the guesses were right.

    With q = e^eps / (1 + e^eps): beta = P[Bin(r, q) >= v], a = max over i of P[v - i <= Bin(r, q) < v] / i, and
    epsilon is refuted if beta + 2 m delta a <= alpha. The largest refuted one is the bound.

    Args:
        m: candidates, whether guessed about or not.
        r: guesses; how many must not depend on whether they were right.
        v: right ones.
        delta: in [0, 1).
        alpha: in (0, 1).

    Raises:
        InputError: counts that do not fit one another, delta or alpha out of range.

    Reference: Steinke, Nasr, Jagielski 2023, Privacy Auditing with One (1) Training Run, NeurIPS, theorem 5.2.
    """
    _levels(delta, alpha)
    if not 0 <= v <= r <= m or m < 1:
        raise InputError(f"{v} right of {r} guesses about {m} candidates cannot be; give 0 <= v <= r <= m, m 1 or more")
    return _refuted(m, r, v, delta, alpha)


@lru_cache(maxsize=4096)  # ceilings are asked for again and again
def _refuted(m: int, r: int, v: int, delta: float, alpha: float) -> float:
    """The bisection of `one_run`, to 1e-6 from below."""
    if v == 0 or _chance(0.0, m, r, v, delta) > alpha:
        return 0.0
    low, high = 0.0, LARGEST
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _chance(middle, m, r, v, delta) <= alpha else (low, middle)
    return low


def guesses(scores: Float64, included: NDArray[np.bool_], r: int, seed: int = 0) -> int:
    """How many are right if the r / 2 highest are guessed to be in and as many of the lowest out; ties by a draw.

    Args:
        scores: float64 [m].
        included: bool [m].
        r: guesses, an even number from 0 to m.
        seed: of the draw.

    Raises:
        InputError: a score is NaN, lengths differ, the coins are not bool, or r is odd or not in 0..m.
    """
    _coins(scores, included)
    if r % 2 or not 0 <= r <= len(scores):
        raise InputError(f"r: {r} guesses about {len(scores)} candidates; give an even number from 0 to their number")
    order = np.lexsort((rng(seed, "privacy", "guesses").random(len(scores)), scores))
    half = r // 2
    return int(included[order[len(order) - half :]].sum() + (~included[order[:half]]).sum())


def one_run_bound(
    scores: Float64,
    included: NDArray[np.bool_],
    delta: float = 1e-5,
    alpha: float = 0.05,
    shares: Sequence[float] = (0.02, 0.1, 0.5, 1.0),
) -> Bound:
    """The best of `one_run` with guesses about these shares of the candidates, each at an equal part of alpha.

    Args:
        scores: float64 [m], larger is "was in".
        included: bool [m], the coins, fair and independent.
        delta: in [0, 1).
        alpha: in (0, 1).
        shares: in (0, 1], fixed before the scores are seen.

    Returns:
        The bound; its details list what was tried: guesses, right ones, epsilon and ceiling of each share.

    Raises:
        InputError: a score is NaN, lengths differ, the coins are not bool, all or none was included, no share or one
            outside (0, 1], delta or alpha out of range.
    """
    _coins(scores, included)
    _scores(scores[included], scores[~included])
    _levels(delta, alpha)
    if not len(shares) or not all(0 < share <= 1 for share in shares):
        raise InputError(f"shares: give one or more above 0 and up to 1, got {list(shares)}")
    m, part = len(scores), alpha / len(shares)
    tried = []
    for share in shares:
        r = max(2, 2 * int(share * m / 2))
        v = guesses(scores, included, r)
        tried.append((one_run(m, r, v, delta, part), r, v))
    best = max(tried)
    tops = [one_run(m, r, r, delta, part) for _, r, _ in tried]
    rows = [
        {"guesses": r, "right": v, "epsilon": own, "ceiling": top} for (own, r, v), top in zip(tried, tops, strict=True)
    ]
    return Bound(
        best[0], max(tops), delta, alpha, "one training run",
        details={"candidates": m, "guesses": best[1], "right": best[2], "tried": rows},
    )  # fmt: skip


def _chance(epsilon: float, m: int, r: int, v: int, delta: float) -> float:
    """The largest chance of v or more right guesses under (epsilon, delta)."""
    q = 1 / (1 + math.exp(-epsilon))
    beta = float(stats.binom.sf(v - 1, r, q))
    if not delta:
        return beta
    below = np.cumsum(stats.binom.pmf(np.arange(v - 1, -1, -1), r, q)) / np.arange(1, v + 1)
    return min(1.0, beta + 2 * m * delta * float(below.max()))


def _of_rates(low: float, high: float, delta: float) -> float:
    found = [(low - delta) / high if high > 0 else 0.0, (1 - high - delta) / (1 - low) if low < 1 else 0.0]
    return max(0.0, math.log(best)) if (best := max(found)) > 0 else 0.0


def _of_mu(mu: float, delta: float) -> float:
    def over(epsilon: float) -> float:
        second = epsilon + stats.norm.logcdf(-epsilon / mu - mu / 2)
        return float(stats.norm.cdf(-epsilon / mu + mu / 2) - math.exp(second) - delta)

    return float(optimize.brentq(over, 0.0, 500.0)) if mu > 0 and over(0.0) > 0 else 0.0


def _rates(hits: int, members: int, alarms: int, others: int, delta: float, alpha: float) -> tuple[float, float]:
    _levels(delta, alpha)
    for name, count, total in (("hits", hits, members), ("alarms", alarms, others)):
        if total < 1 or not 0 <= count <= total:
            raise InputError(f"{name}: {count} of {total} cannot be; counts are 0 to their total, which is 1 or more")
    low = clopper_pearson(np.array([hits]), members, alpha / 2)[0][0]
    high = clopper_pearson(np.array([alarms]), others, alpha / 2)[1][0]
    return float(low), float(high)


def _levels(delta: float, alpha: float) -> None:
    if not 0 <= delta < 1:
        raise InputError(f"delta must lie in [0, 1), got {delta}")
    if not 0 < alpha < 1:
        raise InputError(f"alpha must lie between 0 and 1, got {alpha}")


def _coins(scores: Float64, included: NDArray[np.bool_]) -> None:
    if len(scores) != len(included):
        raise InputError(f"{len(scores)} scores for {len(included)} coins; give one for each")
    if included.dtype != np.bool_:
        raise InputError(f"included: the coins are {included.dtype}; give bool")  # numbers would index, not choose
    if np.isnan(scores).any():
        raise InputError("a score is NaN; give every candidate a number, the lowest where nothing is known")


def _scores(member: Float64, other: Float64) -> None:
    if not len(member) or not len(other):
        raise InputError("all candidates were included, or none; there is nothing to tell apart: draw coins for more")
    if np.isnan(member).any() or np.isnan(other).any():
        raise InputError("a score is NaN; give every candidate a number, the lowest where nothing is known")
