"""How exposure is shared among groups of items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from ..datasets.errors import InputError, unknown_name
from ..datasets.log import Int64
from .groups import Groups, as_distribution
from .recommendations import Recommendations
from .value import Float64, Value

By = Literal["count", "dcg"]
"""How a place in a list counts: as 1, or as 1 / log2(rank + 1)."""

TargetName = Literal["catalogue", "interactions", "relevant"]


@dataclass(frozen=True, eq=False)
class GroupExposure:
    """What each group has and gets. Shares are float64 [g], sum to 1 over the groups, NaN if there is nothing.

    Attributes:
        names: [g].
        sizes: float64 [g], items.
        catalogue: share of items.
        interactions: share of training events; None if not given.
        relevant: share of the relevant items of all users, by grade; None without relevance.
        count: share of the places in lists.
        dcg: share of the places, weighted with 1 / log2(rank + 1).
        rates: by "count" and "dcg", float64 [g]: mean exposure of an item of the group in a list, 0..1.
    """

    names: tuple[str, ...]
    sizes: Float64
    catalogue: Float64
    interactions: Float64 | None
    relevant: Float64 | None
    count: Float64
    dcg: Float64
    rates: dict[By, Float64]

    def exposure(self, by: By) -> Float64:
        """Share of exposure, float64 [g]."""
        return self.count if by == "count" else self.dcg

    def target(self, name: TargetName) -> Float64:
        """A share that exposure may be held against, float64 [g].

        Raises:
            InputError: a share that is not known here, or no such name.
        """
        known = {"catalogue": self.catalogue, "interactions": self.interactions, "relevant": self.relevant}
        if name not in known:
            raise unknown_name("target of exposure", name, known)
        share = known[name]
        if share is None:
            raise InputError(f"the target share {name!r} is not known: give training counts or relevant items")
        return share

    def ratio(self, by: By = "dcg", target: TargetName = "catalogue") -> Float64:
        """Share of exposure over target share, float64 [g]: 1 its due, 0 nothing; NaN for a group with target 0."""
        return _quotient(self.exposure(by), self.target(target))


def _quotient(part: Float64, whole: Float64) -> Float64:
    found: Float64 = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return found


def group_exposure(data: Recommendations, groups: Groups, train_counts: Int64 | None = None) -> GroupExposure:
    """Exposure of groups of items, O(m k + membership cells). Users count by their weights.

    Args:
        data: the lists; with relevance, its share per group is given too.
        groups: of the same catalogue.
        train_counts: int64 [n], training events of each item.

    Raises:
        InputError: groups or counts of another catalogue.

    Source: Singh, Joachims 2018, Fairness of Exposure in Rankings, KDD, section 3.
    """
    n = data.n_items
    if groups.n_items != n or (train_counts is not None and len(train_counts) != n):
        raise InputError(f"the lists are over {n} items, the groups or training counts over another number")
    relevant = None
    if data.relevant is not None:
        users = np.ones(len(data.lists)) if data.weights is None else data.weights.astype(np.float64)
        relevant = groups.shares(np.asarray(data.relevant.T @ users))
    sizes, shown = groups.sizes, data.exposure
    chances = sizes * shown.n_lists
    per_item: dict[By, Float64] = {"count": shown.count.astype(np.float64), "dcg": shown.dcg}
    return GroupExposure(
        names=groups.names,
        sizes=sizes,
        catalogue=groups.shares(np.ones(n)),
        interactions=None if train_counts is None else groups.shares(train_counts),
        relevant=relevant,
        count=groups.shares(per_item["count"]),
        dcg=groups.shares(per_item["dcg"]),
        rates={by: _quotient(np.asarray(groups.membership.T @ x), chances) for by, x in per_item.items()},
    )


@dataclass(frozen=True)
class ExposureDisparity:
    """How far exposure is from a target, in single numbers.

    Attributes:
        max_min: largest over smallest ratio of exposure share to target share, 1 and more; undefined if a group gets
            nothing.
        min_max: its reciprocal, 0..1, 1 = parity; 0 if a group gets nothing.
        difference: demographic parity difference, largest less smallest mean exposure of an item in a list, 0..1.
            It does not depend on the target.
        kl: Kullback-Leibler divergence of exposure from target, nats, 0 and more.
        js: Jensen-Shannon distance (root of the base-2 divergence), 0..1.
    """

    max_min: Value
    min_max: Value
    difference: Value
    kl: Value
    js: Value


def exposure_disparity(
    found: GroupExposure, target: TargetName | Float64 = "catalogue", by: By = "dcg"
) -> ExposureDisparity:
    """Disparity of exposure between groups; groups without items and without target share are not compared.

    Args:
        found: exposure per group.
        target: a share that `found` knows, or float64 [g], not negative, scaled to sum 1 here.
        by: how a place in a list counts.

    Raises:
        InputError: a target that is not known or no distribution over the groups.

    Sources: Singh, Joachims 2018, KDD, section 4.1 (demographic parity, mean exposure per item) and 4.2 (ratio to
    what is due); Lin 1991, IEEE Trans. Inf. Theory 37(1) (Jensen-Shannon divergence).
    """
    due = found.target(target) if isinstance(target, str) else as_distribution(target, len(found.names))
    share, rate = found.exposure(by), found.rates[by][found.sizes > 0]
    reason = ""
    if len(rate) < 2:
        reason = "fewer than two groups hold items: nothing to compare"
    elif np.isnan(share).any():
        reason = "no item of any group is in a list"
    elif np.isnan(due).any():
        reason = "the target share is undefined: there is nothing to share"
    if reason:
        return ExposureDisparity(*[Value.undefined(reason)] * 5)
    difference = Value(float(rate.max() - rate.min()))
    js = Value(float(jensenshannon(share, due, base=2)))
    if ((due == 0) & (share > 0)).any():
        undue = found.names[int(((due == 0) & (share > 0)).argmax())]
        why = Value.undefined(f"group {undue!r} has exposure but no target share")
        return ExposureDisparity(why, why, difference, why, js)
    kl = Value(max(0.0, float(rel_entr(share, due).sum())))  # rounding can end a hair below 0
    if np.count_nonzero(due) < 2:
        why = Value.undefined("a single group has a target share: no ratio to compare")
        return ExposureDisparity(why, why, difference, kl, js)
    ratio = share[due > 0] / due[due > 0]
    min_max = Value(float(ratio.min() / ratio.max()))
    if min_max.value:
        return ExposureDisparity(Value(1 / min_max.value), min_max, difference, kl, js)
    starved = found.names[int(((due > 0) & (share == 0)).argmax())]
    return ExposureDisparity(Value.undefined(f"group {starved!r} gets no exposure"), min_max, difference, kl, js)
