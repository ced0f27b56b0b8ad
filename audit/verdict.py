"""From evidence and policy to findings and a verdict: pure functions, the same for a run and for a later gate.

Each finding compares a whole interval with a bound: all of it on the good side is a pass, all of it on the bad side
a fail, anything else inconclusive. Many findings are judged at once, so intervals are simultaneous within a check:
with m uncertain findings each has confidence 1 - (1 - c) / m (Bonferroni). It holds under any dependence (strata and
attacks share controls), and the interval that is shown is the interval that was judged; Holm's steps are a little
sharper but leave no interval to show. The family is the check, so that adding a check never changes another's result.

The verdict is the worst of the error-severity findings, fail before inconclusive before pass; warnings and info never
gate. A waived finding counts for nothing, an expired waiver for nothing either.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import date
from fnmatch import fnmatchcase
from typing import Literal

from . import statistics
from .evidence import Evidence, Failure, Finding, Skipped, Status
from .policy import Policy, Rule
from .waivers import unmatched_waivers, with_waivers

Verdict = Literal["pass", "fail", "inconclusive"]

FEWEST_CLUSTERS = 5
"""Targets below which nothing passes or fails: a spread seen on fewer is a guess."""
FEWEST_USERS = 30
"""Users below which a normal interval is not trusted."""


def judge(
    evidence: Sequence[Evidence],
    skipped: Sequence[Skipped],
    failures: Sequence[Failure],
    policy: Policy,
    today: date,
) -> list[Finding]:
    """Judge every evidence that a rule selects, in the order of the evidence.

    Behind them come, as not run, the checks that were skipped, the rules that selected nothing although their check
    ran, and, as warnings, the waivers that excuse nothing.

    Args:
        evidence: of all checks.
        skipped: checks that do not apply.
        failures: cells that ended in an error.
        policy: rules, confidence, waivers.
        today: the day on which waivers are looked at.
    """
    judged = [(found, rule) for found in evidence if (rule := rule_for(found.id, policy)) is not None]
    family = Counter(found.check for found, _ in judged if _uncertain(found))
    findings = []
    for found, rule in judged:
        confidence = 1 - (1 - policy.confidence) / max(1, family[found.check])
        findings.append(_finding(found, rule, confidence, failures, policy.seed))
    findings += [_not_run(entry.check, entry.check, entry.reason) for entry in skipped]
    findings = with_waivers(findings, policy, today)
    return findings + _unused_rules(evidence, skipped, policy) + unmatched_waivers(findings, policy)


def conclude(findings: Sequence[Finding], policy: Policy, complete: bool, assumed: bool = False) -> tuple[Verdict, int]:
    """The verdict and the exit code.

    Exit codes: 0 pass, or inconclusive where the policy is not strict; 1 a finding of severity error failed; 3 the
    audit did not finish, or nothing could be judged although the policy has rules (nothing ran is no success);
    4 inconclusive under a strict policy. Where rules of severity error exist and none of them judged anything, the
    verdict is inconclusive, whatever warnings say; so it is under a policy without rules, which asks for none.

    Args:
        findings: from `judge`.
        policy: for `strict` and the rules.
        complete: whether every cell was computed.
        assumed: whether ids and split of the model are assumed and not proved: such an audit cannot pass.
    """
    judged = [found for found in findings if found.status != "not_run"]
    gating = {found.status for found in judged if found.severity == "error"}
    gates = any(rule.severity == "error" for rule in policy.rules) or not policy.rules
    verdict: Verdict = "pass"
    if "fail" in gating:
        verdict = "fail"
    elif "inconclusive" in gating or not complete or assumed or (gates and not gating):
        verdict = "inconclusive"
    if not complete or (policy.rules and not judged):
        return verdict, 3
    return verdict, {"pass": 0, "fail": 1, "inconclusive": 4 if policy.strict else 0}[verdict]


def rule_for(evidence_id: str, policy: Policy) -> Rule | None:
    """The first rule that selects an evidence; None if it is only described."""
    return next((rule for rule in policy.rules if fnmatchcase(evidence_id, rule.select)), None)


def _uncertain(found: Evidence) -> bool:
    return found.estimate is not None and (bool(found.units) or found.standard_error != 0)


def _finding(found: Evidence, rule: Rule, confidence: float, failures: Sequence[Failure], seed: int) -> Finding:
    values = [unit.value for unit in found.units]
    clusters = [unit.cluster for unit in found.units]
    interval, mde = None, None
    if found.estimate is not None and found.units:
        interval = statistics.interval(values, clusters, confidence, seed, resolution=found.resolution)
        mde = statistics.mde(values, clusters, resolution=found.resolution)
    elif found.estimate is not None and found.standard_error is not None:
        interval = statistics.normal_interval(found.estimate, found.standard_error, confidence)
        mde = statistics.POWER * found.standard_error
    if interval is not None and found.limits is not None:
        low, high = found.limits
        interval = max(interval[0], low), min(interval[1], high)
    if interval is not None and not all(map(math.isfinite, interval)):
        interval = None  # numbers so large that nothing can be said of them
    mde = mde if mde is not None and math.isfinite(mde) else None
    status, reason, settles = _status(found, rule.bound, interval, confidence)
    if found.estimate is None and failures:
        more = f" and {len(failures) - 1} more" if len(failures) > 1 else ""
        reason += f"; cells that failed: {failures[0].label}{more}"
    return Finding(
        id=found.id,
        check=found.check,
        title=found.title,
        status=status,
        severity=rule.severity,
        measure=found.measure,
        unit=found.unit,
        estimate=found.estimate,
        interval=interval,
        confidence=confidence,
        bound=rule.bound,
        direction=found.worse,
        n=found.n,
        mde=mde,
        baseline=found.baseline,
        reason=reason,
        bound_reason=f"{rule.reason} ({rule.author})" if rule.author else rule.reason,
        remedy=rule.remedy if status == "fail" else settles,
        clauses=list(rule.clauses),
        cells=found.cells,
    )


def _status(
    found: Evidence, bound: float, interval: statistics.Interval | None, confidence: float
) -> tuple[Status, str, str]:
    """Status, its reason, and what would settle an inconclusive one."""
    if found.estimate is None:
        return "not_run", found.missing or "no value was measured", ""
    clusters = len({unit.cluster for unit in found.units})
    if found.units and clusters < FEWEST_CLUSTERS:
        return (
            "inconclusive",
            f"measured on {clusters} of at least {FEWEST_CLUSTERS} targets",
            _more_targets(),
        )
    if interval is None:
        return "inconclusive", "no uncertainty could be estimated", "give the check a larger sample"
    if not found.units and found.standard_error and found.n < FEWEST_USERS:
        return (
            "inconclusive",
            f"measured on {found.n} of at least {FEWEST_USERS} users",
            "audit on data of more users",
        )
    low, high = interval
    worst, best = (high, low) if found.worse == "higher" else (low, high)
    sign = 1 if found.worse == "higher" else -1
    side = "above" if found.worse == "higher" else "below"
    whole = "the value" if low == high else f"the whole {_percent(confidence)} interval"
    if sign * (best - bound) > 0:
        return "fail", f"{whole} lies {side} the bound {bound:g}", ""
    if sign * (worst - bound) <= 0:
        return "pass", f"{whole} keeps the bound {bound:g}{_unseen(found, clusters, confidence)}", ""
    reason = f"the {_percent(confidence)} interval holds the bound {bound:g}"
    return "inconclusive", reason, _settles(found, bound, interval, clusters, confidence)


def _unseen(found: Evidence, clusters: int, confidence: float) -> str:
    """What equal values leave open: no spread was seen, which is not the same as no spread."""
    if not found.units:
        return ""
    means = statistics.cluster_means([u.value for u in found.units], [u.cluster for u in found.units])
    if means.max() - means.min() > found.resolution:
        return ""
    share = statistics.unseen_share(clusters, confidence)
    return (
        f"; all {clusters} targets show the same within one step, up to {share:.0%} of such targets could still "
        f"differ (rule of three, {_percent(confidence)})"
    )


def _settles(found: Evidence, bound: float, interval: statistics.Interval, clusters: int, confidence: float) -> str:
    """How large a sample would move the whole interval to the estimate's side of the bound."""
    estimate = 0.0 if found.estimate is None else found.estimate
    distance = abs(estimate - bound)
    reach = interval[1] - estimate if bound >= estimate else estimate - interval[0]
    if found.units:
        spread = reach * clusters**0.5 / statistics.student(clusters - 1, confidence)
        needed = statistics.needed_units(spread, distance, confidence)
        if needed is None:
            return "the estimate lies so near the bound that no affordable number of targets settles it"
        return f"about {max(needed, clusters + 1):,} targets would settle it, now {clusters}; {_more_targets()}"
    # the error of a mean over users falls with the square root of their number
    off = reach + statistics.LIKELY * (found.standard_error or 0.0)
    needed_users = found.n * (off / distance) ** 2 if distance else 0
    if not 0 < needed_users < 1e9:
        return "the estimate lies so near the bound that no affordable number of users settles it"
    return f"about {round(needed_users):,} users would settle it, now {found.n:,}; audit on data of more users"


