"""The game: every model in turn is the victim, all others are the attacker's references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...audit.statistics import clopper_pearson
from ...datasets.log import Int64
from ..signals import Float64, separation
from .catalogue import ATTACKS
from .material import Material

RATES = (0.01, 0.001)
"""Shares of false alarms at which the true positive rate is told."""


@dataclass(frozen=True, eq=False)
class Caught:
    """Candidates above a threshold, over all victims.

    Attributes:
        rate: of false alarms, that the threshold was set for.
        hits: members above it.
        members: of all victims.
        alarms: others above it.
        others: of all victims.
        error: standard error of the true positive rate; users, with all victims, are what is resampled.
    """

    rate: float
    hits: int
    members: int
    alarms: int
    others: int
    error: float

    @property
    def tpr(self) -> float:
        """Share of the members above the threshold, 0..1."""
        return self.hits / self.members

    @property
    def fpr(self) -> float:
        """Share of the others above it, 0..1: what the threshold that references set really let through."""
        return self.alarms / self.others

    def bounds(self, confidence: float = 0.95) -> dict[str, tuple[float, float]]:
        """Clopper-Pearson intervals of both rates, as if candidates of all victims were independent."""
        found = {}
        for name, count, total in (("tpr", self.hits, self.members), ("fpr", self.alarms, self.others)):
            low, high = clopper_pearson(np.array([count]), total, (1 - confidence) / 2)
            found[name] = float(low[0]), float(high[0])
        return found


@dataclass(frozen=True, eq=False)
class Game:
    """How an attack did against every victim.

    Attributes:
        scores: float64 [M, C], the attack's; larger is "was trained on".
        auc: mean over victims; .5 tells nothing.
        error: its standard error: of users, whose candidates are resampled with all victims, or of the spread of the
            victims, whichever is larger.
        by_victim: float64 [M].
        caught: at each of `RATES`, by thresholds that the references alone set.
        users: how many users the candidates are of.
    """

    scores: Float64
    auc: float
    error: float
    by_victim: Float64
    caught: tuple[Caught, ...]
    users: int


def play(material: Material, attack: str, user: Int64, subset: NDArray[np.bool_] | None = None) -> Game:
    """Attack every model with all others as references.

    The coins of a victim are independent of everything that the attack reads, so that a model which has learnt nothing
    gives .5. Thresholds come from the references: each is attacked by the others, the victim left out of both parts,
    and the threshold lets a share of its non-members through.

    Args:
        material: three models or more.
        attack: a name in `catalogue.ATTACKS`.
        user: int64 [C], whose candidate it is.
        subset: bool [C], candidates that are looked at; all if not given.

    References: Carlini et al. 2022, IEEE S&P, section V (leave-one-out evaluation); Sun and Xu 2014, IEEE Signal
        Processing Letters 21 (placements, for the standard error of the AUC).
    """
    run, count = ATTACKS[attack], len(material.signal)
    looked = np.ones(len(user), bool) if subset is None else subset
    everyone = np.ones(count, bool)
    scores = np.stack([run(material, k, everyone & (np.arange(count) != k)) for k in range(count)])
    levels = np.stack([thresholds(material, attack, k, looked) for k in range(count)])
    return judged(scores, levels, material.included, user, looked)


def judged(
    scores: Float64,
    levels: Float64,
    included: NDArray[np.bool_],
    user: Int64,
    subset: NDArray[np.bool_] | None = None,
) -> Game:
    """How well scores tell members, whichever attack gave them.

    Args:
        scores: float64 [M, C].
        levels: float64 [M, R], each victim's thresholds for `RATES`, which must come from other models.
        included: bool [M, C].
        user: int64 [C], whose candidate it is.
        subset: bool [C], candidates that are looked at; all if not given.
    """
    count = len(scores)
    looked = np.ones(len(user), bool) if subset is None else subset
    by_victim, weight = np.empty(count), np.zeros(len(user))
    above = np.zeros((len(RATES), count, len(user)), bool)
    for k in range(count):
        inside = included[k] & looked
        outside = ~included[k] & looked
        by_victim[k] = separation(scores[k, inside], scores[k, outside])
        weight[inside] += (below(scores[k, outside], scores[k, inside]) - by_victim[k]) / inside.sum()
        weight[outside] += (1 - below(scores[k, inside], scores[k, outside]) - by_victim[k]) / outside.sum()
        above[:, k] = scores[k] > levels[k][:, None]
    weight /= count
    own = math.sqrt(_clustered(weight[looked], user[looked]))
    spread = float(by_victim.std(ddof=1)) / math.sqrt(count)
    caught = tuple(
        _caught(rate, found[:, looked], included[:, looked], user[looked])
        for rate, found in zip(RATES, above, strict=True)
    )
    return Game(scores, float(by_victim.mean()), max(own, spread), by_victim, caught, len(np.unique(user[looked])))


def thresholds(material: Material, attack: str, victim: int, looked: NDArray[np.bool_]) -> Float64:
    """The level for each of `RATES` that lets this share of the references' non-members through, float64 [R]."""
    others = np.flatnonzero(np.arange(len(material.signal)) != victim)
    found = []
    for own in others:
        use = np.zeros(len(material.signal), bool)
        use[others[others != own]] = True
        found.append(ATTACKS[attack](material, int(own), use)[~material.included[own] & looked])
    return level(found)


