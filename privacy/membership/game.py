"""The game: every model in turn is the victim, all others are the attacker's references."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...audit.statistics import clopper_pearson
from ...datasets.log import Int64
from ...datasets.seeding import rng
from ..signals import Float64, separation
from .catalogue import ATTACKS
from .material import Material

RATES = (0.01, 0.001)
"""Shares of false alarms at which the true positive rate is told."""
MOST, FEW = 12, 4
"""References that set a threshold, and references left out in turn of a victim's attack, at most."""
RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class Caught:
    """Candidates above a threshold, over all victims.

    Attributes:
        rate: of false alarms, that the threshold was set for.
        hits: members above it.
        members: of all victims.
        alarms: others above it.
        others: of all victims.
        error: standard error of the true positive rate.
        levels: float64 [M], the threshold of each victim.
    """

    rate: float
    hits: int
    members: int
    alarms: int
    others: int
    error: float
    levels: Float64

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


def play(
    material: Material,
    attack: str,
    user: Int64,
    subset: NDArray[np.bool_] | None = None,
    outsider: Material | None = None,
) -> Game:
    """Attack every model with all others as references.

    The coins of a victim are independent of everything that the attack reads, so that a model which has learnt nothing
    gives .5. Thresholds come from the references: see `_catch`.

    Args:
        material: three models or more.
        attack: a name in `catalogue.ATTACKS`.
        user: int64 [C], whose candidate it is.
        subset: bool [C], candidates that are looked at; all if not given.
        outsider: of as many models about the same candidates, which are the references in place of the victims: those
            of an outsider who trains in another way. The one in the victim's place is left out.

    References: Carlini et al. 2022, IEEE S&P, section V (leave-one-out evaluation); Sun and Xu 2014, IEEE Signal
        Processing Letters 21 (placements, for the standard error of the AUC).
    """
    count = len(material.signal)
    looked = np.ones(len(user), bool) if subset is None else subset

    def by(stuff: Callable[[int], Material]) -> Callable[[int, int], Float64]:
        @cache
        def attacked(victim: int, left_out: int) -> Float64:
            references = ~np.isin(np.arange(count), (victim, left_out))
            return ATTACKS[attack](stuff(victim), victim, references)

        return attacked

    victims = references = by(lambda _: material)
    if outsider is not None:
        own = outsider
        victims, references = by(lambda victim: own.with_model(victim, material)), by(lambda _: own)
    scores = np.stack([victims(k, k) for k in range(count)])
    others = material.included if outsider is None else outsider.included
    caught = _catch(victims, material.included, references, others, user, looked)
    return judged(scores, caught, material.included, user, looked)


def judged(
    scores: Float64,
    caught: tuple[Caught, ...],
    included: NDArray[np.bool_],
    user: Int64,
    subset: NDArray[np.bool_] | None = None,
) -> Game:
    """How well scores tell members, whichever attack gave them.

    Args:
        scores: float64 [M, C].
        caught: at each of `RATES`.
        included: bool [M, C].
        user: int64 [C], whose candidate it is.
        subset: bool [C], candidates that are looked at; all if not given.
    """
    count = len(scores)
    looked = np.ones(len(user), bool) if subset is None else subset
    by_victim, weight = np.empty(count), np.zeros(len(user))
    for k in range(count):
        inside = included[k] & looked
        outside = ~included[k] & looked
        by_victim[k] = separation(scores[k, inside], scores[k, outside])
        weight[inside] += (below(scores[k, outside], scores[k, inside]) - by_victim[k]) / inside.sum()
        weight[outside] += (1 - below(scores[k, inside], scores[k, outside]) - by_victim[k]) / outside.sum()
    weight /= count
    own = math.sqrt(_clustered(weight[looked], user[looked]))
    spread = float(by_victim.std(ddof=1)) / math.sqrt(count)
    return Game(scores, float(by_victim.mean()), max(own, spread), by_victim, caught, len(np.unique(user[looked])))