def _more_targets() -> str:
    return "raise the check's number of targets (per_stratum), then its seeds"


def _unused_rules(evidence: Sequence[Evidence], skipped: Sequence[Skipped], policy: Policy) -> list[Finding]:
    """Rules that judged nothing although their check ran: a misspelt pattern must not open the gate."""
    ran = {found.check for found in evidence}
    left_out = {entry.check for entry in skipped}
    used = {id(rule_for(found.id, policy)) for found in evidence}
    findings = []
    for rule in policy.rules:
        first = rule.select.split(".")[0]
        check = first if first.replace("-", "").isalnum() else "policy"
        if id(rule) in used or check in left_out or (check in policy.checks and check not in ran):
            continue
        reason = "this rule judged nothing: no evidence of the run has such an id, or an earlier rule took it"
        finding = _not_run(rule.select, check, reason)
        findings.append(finding.model_copy(update={"bound": rule.bound, "bound_reason": rule.reason}))
    return findings


def _not_run(name: str, check: str, reason: str) -> Finding:
    return Finding(
        id=name, check=check, title="Not run", status="not_run", severity="warning", measure="", unit="",
        estimate=None, interval=None, confidence=0.0, bound=None, direction="higher", n=0, reason=reason,
    )  # fmt: skip


def _percent(confidence: float) -> str:
    return f"{100 * confidence:.4g} %"
