"""Intervals, detectable effects and the sample that would settle a question; targets are the sample, not users.

An attack is tried on target items. All users of one refit move together, so a unit is one (target, seed), units
of one target form a cluster, and everything below counts clusters.

How the interval was chosen (`benchmarks/coverage.py`, 4,000 samples a row, nominal 99 %; share of intervals that hold
the true mean, in brackets the median width, 1 = normal interval with known variance):

    population, K          percentile    BCa           bootstrap-t   Student's t   used
    normal, 5              .901 [0.77]   .895 [0.79]   .993 [3.92]   .989 [1.62]   .996 [2.32]
    normal, 10             .963 [0.89]   .964 [0.91]   .991 [1.34]   .993 [1.21]   .996 [1.39]
    normal, 30             .986 [0.97]   .985 [0.98]   .991 [1.07]   .991 [1.06]   .992 [1.10]
    lognormal s=0.5, 5     .873 [0.67]   .875 [0.69]   .987 [4.20]   .974 [1.40]   .988 [2.10]
    lognormal s=0.5, 10    .939 [0.80]   .947 [0.84]   .981 [1.31]   .970 [1.09]   .983 [1.39]
    lognormal s=1, 5       .783 [0.43]   .802 [0.46]   .966 [3.67]   .905 [0.92]   .952 [1.37]
    lognormal s=1, 10      .872 [0.58]   .898 [0.65]   .955 [1.23]   .908 [0.80]   .956 [1.28]
    lognormal s=1, 30      .940 [0.77]   .956 [0.86]   .977 [1.08]   .940 [0.84]   .977 [1.17]
    70 % zeros, 5          .682 [0.30]   .708 [0.35]   .829 [inf]    .740 [0.68]   .755 [0.86]
    70 % zeros, 10         .792 [0.45]   .843 [0.54]   .970 [inf]    .810 [0.65]   .890 [1.12]
    70 % zeros, 30         .902 [0.68]   .945 [0.80]   .992 [1.48]   .894 [0.76]   .989 [1.38]

Resampling K clusters never reaches beyond the sample, so percentile and BCa intervals miss far too often at the sizes
audits can afford. Bootstrap-t covers best but is of little use at K = 5, and has no end where many samples hold one
value. Student's t is right for symmetric differences; for skewed ones it misses large effects. `interval` takes
bootstrap-t with a floor under the spread of a resample, and never less than Student's t on either side. (Hall's 1992
skewness-corrected t covers like it and is wider from K = 10 on.) What no method repairs at K = 5 is a population in
which most targets show nothing and a few much: `unseen_share` says what such samples leave open. Targets of real
attacks (115 combinations of attack and victim on two data sets, five targets each) show skewness of either sign, often
as large as five values allow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..datasets.seeding import rng

Interval = tuple[float, float]

RESAMPLES = 9_999
FLOOR = 0.2
"""Share of the sample's spread that a resample's spread counts as at least."""

POWER = 2.8
"""z(.975) + z(.80): a true effect of this many standard errors is seen at the 5 % level with 80 % power."""

LIKELY = 0.8416
"""z(.80): how far the estimate may wander and a sample of `needed_units` still settles the question."""


def interval(
    values: ArrayLike, clusters: Sequence[str], confidence: float, seed: int = 0, *, resolution: float = 0.0
) -> Interval | None:
    """Confidence interval of the mean over clusters: bootstrap-t over clusters joined with Student's t.

    Paired differences come in as values. Each cluster counts once, by the mean of its units. The spread between
    clusters is never taken to be less than `resolution`, since targets that look alike may differ by a step:
    K equal values give v -+ t * resolution / sqrt(K), and a point only for a measure without steps.

    Args:
        values: float [n], one per unit, finite.
        clusters: [n], the cluster of each unit.
        confidence: coverage wanted, inside 0..1.
        seed: of the resampling.
        resolution: smallest step that one unit can show.

    Returns:
        Lower and upper end; None with fewer than two clusters.

    Reference: B. Efron, R. Tibshirani 1993, An Introduction to the Bootstrap, section 12.5.
    """
    means = np.sort(cluster_means(values, clusters))  # so that neither names nor order change the interval
    count = len(means)
    if count < 2:
        return None
    spread = _spread(means, resolution)
    reach = student(count - 1, confidence)
    low, high = studentised_reach(means[None], np.array([spread]), confidence, resampling(count, seed))
    error = spread / math.sqrt(count)
    centre = float(means.mean())
    return centre - max(reach, float(low[0])) * error, centre + max(reach, float(high[0])) * error


def studentised_reach(
    means: NDArray[np.float64], spread: NDArray[np.float64], confidence: float, weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How many standard errors a bootstrap-t interval reaches below and above the mean, for R samples at once.

    A resample of few different clusters has next to no spread, and one of equal values none: its spread counts as
    `FLOOR` of the sample's at least, else the interval of a small sample has no end.

    Shapes: means float64 [R, K], spread float64 [R] (standard deviations), weights float64 [B, K]
        -> float64 [R], float64 [R].
    """
    count = means.shape[1]
    off = means - means.mean(1, keepdims=True)
    moved = off @ weights.T / count
    variance = (np.square(off) @ weights.T / count - np.square(moved)) * count / (count - 1)
    own = np.sqrt(np.maximum(variance, np.square(FLOOR * spread)[:, None]))
    ratio = np.divide(math.sqrt(count) * moved, own, out=np.zeros_like(moved), where=own > 0)
    low, high = np.quantile(ratio, [(1 - confidence) / 2, (1 + confidence) / 2], axis=1)
    return high, -low