def _catch(
    victims: Callable[[int, int], Float64],
    included: NDArray[np.bool_],
    references: Callable[[int, int], Float64],
    others_included: NDArray[np.bool_],
    user: Int64,
    looked: NDArray[np.bool_],
) -> tuple[Caught, ...]:
    """Who is above thresholds that the references alone set.

    References are attacked without the victim, and so by one model less; so is the victim, each of some references left
    out in turn, or it would be told better than the threshold assumes. The error is that of users resampled with
    thresholds set anew, or of the spread of the victims if it is larger.
    """
    count, included, others_included = len(included), included[:, looked], others_included[:, looked]
    _, place = np.unique(user[looked], return_inverse=True)
    users = int(place.max()) + 1
    drawn = rng(0, "privacy", "game").multinomial(users, np.full(users, 1 / users), RESAMPLES)
    weight = np.concatenate([np.ones((1, users)), drawn])[:, place]  # the sample itself comes first
    hits, alarms = np.zeros((2, len(RATES), 1 + RESAMPLES, count))
    levels = np.zeros((len(RATES), count))
    for victim in range(count):
        others = [(victim + step) % count for step in range(1, count)]
        pool = [(references(own, victim)[looked], ~others_included[own]) for own in others[:MOST]]
        values = np.concatenate([scores[outside] for scores, outside in pool])
        whose = np.concatenate([np.flatnonzero(outside) for _, outside in pool])
        order = np.argsort(-values, kind="stable")
        above = np.cumsum(weight[:, whose[order]], axis=1)
        mine = np.stack([victims(victim, other)[looked] for other in others[:FEW]])
        for place_of, rate in enumerate(RATES):
            allowed = (above <= rate * above[:, -1:]).sum(axis=1).clip(max=len(values) - 1)
            threshold = values[order][allowed]
            told = sum((one > threshold[:, None]) * weight for one in mine) / len(mine)
            hits[place_of, :, victim] = told[:, included[victim]].sum(axis=1)
            alarms[place_of, :, victim] = told[:, ~included[victim]].sum(axis=1)
            levels[place_of, victim] = threshold[0]
    members = np.stack([weight[:, own].sum(axis=1) for own in included], axis=1)
    others_seen = np.stack([weight[:, ~own].sum(axis=1) for own in included], axis=1)
    found = []
    for place_of, rate in enumerate(RATES):
        shares = hits[place_of].sum(axis=1) / members.sum(axis=1)
        spread = float((hits[place_of, 0] / members[0]).std(ddof=1)) / math.sqrt(count)
        # no hit, or nothing but hits, leaves no spread: one hit more or less is then the least that is not known
        error = max(float(shares[1:].std(ddof=1)), spread, 1 / float(members[0].sum()))
        found.append(Caught(
            rate, round(float(hits[place_of, 0].sum())), int(members[0].sum()), round(float(alarms[place_of, 0].sum())),
            int(others_seen[0].sum()), error, levels[place_of],
        ))  # fmt: skip
    return tuple(found)


def caught_above(scores: Float64, levels: Float64, included: NDArray[np.bool_], user: Int64) -> tuple[Caught, ...]:
    """Who is above given thresholds float64 [M, R], which must come from other models; they count as known."""
    found = []
    for rate, own in zip(RATES, levels.T, strict=True):
        above = scores > own[:, None]
        members, others = int(included.sum()), int((~included).sum())
        hits, alarms = int((above & included).sum()), int((above & ~included).sum())
        residual = np.where(included, above - hits / members, 0.0).sum(axis=0) / members
        each = (above & included).sum(axis=1) / included.sum(axis=1)
        spread = float(each.std(ddof=1)) / math.sqrt(len(each))
        error = max(math.sqrt(_clustered(residual, user)), spread, 1 / members)
        found.append(Caught(rate, hits, members, alarms, others, error, own))
    return tuple(found)


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
        thresholds = np.quantile(low, 1 - grid, method="higher")
        high = np.sort(own[inside & subset])
        rates.append(1 - np.searchsorted(high, thresholds, side="right") / len(high))
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
