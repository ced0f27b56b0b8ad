"""U-LiRA: a likelihood-ratio attack that tells "trained, then unlearned" from "never trained", pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ...audit.statistics import clopper_pearson
from ...datasets.errors import InputError
from ...privacy.membership.lira import log_normal
from ...privacy.signals import Float64, found_at, separation

POOLED_BELOW = 16
"""With fewer shadows on a side a variance of each pair's own says little: one for all pairs is taken."""
_LEAST = 3


@dataclass(frozen=True, eq=False)
class LiraResult:
    """How well the attack tells victims that were made to forget from victims that never knew.

    Attributes:
        auc: mean over the victims of the AUC of the pairs, .5 is no difference.
        interval: where it lies at the confidence asked for, from the spread of the victims.
        tpr: share of the pairs of unlearned victims above all but a share `fpr` of the others.
        tpr_interval: of Clopper and Pearson, as if all pairs of all victims were independent. Pairs of one victim
            are not, so it is too narrow.
        fpr: the rate of false alarms it is taken at.
        by_victim: float64 [K], the AUC of each victim and its counterpart.
        in_ratio: float64 [K, P], log-likelihood ratio of unlearned victims; large is "was trained on".
        out_ratio: float64 [K, P], of victims never trained on the pairs.
        pooled: whether one variance was taken for all pairs of a side.
    """

    auc: float
    interval: tuple[float, float]
    tpr: float
    tpr_interval: tuple[float, float]
    fpr: float
    by_victim: Float64
    in_ratio: Float64
    out_ratio: Float64
    pooled: bool


def lira(
    in_scores: Float64, out_scores: Float64, pooled: bool | None = None, *, fpr: float = 0.01, confidence: float = 0.95
) -> LiraResult:
    """The attack on every shadow in turn, with normals fitted to the scores of the others.

    The ratio is log N(x; m_in, s_in) - log N(x; m_out, s_out), means and variances of each pair from K - 1 shadows a
    side. Shadow k of *both* sides is left out when one of the two is the victim: with K - 1 on its own side alone,
    every victim would look less like its own kind, and the null would lie below .5.

    AUC k compares the P pairs of both victims k. Under the null it is a mean of symmetric terms g_kl over the others,
    each of which two victims share, so that the variance of the mean is 2 (K - 1) / (K - 2) times what K independent
    values of that spread would give; the interval (Student's t, K - 1 degrees) is widened by the root of that, and is
    wider than needed where the attack succeeds.

    Args:
        in_scores: float64 [K, P], K >= 3, any scale on which pairs are about normal.
        out_scores: float64 [K, P].
        pooled: one variance for all pairs of a side; None for below 16 shadows.
        fpr: rate of false alarms, above 0 and below 1.
        confidence: of the intervals.

    Raises:
        InputError: other shapes, too few shadows, or a value that is not finite.

    References: Hayes, Shumailov, Triantafillou, Khalifa, Papernot 2024, Inexact Unlearning Needs More Careful
        Evaluations to Avoid a False Sense of Privacy, arXiv 2403.01218 (U-LiRA); Carlini, Chien, Nasr, Song, Terzis,
        Tramer 2022, Membership Inference Attacks From First Principles, IEEE S&P; Clopper and Pearson 1934.
    """
    inside, outside = np.asarray(in_scores, np.float64), np.asarray(out_scores, np.float64)
    if inside.ndim != 2 or inside.shape != outside.shape or len(inside) < _LEAST or not inside.shape[1]:
        raise InputError(
            f"scores of shape {inside.shape} and {outside.shape}; both must be shadows x pairs, with {_LEAST} shadows"
        )
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        raise InputError("a score of a shadow is not finite; no normal can be fitted to it")
    count, pairs = inside.shape
    shared = count < POOLED_BELOW if pooled is None else pooled
    floor = 1e-6 * float(np.var(np.concatenate([inside, outside]))) + 1e-12  # models without a seed do not spread
    ratios = np.empty((2, count, pairs))
    for k in range(count):
        others = np.arange(count) != k
        fitted = [_normal(side[others], shared, floor) for side in (inside, outside)]
        for place, side in enumerate((inside, outside)):
            (mean, variance), (mean_out, variance_out) = fitted
            ratios[place, k] = log_normal(side[k], mean, variance) - log_normal(side[k], mean_out, variance_out)
    by_victim = np.array([separation(ratios[0, k], ratios[1, k]) for k in range(count)])
    auc = float(by_victim.mean())
    widen = math.sqrt(2 * (count - 1) / (count - 2))
    reach = float(stats.t.ppf((1 + confidence) / 2, count - 1)) * widen * float(by_victim.std(ddof=1)) / count**0.5
    tpr, total = found_at(ratios[0].ravel(), ratios[1].ravel(), rate=fpr), count * pairs
    return LiraResult(
        auc, (max(0.0, auc - reach), min(1.0, auc + reach)), tpr,
        _share(round(tpr * total), total, confidence), fpr, by_victim, ratios[0], ratios[1], shared,
    )  # fmt: skip


def _share(count: int, total: int, confidence: float) -> tuple[float, float]:
    low, high = clopper_pearson(np.array([count]), total, (1 - confidence) / 2)
    return float(low[0]), float(high[0])


def _normal(scores: Float64, pooled: bool, floor: float) -> tuple[Float64, NDArray[np.float64]]:
    """Mean [P] and variance [P] (or [1] if pooled) of each pair."""
    variance = scores.var(axis=0, ddof=1)
    return scores.mean(axis=0), np.maximum(variance.mean(keepdims=True) if pooled else variance, floor)