@cache
def resampling(count: int, seed: int) -> NDArray[np.float64]:
    """How often each of K clusters is drawn in each resample, float64 [B, K]."""
    draws = rng(seed, "cluster-bootstrap", count).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return draws.astype(np.float64)


def normal_interval(estimate: float, standard_error: float, confidence: float) -> Interval:
    """Interval for large samples of users: estimate -+ z * standard error."""
    from scipy.special import ndtri

    reach = float(ndtri((1 + confidence) / 2)) * standard_error
    return estimate - reach, estimate + reach


def mde(values: ArrayLike, clusters: Sequence[str], *, resolution: float = 0.0) -> float | None:
    """Minimal detectable effect 2.8 s / sqrt(K): 80 % power at the 5 % level; None with fewer than two clusters.

    K counts clusters, s is the standard deviation of their means.
    """
    means = cluster_means(values, clusters)
    return POWER * _spread(means, resolution) / math.sqrt(len(means)) if len(means) > 1 else None


def needed_units(sd: float, distance: float, confidence: float, limit: int = 10_000) -> int | None:
    """How many clusters settle on which side of a bound the mean lies, with 80 % probability.

    Args:
        sd: standard deviation between clusters.
        distance: from the estimate to the bound, taken as the truth.
        confidence: of the interval that has to stay on one side.
        limit: the most that is worth naming.

    Returns:
        The smallest K >= 2 with (t(K - 1) + .84) sd / sqrt(K) <= distance; None beyond the limit.
    """
    from scipy.special import stdtrit

    if not distance > 0:
        return None
    counts = np.arange(2, limit + 1)
    reach = (stdtrit(counts - 1, (1 + confidence) / 2) + LIKELY) * sd / np.sqrt(counts)
    enough = np.flatnonzero(reach <= distance)
    return int(counts[enough[0]]) if len(enough) else None


def unseen_share(count: int, confidence: float) -> float:
    """Largest share of a population that differs although none of `count` drawn members does (rule of three).

    1 - (1 - confidence)^(1 / count): 45 % for 5 at 95 %, about 3 / count for many.
    """
    return float(-np.expm1(np.log1p(-confidence) / count))


def cluster_means(values: ArrayLike, clusters: Sequence[str]) -> NDArray[np.float64]:
    """Mean of each cluster's units, float64 [K], by cluster name; the order of units changes nothing."""
    numbers = np.asarray(values, np.float64)
    if numbers.shape != (len(clusters),):
        raise ValueError(f"one cluster per value: {numbers.shape} values, {len(clusters)} clusters")
    by_cluster: dict[str, list[float]] = {}
    for cluster, number in zip(clusters, numbers.tolist(), strict=True):
        by_cluster.setdefault(cluster, []).append(number)
    # exactly rounded sums: the same for any order of units
    return np.array([math.fsum(by_cluster[name]) / len(by_cluster[name]) for name in sorted(by_cluster)])


def student(freedom: int, confidence: float) -> float:
    """Two-sided quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))


def paired_standard_error(a: ArrayLike, b: ArrayLike) -> float | None:
    """Standard error of the mean difference of two models over the same users.

    Shapes: a, b float [U], row by row the same user. None with fewer than two users.
    """
    difference = np.asarray(a, np.float64) - np.asarray(b, np.float64)
    return float(difference.std(ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else None


def clopper_pearson(
    counts: NDArray[np.integer], trials: int, alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact bounds on the chance behind a count; each of the two is wrong with a chance of alpha at most.

    Shapes: counts int [...] in 0..trials -> lower and upper float64 [...] in 0..1.

    Reference: Clopper and Pearson 1934, Biometrika 26(4); quantiles of Beta(c, T - c + 1) and Beta(c + 1, T - c).

    Raises:
        ValueError: alpha is not between 0 and 1, or a count not in 0..trials.
    """
    from scipy.stats import beta

    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")
    distinct, back = np.unique(counts, return_inverse=True)
    if len(distinct) and (distinct[0] < 0 or distinct[-1] > trials):
        raise ValueError(f"counts must lie in 0..{trials}")
    lower, upper = np.zeros(len(distinct)), np.ones(len(distinct))
    some, missed = distinct > 0, distinct < trials
    lower[some] = beta.ppf(alpha, distinct[some], trials - distinct[some] + 1)
    upper[missed] = beta.isf(alpha, distinct[missed] + 1, trials - distinct[missed])
    shape = np.shape(counts)
    return lower[back].reshape(shape), upper[back].reshape(shape)


def _spread(means: NDArray[np.float64], resolution: float) -> float:
    return max(float(means.std(ddof=1)), resolution)