def level(outside: Sequence[Float64]) -> Float64:
    """What a share of non-members' scores, each of `RATES`, lies above: float64 [R].

    Args:
        outside: scores of non-members of some models, none of them the victim.
    """
    levels: Float64 = np.quantile(np.concatenate(outside), 1 - np.array(RATES), method="higher")
    return levels


def roc(scores: Float64, included: NDArray[np.bool_], subset: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """True positive rate, meaned over victims, at false positive rates from .001 to 1 in equal steps of the log."""
    grid = np.round(np.logspace(-3, 0, 25), 6)
    rates = []
    for own, inside in zip(scores, included, strict=True):
        low = np.sort(own[~inside & subset])
        level = np.quantile(low, 1 - grid, method="higher")
        high = np.sort(own[inside & subset])
        rates.append(1 - np.searchsorted(high, level, side="right") / len(high))
    return [(float(x), float(y)) for x, y in zip(grid, np.mean(rates, axis=0), strict=True)]


def separated(values: Float64, positive: NDArray[np.bool_], user: Int64) -> tuple[float, float]:
    """AUC of some values against the others, and its standard error over users; for one model."""
    high, low = values[positive], values[~positive]
    auc = separation(high, low)
    weight = np.empty(len(values))
    weight[positive] = (below(low, high) - auc) / len(high)
    weight[~positive] = (1 - below(high, low) - auc) / len(low)
    return auc, math.sqrt(_clustered(weight, user))


def below(reference: Float64, values: Float64) -> Float64:
    """The share of the reference below each value, ties half."""
    ordered = np.sort(reference)
    left, right = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return (left + right) / (2 * len(ordered))


def _clustered(weight: Float64, user: Int64) -> float:
    """Variance of a sum of influences, those of one user taken together."""
    _, place = np.unique(user, return_inverse=True)
    return float(np.square(np.bincount(place, weight)).sum())


def _caught(rate: float, above: NDArray[np.bool_], included: NDArray[np.bool_], user: Int64) -> Caught:
    members, others = int(included.sum()), int((~included).sum())
    hits, alarms = int((above & included).sum()), int((above & ~included).sum())
    residual = np.where(included, above - hits / members, 0.0).sum(axis=0) / members
    # no hit, or nothing but hits, leaves no spread: one hit more or less is then the least that is not known
    error = max(math.sqrt(_clustered(residual, user)), 1 / members)
    return Caught(rate, hits, members, alarms, others, error)
