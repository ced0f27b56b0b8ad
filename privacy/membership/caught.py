"""Members told apart at few false alarms: thresholds that other models set, and who is above them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from ...datasets.log import Int64
from ...datasets.seeding import rng
from ..signals import Float64

RATES = (0.01, 0.001)
"""Shares of false alarms at which the true positive rate is told."""
MOST, FEW = 12, 4
"""References that set a threshold, and references left out in turn of a victim's attack, at most."""
RESAMPLES = 200
POINTS = 25
"""Of a curve."""


@dataclass(frozen=True, eq=False)
class Caught:
    """Candidates above a threshold, over all victims.

    Of candidates that lie on the threshold the share counts that may still pass: an attacker who tosses a coin for each
    catches so many. Counts are rounded.

    Attributes:
        rate: of false alarms, that the threshold was set for.
        hits: members above it.
        members: of all victims.
        alarms: others above it.
        others: of all victims.
        error: standard error of the true positive rate.
        alarm_error: of the false positive rate.
        candidates: distinct ones; each is asked about once for each victim.
        pool: scores of non-members that set the threshold of a victim, of the victim with fewest.
        levels: float64 [M], the threshold of each victim.
    """

    rate: float
    hits: int
    members: int
    alarms: int
    others: int
    error: float
    alarm_error: float
    candidates: int
    pool: int
    levels: Float64

    @property
    def tpr(self) -> float:
        """Share of the members above the threshold, 0..1."""
        return self.hits / self.members

    @property
    def fpr(self) -> float:
        """Share of the others above it, 0..1: what the threshold that references set really let through."""
        return self.alarms / self.others

    @property
    def why_not(self) -> str | None:
        """Why no figure can be told at this rate; None if one can."""
        if self.pool * self.rate >= 1 - 1e-9:
            return None
        return f"a threshold at {self.rate:.1%} false alarms needs {1 / self.rate:,.0f} non-members, not {self.pool:,}"

    def trials(self) -> dict[str, float]:
        """Independent trials that both rates are worth: p (1 - p) / error^2, from 1 to all there were.

        Victims are asked about the same candidates, and are each other's references: a candidate that stands out does
        so everywhere. Where p is 0 or 1 no error is known, and a distinct candidate counts once.
        """
        return {
            "tpr": _worth(self.tpr, self.error, self.members, self.candidates),
            "fpr": _worth(self.fpr, self.alarm_error, self.others, self.candidates),
        }

    def bounds(self, confidence: float = 0.95) -> dict[str, tuple[float, float]]:
        """Intervals of both rates: Clopper and Pearson's for as many trials as the rates are worth.

        Reference: Korn and Graubard 1998, Survey Methodology 24(2), 193-201, without their factor of degrees of
            freedom.
        """
        tail, found = (1 - confidence) / 2, {}
        rates = {"tpr": self.tpr, "fpr": self.fpr}
        for name, total in self.trials().items():
            count = rates[name] * total
            low = float(beta.ppf(tail, count, total - count + 1)) if rates[name] > 0 else 0.0
            high = float(beta.isf(tail, count + 1, total - count)) if rates[name] < 1 else 1.0
            found[name] = low, high
        return found


def catch(
    victims: Callable[[int, int], Float64],
    included: NDArray[np.bool_],
    references: Callable[[int, int], Float64],
    others_included: NDArray[np.bool_],
    user: Int64,
    looked: NDArray[np.bool_],
) -> tuple[Caught, ...]:
    """Who is above thresholds that the references alone set.

    References are attacked without the victim, and so by one model less; so is the victim, each of some references left
    out in turn, or it would be told better than the threshold assumes. The errors are those of users resampled with
    thresholds set anew, or of the spread of the victims if it is larger.
    """
    count, included, others_included = len(included), included[:, looked], others_included[:, looked]
    _, place = np.unique(user[looked], return_inverse=True)
    users = int(place.max()) + 1
    drawn = rng(0, "privacy", "game").multinomial(users, np.full(users, 1 / users), RESAMPLES)
    weight = np.concatenate([np.ones((1, users)), drawn])[:, place]  # the sample itself comes first
    row = np.arange(len(weight))
    hits, alarms = np.zeros((2, len(RATES), 1 + RESAMPLES, count))
    levels, fewest = np.zeros((len(RATES), count)), len(others_included) * len(place)
    for victim in range(count):
        others = [(victim + step) % count for step in range(1, count)]
        pool = [(references(own, victim)[looked], ~others_included[own]) for own in others[:MOST]]
        values = np.concatenate([scores[outside] for scores, outside in pool])
        whose = np.concatenate([np.flatnonzero(outside) for _, outside in pool])
        fewest = min(fewest, len(values))
        order = np.argsort(-values, kind="stable")
        values = values[order]
        above = np.pad(np.cumsum(weight[:, whose[order]], axis=1), ((0, 0), (1, 0)))  # [B, n + 1], of the first n
        mine = np.stack([victims(victim, other)[looked] for other in others[:FEW]])
        for place_of, rate in enumerate(RATES):
            most = rate * above[:, -1]
            allowed = (above[:, 1:] <= most[:, None]).sum(axis=1).clip(max=len(values) - 1)
            threshold = values[allowed]
            first, last = (np.searchsorted(-values, -threshold, side=side) for side in ("left", "right"))
            tied = above[row, last] - above[row, first]
            share = ((most - above[row, first]) / tied.clip(1)).clip(0, 1)
            told = sum(passing(one, threshold[:, None], share[:, None]) * weight for one in mine) / len(mine)
            hits[place_of, :, victim] = told[:, included[victim]].sum(axis=1)
            alarms[place_of, :, victim] = told[:, ~included[victim]].sum(axis=1)
            levels[place_of, victim] = threshold[0]
    members = np.stack([weight[:, own].sum(axis=1) for own in included], axis=1)
    others_seen = np.stack([weight[:, ~own].sum(axis=1) for own in included], axis=1)
    return tuple(
        Caught(
            rate, round(float(hits[at, 0].sum())), int(members[0].sum()), round(float(alarms[at, 0].sum())),
            int(others_seen[0].sum()), _resampled(hits[at], members), _resampled(alarms[at], others_seen),
            len(place), fewest, levels[at],
        )
        for at, rate in enumerate(RATES)
    )  # fmt: skip


