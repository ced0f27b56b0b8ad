"""The gate against a baseline: only what got significantly worse fails it.

Rules of severity error alone gate. Each of their findings that both runs measured is held against its counterpart by
`audit.compare` (paired where users, or targets and seeds, are the same; simultaneous over these findings):

- *regressed*: the whole interval of the difference lies on the worse side, beyond the margin: it fails, even where
  the bound still holds. Where neither run has any uncertainty, so that every last digit is "significant", it takes a
  bound that is not kept as well.
- *broke*: it passed and now fails under the same rules. Two intervals on two sides of a bound are a change, so it
  fails, whatever the interval of the difference says.
- *known*: it fails, and is not shown to have become worse; or it is inconclusive and was no pass before. It does not
  count. The baseline accepted it: it is listed with the waived findings and says why.
- *open*: it is inconclusive and passed before: it is judged as without a baseline (exit code 4 under a strict policy).
- *new*: no counterpart, or one with which no interval can be had: the rule's own judgement stands, as without a
  baseline.
- *lost*: the baseline measured it, gated by its own rules or today's, and this run did not. It fails: a check that is
  switched off must not turn the gate green.
- *better* and *held*: it got significantly better; or nothing of the above. Nothing counts against it.

A finding that the policy waives stays waived, also where it regressed.

Source: ecosystem notes on gates (a paired difference beyond a margin, significant after correction; what is new meets
the absolute rule).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from pydantic import ValidationError

from ..datasets.errors import InputError
from .compare import Difference, compare
from .evidence import AuditRun, Evidence, Finding, Status
from .policy import Policy
from .verdict import Verdict, conclude, judge
from .waivers import with_waivers

Outcome = Literal["regressed", "broke", "lost", "open", "new", "known", "better", "held"]
OUTCOMES: tuple[Outcome, ...] = ("regressed", "broke", "lost", "new", "open", "known", "better", "held")


@dataclass(frozen=True)
class Held:
    """One finding of severity error held against the baseline.

    Attributes:
        finding: of the later run as its rule alone judges it; of a lost one, the earlier run's without its numbers.
        outcome: see the module.
        difference: later less earlier, or None where there is no counterpart.
        reason: for people, one sentence fragment.
    """

    finding: Finding
    outcome: Outcome
    difference: Difference | None
    reason: str


@dataclass(frozen=True)
class Against:
    """The gate's answer against a baseline.

    Attributes:
        held: every finding of severity error, what counts against the run first.
        findings: all findings of the later run, with the status that counts and why.
        verdict: fail if anything regressed, broke, or is new and fails.
        exit_code: as `audit.verdict.conclude`.
    """

    held: list[Held]
    findings: list[Finding]
    verdict: Verdict
    exit_code: int


def regressions(
    earlier: AuditRun,
    later: AuditRun,
    policy: Policy,
    today: date,
    errors: Mapping[str, float] | None = None,
    *,
    margin: float = 0.0,
    any_data: bool = False,
) -> Against:
    """Judge the later run against the earlier one, both under the same rules.

    Args:
        earlier: the baseline.
        later: the run to be let through or not.
        policy: rules, confidence and waivers for both; the confidence is that of the differences, too.
        today: the day on which waivers are looked at.
        errors: by evidence id, the standard error of the paired difference over users, see `compare`.
        margin: worsening that is tolerated, in the measure's own unit.
        any_data: take runs on other data, or measured in another way, too.

    Raises:
        InputError: the runs are on other data, of another seed or of other settings of a check that both have, and
            `any_data` is not set; they share no measured evidence; the margin is negative.
    """
    if not (math.isfinite(margin) and margin >= 0):
        raise InputError(f"--margin: {margin:g} is no worsening to tolerate; give a number, 0 or more")
    if not any_data:
        _same_method(earlier, later)
    # without waivers: what the baseline was, not what was excused
    unexcused = policy.model_copy(update={"waivers": ()})
    before = {found.id: found for found in judge(earlier.evidence, (), (), unexcused, today)}
    found = judge(later.evidence, later.skipped, later.failures, policy, today)
    gating = [finding for finding in found if finding.severity == "error" and finding.status != "not_run"]
    differences = _differences(earlier, later, gating, policy.confidence, errors or {}, any_data)
    exact = _exact(earlier.evidence) & _exact(later.evidence)
    held = [
        _held(finding, before.get(finding.id), differences.get(finding.id), margin, finding.id in exact)
        for finding in gating
    ]
    lost = with_waivers(_lost(later, _own(earlier, today) | before), policy, today)
    held += [Held(finding, "lost", None, "measured in the baseline and not in this run") for finding in lost]
    held.sort(key=lambda row: OUTCOMES.index(row.outcome))
    rows = {id(row.finding): row for row in held}
    gone = {finding.id for finding in lost}
    counted = [_counted(finding, rows.get(id(finding))) for finding in found if finding.id not in gone] + lost
    verdict, code = conclude(counted, policy, not later.failures, later.target.verified is False)
    return Against(held, counted, verdict, code)


def _same_method(earlier: AuditRun, later: AuditRun) -> None:
    remedy = "make the baseline again with this policy, or say --any-data to compare them all the same"
    if earlier.target.data_fingerprint != later.target.data_fingerprint:
        raise InputError(
            f"the baseline of {earlier.target.name} and the run of {later.target.name} are on different data; make the "
            "baseline again on the data of today, or say --any-data to compare them all the same"
        )
    if earlier.schema_version != later.schema_version:
        raise InputError(f"the baseline's run.json has version {earlier.schema_version}, the run's has "
                         f"{later.schema_version}; {remedy}")  # fmt: skip
    if earlier.seed != later.seed:
        raise InputError(f"seed: {earlier.seed} in the baseline, {later.seed} in the run; {remedy}")
    first, second = ({**run.policy.get("checks", {})} for run in (earlier, later))
    for name in sorted(first.keys() & second.keys()):
        if first[name] != second[name]:
            raise InputError(f"checks.{name}: other settings in the baseline than in the run; {remedy}")


def _differences(
    earlier: AuditRun,
    later: AuditRun,
    gating: Sequence[Finding],
    confidence: float,
    errors: Mapping[str, float],
    any_data: bool,
) -> dict[str, Difference]:
    """By evidence id, corrected for the gating ones alone: what cannot fail the gate takes no power from it."""
    measured = [{found.id for found in run.evidence if found.estimate is not None} for run in (earlier, later)]
    if not measured[0] & measured[1]:
        raise InputError("the baseline and the run have no measured evidence in common; is it the right folder?")
    wanted = {finding.id for finding in gating} & measured[0] & measured[1]
    if not wanted:
        return {}
    first, second = (
        run.model_copy(update={"evidence": [found for found in run.evidence if found.id in wanted]})
        for run in (earlier, later)
    )
    return {row.id: row for row in compare(first, second, errors, confidence, any_data=any_data)}


def _held(finding: Finding, before: Finding | None, row: Difference | None, margin: float, exact: bool) -> Held:
    was: Status | None = None if before is None else before.status
    if before is None or row is None or row.interval is None or was == "not_run":
        why = "not in the baseline" if row is None else "no interval of the difference to the baseline can be had"
        return Held(finding, "new", row, f"{why}; its own bound decides")
    ends = f"[{row.interval[0]:+.4g}, {row.interval[1]:+.4g}]"
    span = f"{row.earlier:.4g} -> {row.later:.4g}, {row.difference:+.4g} {ends}"
    low, high = row.interval if finding.direction == "higher" else (-row.interval[1], -row.interval[0])
    if low > margin and not (exact and finding.status == "pass"):
        return Held(finding, "regressed", row, f"significantly worse than the baseline: {span}")
    failing = finding.status == "fail"
    if failing and was == "pass":
        return Held(finding, "broke", row, f"passed in the baseline and fails now: {span}")
    if failing or (finding.status == "inconclusive" and was != "pass"):
        return Held(finding, "known", row, f"{was} in the baseline and not shown to be worse: {span}")
    if finding.status == "inconclusive":
        return Held(finding, "open", row, f"passed in the baseline, inconclusive now: {span}")
    if high < 0:
        return Held(finding, "better", row, f"better than the baseline: {span}")
    return Held(finding, "held", row, f"not shown to be worse than the baseline: {span}")


def _own(earlier: AuditRun, today: date) -> dict[str, Finding]:
    """The baseline's findings under its own rules: what was switched off since, its rule with it, is lost, too."""
    try:
        own = Policy.model_validate(earlier.policy).model_copy(update={"waivers": ()})
    except ValidationError:  # of another version
        return {}
    return {found.id: found for found in judge(earlier.evidence, (), (), own, today)}


