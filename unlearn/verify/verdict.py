"""Honoured, not honoured, or no answer: the rule, and what it cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .comparison import Answers, compared, described
from .groups import Groups
from .residual import Statistic, needed_power, residual
from .rows import left_rows

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
        worst: the request, or user, that stands out most among those of the model; None if there are no several.
        rows_left: rows of users who were to be forgotten whole that still are about what they were.
        hindrance: why it could not be called honoured whatever it answers; empty if nothing hinders.
    """

    outcome: Outcome
    reason: str
    over: bool
    margin: float
    statistics: tuple[Statistic, ...]
    pairs: int
    needed: int | None
    described: Mapping[str, tuple[float, float, float, float]]
    worst: str | None = None
    rows_left: int = 0
    hindrance: str = ""

    def accused(self, reason: str) -> Verdict:
        """Not honoured, for a reason that no statistic needs to confirm."""
        return replace(self, outcome="not honoured", reason=f"{reason}; {self.reason}", needed=None)

    def hindered(self, reason: str) -> Verdict:
        """Not to be called honoured, for a reason that proves nothing; unchanged without one."""
        if not reason:
            return self
        if self.outcome == "not honoured":
            return replace(self, hindrance=reason)
        return replace(self, outcome="inconclusive", reason=reason, needed=None, hindrance=reason)


def verdict(
    after: Answers,
    retrains: Sequence[Answers],
    befores: Sequence[Answers],
    weights: NDArray[np.float64],
    margin: float = 0.3,
    confidence: float = 0.95,
    *,
    groups: Groups | None = None,
    checkpoint: Answers | None = None,
) -> Verdict:
    """Judge a model by what it, retrains and trainings with the forget set answer (`question.answers`).

    The primary statistic is the mean percentile of the forgotten pairs; on it alone equivalence is decided, and only
    from `LEAST_PAIRS` on, so that no small request is honoured by luck. The others (`compared`) can accuse, and veto. A
    statistic on which the references cannot be told apart is left out. Not honoured: the model is no retrain by a kept
    statistic (Holm; distances of lists only from `SURE_POWER` on) and its rho lies beyond the margin, or rows of
    deleted users are what they were (`rows.left_rows`). Honoured: the primary rho lies within the margin, and no other
    kept one beyond it.

    Args:
        after: of the model in question.
        retrains: of R >= 2 trainings without the forget set.
        befores: of R' >= 2 trainings with it.
        weights: of the controls (`Question.weights`).
        margin: above 0.
        confidence: of intervals and tests.
        groups: requests and users to be looked at apart (`Question.groups`).
        checkpoint: of the model before, to which rows are compared and MI-BF refers.

    Reference: our design; that a retrain and not .5 is the reference, and both directions count: see the page.
    """
    measured, worst_group = compared(after, retrains, befores, weights, groups, checkpoint)
    found = tuple(
        residual(
            own.name, own.value, own.retrains, own.befores, confidence,
            one_sided=own.one_sided, says=own.says, least_p=own.least_p, accuses_from=own.accuses_from,
        )
        for own in measured
    )  # fmt: skip
    first, kept = found[0], [own for own in found if own.kept]
    accusing = [own for own in kept if own.accuses]
    accused = [own for own in _rejected(accusing, 1 - confidence) if own.beyond(margin) > 0]
    against = [own for own in kept if own is not first and own.beyond(margin) > 0 and own.p <= 1 - confidence]
    pairs, enough = len(after["forgotten"]), needed_power(len(retrains), margin, confidence)
    low, high = first.rho_interval
    outcome: Outcome = "inconclusive"
    over = False
    if accused:
        worst = max(accused, key=lambda own: (not own.one_sided, own.beyond(margin)))
        outcome, over = "not honoured", worst.rho < 0
        how = worst.says or ("more was forgotten than a retrain forgets" if over else "part of the trace is left")
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
    answer = Verdict(
        outcome, reason, over, margin, found, pairs, None if settled else max(needed, LEAST_PAIRS),
        described(after, retrains, befores, weights, checkpoint), worst_group, left_rows(after, retrains),
    )  # fmt: skip
    left = answer.rows_left
    return answer.accused(f"{left:,} rows of deleted users are what they were") if left else answer


def _rejected(kept: Sequence[Statistic], level: float) -> list[Statistic]:
    """The statistics by which the model is no retrain, with Holm's correction."""
    found: list[Statistic] = []
    for place, own in enumerate(sorted(kept, key=lambda own: own.p)):
        if own.p > level / (len(kept) - place):
            break
        found.append(own)
    return found