def caught_above(
    scores: Float64, levels: Float64, included: NDArray[np.bool_], user: Int64, pool: int
) -> tuple[Caught, ...]:
    """Who is above given thresholds, which must come from other models; they count as known.

    Args:
        scores: float64 [M, C].
        levels: float64 [M, R, 2], of `level`.
        included: bool [M, C].
        user: int64 [C], whose candidate it is.
        pool: scores that set a threshold, of the victim with fewest.
    """
    found = []
    for at, rate in enumerate(RATES):
        above = passing(scores, levels[:, at, :1], levels[:, at, 1:])
        parts = [(int(side.sum()), float(above[side].sum())) for side in (included, ~included)]
        error, alarm_error = (_linear(above, side, user) for side in (included, ~included))
        found.append(Caught(
            rate, round(parts[0][1]), parts[0][0], round(parts[1][1]), parts[1][0], error, alarm_error, len(user), pool,
            levels[:, at, 0],
        ))  # fmt: skip
    return tuple(found)


def level(outside: Sequence[Float64], rates: Float64 | tuple[float, ...] = RATES) -> Float64:
    """Thresholds that a share of non-members' scores, each of `rates`, passes: float64 [R, 2].

    Columns: the threshold, -inf where all may pass; and the share of the scores equal to it that passes besides what
    lies above.

    Args:
        outside: scores of non-members of some models, none of them the victim.
        rates: float [R], 0..1.
    """
    values = np.sort(np.concatenate(outside))
    wanted = np.asarray(rates) * len(values)
    may = np.floor(wanted + 1e-9).astype(np.int64)
    threshold = np.where(may < len(values), values[(len(values) - 1 - may).clip(0)], -np.inf)
    first, last = (np.searchsorted(values, threshold, side=side) for side in ("left", "right"))
    share = ((wanted - (len(values) - last)) / (last - first).clip(1)).clip(0, 1)
    return np.stack([threshold, share], axis=1)


def passing(scores: Float64, threshold: Float64, share: Float64) -> Float64:
    """How much of each score is above a threshold, 0..1: 1 above it, the share on it; shapes as they broadcast."""
    found: Float64 = (scores > threshold) + share * (scores == threshold)
    return found


def roc(scores: Float64, included: NDArray[np.bool_], subset: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """True positive rate, meaned over victims, at false positive rates up to 1 in equal steps of the log.

    The first rate is what one alarm is of the non-members of the victim with fewest, or .001 if that is less.
    """
    sides = [(own[inside & subset], own[~inside & subset]) for own, inside in zip(scores, included, strict=True)]
    grid = np.geomspace(max(0.001, 1 / min(len(low) for _, low in sides)), 1, POINTS)
    rates = []
    for high, low in sides:
        levels = level([low], grid)
        rates.append(passing(high, levels[:, :1], levels[:, 1:]).mean(axis=1))
    return [(float(x), float(y)) for x, y in zip(grid, np.mean(rates, axis=0), strict=True)]


def clustered(weight: Float64, user: Int64) -> float:
    """Variance of a sum of influences, those of one user taken together."""
    _, place = np.unique(user, return_inverse=True)
    return float(np.square(np.bincount(place, weight)).sum())


def _worth(rate: float, error: float, total: int, distinct: int) -> float:
    own = rate * (1 - rate) / error**2 if 0 < rate < 1 and error > 0 else float(distinct)
    return min(max(own, 1.0), float(total))


def _resampled(counts: Float64, totals: Float64) -> float:
    """Standard error of the sum of counts over that of totals, float64 [1 + B, M] of resamples and victims."""
    shares = counts.sum(axis=1) / totals.sum(axis=1)
    spread = float((counts[0] / totals[0]).std(ddof=1)) / math.sqrt(counts.shape[1])
    # no hit, or nothing but hits, leaves no spread: one hit more or less is then the least that is not known
    return max(float(shares[1:].std(ddof=1)), spread, 1 / float(totals[0].sum()))


def _linear(above: Float64, side: NDArray[np.bool_], user: Int64) -> float:
    """Standard error of the share of a side, bool [M, C], that is above: of users, or of the spread of the victims."""
    total = int(side.sum())
    residual = np.where(side, above - above[side].sum() / total, 0.0).sum(axis=0) / total
    each = np.where(side, above, 0.0).sum(axis=1) / side.sum(axis=1)
    spread = float(each.std(ddof=1)) / math.sqrt(len(each))
    return max(math.sqrt(clustered(residual, user)), spread, 1 / total)
