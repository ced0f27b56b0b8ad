"""Honoured, not honoured, or no answer: the rule, and what it cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .comparison import DISTANCE, Answers, compared, described
from .residual import Statistic, needed_power, residual

Outcome = Literal["honoured", "not honoured", "inconclusive"]

LIMITS = (
    "Only the models at hand were looked at: nothing is shown about copies, other models, logs, caches, backups or "
    "vectors that were sold on.",
    "A provider who knows these statistics can tune a model until it passes them; canaries and statistics that are "
    "kept secret are the remedy.",
    "The reference is the stated recipe trained again. What a model trained in several stages would be without the "
    "forget set is not defined by it.",
    "The margin is a decision of the policy: within it, something may be left.",
)
"""What such a check cannot show; printed with every verdict."""


LEAST_PAIRS = 100
"""Fewer forgotten pairs are never called honoured on their own: the mean of so few follows single pairs."""


@dataclass(frozen=True)
class Verdict:
    """The answer to one request.

    Attributes:
        outcome: honoured within the margin, not honoured, or inconclusive.
        reason: one sentence.
        over: whether the model has forgotten more than a retrain would.
        margin: how much of the trace may be left, as |rho|.
        statistics: the primary one first.
        pairs: forgotten pairs that were looked at.
        needed: about how many such pairs would settle it; None where it is settled.
        described: further values of the model, each beside the mean and the range over the retrains.
    """

    outcome: Outcome
    reason: str
    over: bool
    margin: float
    statistics: tuple[Statistic, ...]
    pairs: int
    needed: int | None
    described: Mapping[str, tuple[float, float, float, float]]


def verdict(
    after: Answers,
    retrains: Sequence[Answers],
    befores: Sequence[Answers],
    weights: NDArray[np.float64],
    margin: float = 0.3,
    confidence: float = 0.95,
) -> Verdict:
    """Judge a model by what it, retrains and trainings with the forget set answer (`question.answers`).

    The primary statistic is the mean percentile of the forgotten pairs; on it alone equivalence is decided, and only
    from `LEAST_PAIRS` on, so that no small request is honoured by luck. The others (AUC against the controls, distance
    of the lists of touched users and of their neighbours from the retrains' lists) can accuse, and veto. A statistic on
    which the references cannot be told apart is left out. Not honoured: the model is no retrain by a kept statistic
    (Holm) and its rho lies beyond the margin. Honoured: the primary rho lies within the margin, and no other kept one
    beyond it.

    Args:
        after: of the model in question.
        retrains: of R >= 2 trainings without the forget set.
        befores: of R' >= 2 trainings with it.
        weights: of the controls (`Question.weights`).
        margin: above 0.
        confidence: of intervals and tests.

    Reference: our design; that a retrain and not .5 is the reference, and both directions count: see the page.
    """
    found = tuple(
        residual(name, *values, confidence=confidence, distance=name.startswith(DISTANCE))
        for name, values in compared(after, retrains, befores, weights).items()
    )
    first, kept = found[0], [own for own in found if own.kept]
    accused = [own for own in _rejected(kept, 1 - confidence) if own.beyond(margin) > 0]
    against = [own for own in kept if own is not first and own.beyond(margin) > 0]
    pairs, enough = len(after["forgotten"]), needed_power(len(retrains), margin, confidence)
    low, high = first.rho_interval
    outcome: Outcome = "inconclusive"
    over = False
    if accused:
        worst = max(accused, key=lambda own: (not own.distance, own.beyond(margin)))
        outcome, over = "not honoured", worst.rho < 0
        how = "more was forgotten than a retrain forgets" if over else "part of the trace is left"
        how = "the lists are none that a retrain makes" if worst.distance else how
        reason = f"{how}: {worst.name}, rho {worst.rho:+.2f}, margin {margin:g}"
    elif not kept:
        reason = "retrains and trainings with the forget set cannot be told apart by any statistic"
    elif not first.kept:
        reason = f"retrains and trainings with the forget set cannot be told apart by the {first.name}"
    elif pairs < LEAST_PAIRS:
        reason = f"{pairs:,} pairs are too few to be called forgotten on their own; pool requests"
    elif not (-margin <= low and high <= margin):
        reason = f"rho [{low:+.2f}, {high:+.2f}] by the {first.name} crosses the margin of {margin:g}"
    elif against:
        reason = f"the {first.name} is a retrain's, but not the {against[0].name}"
    else:
        outcome = "honoured"
        reason = f"rho {first.rho:+.2f} [{low:+.2f}, {high:+.2f}] lies within the margin of {margin:g}"
    needed = LEAST_PAIRS if not 0 < first.power < enough else math.ceil(pairs * (enough / first.power) ** 2)
    settled = outcome != "inconclusive" or not first.power or needed <= pairs
    return Verdict(
        outcome, reason, over, margin, found, pairs, None if settled else max(needed, LEAST_PAIRS),
        described(after, retrains, befores, weights),
    )  # fmt: skip


def _rejected(kept: Sequence[Statistic], level: float) -> list[Statistic]:
    """The statistics by which the model is no retrain, with Holm's correction."""
    found: list[Statistic] = []
    for place, own in enumerate(sorted(kept, key=lambda own: own.p)):
        if own.p > level / (len(kept) - place):
            break
        found.append(own)
    return found
