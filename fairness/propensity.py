"""Recall, NDCG and hit rate corrected for held-out data that popular items entered more easily than others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int64
from .recommendations import Recommendations
from .value import Float64, Value

FLOOR = 0.01
"""Smallest propensity used, relative to the most popular item: a rare item counts at most 100 times as much."""


@dataclass(frozen=True, eq=False)
class Propensity:
    """How readily a relevant item enters the data, relative to the most popular one. Build it with `of`.

    Attributes:
        value: p, float64 [n], in floor..1.
        gamma: exponent of the popularity bias, at least -1, which means data missing at random.
        origin: whether gamma was given, or estimated from what a system showed.
        floor: the clip.
        clipped: bool [n], items whose propensity lay below the floor and was raised to it.
    """

    value: Float64
    gamma: float
    origin: Literal["given", "estimated"]
    floor: float
    clipped: NDArray[np.bool_]

    @classmethod
    def of(
        cls, counts: Int64, gamma: float | None = None, shown: Int64 | None = None, floor: float = FLOOR
    ) -> Propensity:
        """The power law p_i ~ n_i ** ((gamma + 1) / 2), scaled to 1 at the most popular item, then clipped.

        Args:
            counts: n_i, int64 [n], events of each item in training (`InteractionLog.item_counts`); where there are
                none, p is the floor (the authors' code leaves such items out).
            gamma: at least -1. The authors' fits lie in 1.55..3.07 (citeulike, Amazon books, Tradesy).
            shown: int64 [n], how often each item was shown while the data was collected: estimates gamma if not given.
            floor: in 0..1, above 0.

        Raises:
            InputError: neither gamma nor shown; no events; gamma or floor out of range; as `estimate_gamma`.

        Source: Yang, Cui, Xuan, Wang, Belongie, Estrin: Unbiased Offline Recommender Evaluation for
            Missing-Not-At-Random Implicit Feedback, RecSys 2018; exponent and fits as in the authors' code (github
            ylongqi/unbiased-offline-recommender-evaluation).
        """
        origin: Literal["given", "estimated"] = "given"
        if gamma is None:
            if shown is None:
                raise InputError("give gamma, the exponent of popularity bias, or how often each item was shown")
            gamma, origin = estimate_gamma(counts, shown), "estimated"
        if not len(counts) or int(counts.min()) < 0 or not int(counts.max()):
            raise InputError("item counts must not be negative, and at least one item must have events")
        if not np.isfinite(gamma) or gamma < -1:
            raise InputError(f"gamma must be -1 or more (-1: no popularity bias), got {gamma:g}")
        if not 0 < floor <= 1:
            raise InputError(f"the smallest propensity must be above 0 and at most 1, got {floor:g}")
        raw = (counts / counts.max()) ** ((gamma + 1) / 2)
        return cls(np.maximum(raw, floor), gamma, origin, floor, raw < floor)

    def __str__(self) -> str:
        """The model in words, for the report."""
        return (
            f"propensity ~ (events of the item in training) ** {(self.gamma + 1) / 2:.3g} "
            f"(power law, gamma {self.gamma:.3g} {self.origin}), 1 at the most popular item, clipped at "
            f"{self.floor:g}: {int(self.clipped.sum())} of {len(self.clipped)} items"
        )


def estimate_gamma(counts: Int64, shown: Int64) -> float:
    """Slope of ln(times shown) against ln(events), by least squares over the items that have both.

    It describes the system that `shown` comes from; lists of the audited model stand in only if the data was
    collected under one like it. Leaving out items never shown flattens the slope. Takes two int64 [n].

    Raises InputError if lengths differ, or the items shown do not have two different event counts.
    """
    if len(counts) != len(shown):
        raise InputError(f"{len(counts)} item counts, but {len(shown)} counts of being shown")
    both = (counts > 0) & (shown > 0)
    if len(np.unique(counts[both])) < 2:
        raise InputError("gamma cannot be estimated: the items shown do not differ in their number of events; give it")
    x, y = np.log(counts[both]), np.log(shown[both])
    x = x - x.mean()
    return float(x @ y / (x @ x))


@dataclass(frozen=True)
class Corrected:
    """One metric both ways, in 0..1 but for NDCG: every held-out event alike, and weighted by 1 / propensity."""

    naive: Value
    snips: Value


@dataclass(frozen=True)
class CorrectedUtility:
    """Utility of lists over data missing not at random.

    Attributes:
        k: cut-off.
        recall: per user the (weighted) share of held-out items among the first k; mean over users.
        ndcg: per user the (weighted) mean gain times R / IDCG(R, k); mean over users. Weighted it may exceed 1.
        hr: the (weighted) share of all held-out events that are found, users pooled.
        events: held-out events, users counted as often as their weights say.
        effective: (sum w)^2 / sum w^2 over these events: the equally weighted events they are worth; None for none.
        clipped_events: events of items whose propensity was clipped.
        single_users: users with one held-out item, for whom the weights cancel in recall and ndcg.
        model: the propensity model in words.
    """

    k: int
    recall: Corrected
    ndcg: Corrected
    hr: Corrected
    events: int
    effective: float | None
    clipped_events: int
    single_users: int
    model: str


def corrected_utility(data: Recommendations, propensity: Propensity, k: int | None = None) -> CorrectedUtility:
    """Self-normalised inverse propensity scoring (SNIPS) of recall, NDCG and hit rate at k.

    With w_i = 1 / p_i, recall is the mean over users of sum w_i [rank_i <= k] / sum w_i over the user's held-out
    items (the estimator of Yang et al.). NDCG is their DCG, the mean of w_i / log2(rank_i + 1), times R / IDCG(R, k)
    with the R items held out: what as many items drawn at random from all relevant ones would give. NDCG over all
    relevant items would need their number, which relative propensities do not tell. "Any item of the user is found"
    is no sum over items and cannot be reweighted, so hr is the share of events found: the usual hit rate where one
    item is held out per user. The bias of self-normalising vanishes with many events. Equal weights give the usual
    metrics. Undefined if no user has held-out items. O(m k + nnz).

    Args:
        data: lists [m, k] with binary relevance, the held-out items; user weights are respected.
        propensity: over the same n items.
        k: cut-off, 1..list length; None for the length.

    Raises:
        InputError: no relevance or graded, another catalogue, a cut-off out of range.

    Sources: Swaminathan, Joachims: The Self-Normalized Estimator for Counterfactual Learning, NIPS 2015; Yang et al.,
        RecSys 2018 (see `Propensity.of`); R / IDCG is ours; effective size: Kish, Survey Sampling, 1965.
    """
    relevant, hits = data.judged
    k = data.k if k is None else k
    if not 1 <= k <= data.k:
        raise InputError(f"the cut-off must lie in 1..{data.k}, the list length; got {k}")
    if len(propensity.value) != data.n_items:
        raise InputError(f"propensities of {len(propensity.value)} items, but the catalogue has {data.n_items}")
    weight = 1 / propensity.value
    naive, snips = (_metrics(data, hits[:, :k], each) for each in (np.ones(data.n_items), weight))
    times = np.ones(len(data.lists), np.int64) if data.weights is None else data.weights
    repeat, cell = np.repeat(times, data.n_relevant), weight[relevant.indices]
    events, single = int(repeat.sum()), int(times[data.n_relevant == 1].sum())
    if events and single == int(times[data.n_relevant > 0].sum()):
        note = "one held-out item per user: the correction cancels within each user; read hr"
        snips |= {name: replace(snips[name], note=note) for name in ("recall", "ndcg")}
    return CorrectedUtility(
        k=k,
        **{name: Corrected(naive[name], snips[name]) for name in naive},
        events=events,
        effective=float((repeat @ cell) ** 2 / (repeat @ cell**2)) if events else None,
        clipped_events=int(repeat[propensity.clipped[relevant.indices]].sum()),
        single_users=single,
        model=str(propensity),
    )


def _metrics(data: Recommendations, found: NDArray[np.bool_], weight: Float64) -> dict[str, Value]:
    """Recall, NDCG and hit rate from hits bool [m, k], cut to k already, with item weights float64 [n]."""
    relevant, _ = data.judged
    m, k = found.shape
    discount = 1 / np.log2(np.arange(2, k + 2))
    row, cell = np.repeat(np.arange(m), data.n_relevant), weight[relevant.indices]
    gain = np.where(found, weight[data.lists[:, :k]], 0)
    total = np.bincount(row, cell, minlength=m)
    defined = data.n_relevant > 0
    total_or_1 = np.where(defined, total, 1)
    recall = np.minimum(gain.sum(axis=1) / total_or_1, 1)  # sums in another order may exceed 1 by a bit
    best = np.cumsum(discount)[np.clip(data.n_relevant, 1, k) - 1]
    ndcg = data.n_relevant * (gain @ discount) / total_or_1 / best
    mass = total if data.weights is None else total * data.weights
    if not mass.sum():
        return dict.fromkeys(("recall", "ndcg", "hr"), Value.undefined("no user has held-out items"))
    mean, pooled = data.mean(recall, defined), float(recall @ mass / mass.sum())
    return {"recall": mean, "ndcg": data.mean(ndcg, defined), "hr": replace(mean, value=pooled)}
