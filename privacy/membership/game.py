"""The game: every model in turn is the victim, all others are the attacker's references."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...datasets.log import Int64
from ..signals import Float64, separation
from .catalogue import ATTACKS
from .caught import Caught, catch, clustered
from .material import Material


@dataclass(frozen=True, eq=False)
class Game:
    """How an attack did against every victim.

    Attributes:
        scores: float64 [M, C], the attack's; larger is "was trained on".
        auc: mean over victims; .5 tells nothing.
        error: its standard error: of users, whose candidates are resampled with all victims, or of the spread of the
            victims, whichever is larger.
        by_victim: float64 [M].
        caught: at each of `caught.RATES`, by thresholds that the references alone set.
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
    gives .5. Thresholds come from the references: see `caught.catch`.

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
    caught = catch(victims, material.included, references, others, user, looked)
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
        caught: at each of `caught.RATES`.
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
    own = math.sqrt(clustered(weight[looked], user[looked]))
    spread = float(by_victim.std(ddof=1)) / math.sqrt(count)
    return Game(scores, float(by_victim.mean()), max(own, spread), by_victim, caught, len(np.unique(user[looked])))


def separated(values: Float64, positive: NDArray[np.bool_], user: Int64) -> tuple[float, float]:
    """AUC of some values against the others, and its standard error over users; for one model."""
    high, low = values[positive], values[~positive]
    auc = separation(high, low)
    weight = np.empty(len(values))
    weight[positive] = (below(low, high) - auc) / len(high)
    weight[~positive] = (1 - below(high, low) - auc) / len(low)
    return auc, math.sqrt(clustered(weight, user))


def below(reference: Float64, values: Float64) -> Float64:
    """The share of the reference below each value, ties half."""
    ordered = np.sort(reference)
    left, right = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return (left + right) / (2 * len(ordered))