def _lost(later: AuditRun, before: Mapping[str, Finding]) -> list[Finding]:
    """Gating findings that the baseline measured and this run did not: failed, without the baseline's numbers."""
    now = {found.id for found in later.evidence if found.estimate is not None}
    blank: dict[str, Any] = {
        "status": "fail", "estimate": None, "interval": None, "mde": None, "n": 0, "baseline": {}, "cells": [],
        "reason": "lost: measured in the baseline and not in this run",
        "remedy": "run this check again, or make the baseline again without it",
    }  # fmt: skip
    return [
        finding.model_copy(update=blank)
        for name, finding in before.items()
        if finding.severity == "error" and finding.status != "not_run" and name not in now
    ]


def _counted(finding: Finding, row: Held | None) -> Finding:
    """The finding with the status that counts against the baseline, and why it has it."""
    if row is None or finding.status == "waived" or row.outcome not in ("regressed", "broke", "known"):
        return finding
    status: Status = "waived" if row.outcome == "known" else "fail"
    told = f"{row.outcome}: {row.reason}; its own bound: {finding.status}, {finding.reason}"
    return finding.model_copy(update={"status": status, "reason": told})


def _exact(evidence: Sequence[Evidence]) -> set[str]:
    return {found.id for found in evidence if not found.units and not found.standard_error}
