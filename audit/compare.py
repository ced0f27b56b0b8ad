"""Two runs side by side: what got better, what got worse, and what the evidence cannot tell apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..datasets.errors import InputError
from .evidence import AuditRun, Evidence, Worse
from .statistics import Interval, interval, normal_interval

Change = Literal["better", "worse", "no change shown", "unknown"]


@dataclass(frozen=True)
class Difference:
    """One evidence of both runs.

    Attributes:
        id: of the evidence.
        title: for people.
        earlier: estimate of the earlier run.
        later: estimate of the later run.
        difference: later less earlier.
        interval: of the difference, or None where none can be had.
        paired: whether the same users, or the same targets and seeds, were compared.
        change: what the interval shows.
    """

    id: str
    title: str
    earlier: float
    later: float
    difference: float
    interval: Interval | None
    paired: bool
    change: Change


def compare(
    earlier: AuditRun,
    later: AuditRun,
    errors: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    *,
    any_data: bool = False,
) -> list[Difference]:
    """The evidence that both runs have, with intervals of the differences.

    Designed experiments are paired by target and seed; of measures over users the standard errors of both runs are
    taken as independent, which is wider than needed, unless `errors` has a paired one.

    Args:
        earlier: the baseline.
        later: what is held against it.
        errors: by evidence id, the standard error of the paired difference over users.
        confidence: simultaneous over all differences.
        any_data: compare runs on different data too; nothing is paired then.

    Raises:
        InputError: the runs are on different data and `any_data` is not set, or they share no evidence.
    """
    same = earlier.target.data_fingerprint == later.target.data_fingerprint
    if not same and not any_data:
        raise InputError(
            f"the runs of {earlier.target.name} and {later.target.name} are on different data; their difference is not "
            "the models' alone. Say --any-data to compare them all the same"
        )
    before = {found.id: found for found in earlier.evidence if found.estimate is not None}
    pairs = [(before[found.id], found) for found in later.evidence if found.estimate is not None and found.id in before]
    if not pairs:
        raise InputError("the runs have no measured evidence in common; were they made under policies of other checks?")
    level = 1 - (1 - confidence) / len(pairs)  # Bonferroni, as the verdict
    return [_difference(first, second, errors or {}, level, same) for first, second in pairs]


def _difference(first: Evidence, second: Evidence, errors: Mapping[str, float], level: float, same: bool) -> Difference:
    assert first.estimate is not None and second.estimate is not None
    span, paired = _interval(first, second, errors, level, same)
    return Difference(
        second.id,
        second.title,
        first.estimate,
        second.estimate,
        second.estimate - first.estimate,
        span,
        paired,
        _change(span, second.worse),
    )


def _change(span: Interval | None, worse: Worse) -> Change:
    if span is None:
        return "unknown"
    if span[0] <= 0 <= span[1]:
        return "no change shown"
    return "worse" if (span[0] > 0) == (worse == "higher") else "better"


def _interval(
    first: Evidence, second: Evidence, errors: Mapping[str, float], level: float, same: bool
) -> tuple[Interval | None, bool]:
    assert first.estimate is not None and second.estimate is not None
    if first.units and second.units:
        before = {(unit.cluster, unit.seed): unit.value for unit in first.units}
        shared = [unit for unit in second.units if same and (unit.cluster, unit.seed) in before]
        if not shared:
            return None, False
        values = [unit.value - before[unit.cluster, unit.seed] for unit in shared]
        step = max(first.resolution, second.resolution)
        return interval(values, [unit.cluster for unit in shared], level, resolution=step), True
    change = second.estimate - first.estimate
    if same and second.id in errors:
        return normal_interval(change, errors[second.id], level), True
    if first.standard_error is None or second.standard_error is None:
        return None, False
    return normal_interval(change, math.hypot(first.standard_error, second.standard_error), level), False
