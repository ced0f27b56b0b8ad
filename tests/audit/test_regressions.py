"""The gate against a baseline: what counts, what is excused, what is refused."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.audit.evidence import AuditRun, CellResult, Evidence, Failure, Skipped, TargetCard, Unit
from recaudit.audit.policy import Policy
from recaudit.audit.regressions import Against, regressions
from recaudit.audit.verdict import conclude, judge
from recaudit.datasets.errors import InputError

TODAY = date(2026, 5, 1)
RULES = [
    {"select": "exposure.*", "bound": 0.5, "reason": "half"},
    {"select": "promotion.*", "bound": 0.05, "reason": "one in twenty"},
    {"select": "quality.*", "bound": 0.9, "reason": "only told", "severity": "warning"},
]
POLICY = Policy.model_validate({"rules": RULES})


def record(*evidence: Evidence, data: str = "d", **fields: Any) -> AuditRun:
    card = TargetCard(
        name="m", family="linear", model_fingerprint="f", data_fingerprint=data, users=9, items=9, train_events=1,
        valid_events=1, test_events=1, split="given", recipe={}, reproduced=True,
    )  # fmt: skip
    values: dict[str, Any] = {
        "status": "complete", "verdict": "pass", "exit_code": 0, "target": card, "policy": POLICY.model_dump(),
        "policy_digest": "", "seed": 0, "environment": {}, "started": "", "seconds": 0.0, "evidence_digest": "",
        "findings": [], "evidence": list(evidence), "cells": [], "skipped": [], "failures": [],
    }  # fmt: skip
    return AuditRun(**(values | fields))


def users(estimate: float | None, error: float | None = 0.01, name: str = "exposure.gini@5", **more: Any) -> Evidence:
    """A measure over users; higher is worse and the bound is 0.5."""
    fields: dict[str, Any] = {
        "check": name.split(".")[0], "title": "t", "measure": "m", "unit": "0..1", "worse": "higher", "n": 100,
        "standard_error": error, "missing": None if estimate is not None else "gone",
    }  # fmt: skip
    return Evidence(id=name, estimate=estimate, **(fields | more))


def trials(values: list[float], name: str = "promotion.bandwagon.1%.cold.hr@20") -> Evidence:
    """A designed experiment, two seeds a target."""
    units = [Unit(cluster=f"i{n // 2}", seed=n % 2, value=value) for n, value in enumerate(values)]
    mean = sum(values) / len(values)
    return users(mean, None, name, units=units, n=len(values))


def against(before: Evidence, now: Evidence, policy: Policy = POLICY, **options: Any) -> Against:
    return regressions(record(before), record(now), policy, TODAY, **options)


@pytest.mark.parametrize(
    ("before", "now", "outcome", "verdict", "code"),
    [
        (0.40, 0.41, "held", "pass", 0),
        (0.40, 0.30, "better", "pass", 0),
        (0.60, 0.61, "known", "pass", 0),
        (0.60, 0.70, "regressed", "fail", 1),
        (0.30, 0.40, "regressed", "fail", 1),  # the bound holds, but the interval of the difference does not reach 0
        (0.495, 0.505, "known", "pass", 0),  # inconclusive on both sides
        (0.47, 0.49, "open", "inconclusive", 0),
    ],
)
def test_what_a_difference_of_user_means_counts(
    before: float, now: float, outcome: str, verdict: str, code: int
) -> None:
    found = against(users(before), users(now))
    assert (found.held[0].outcome, found.verdict, found.exit_code) == (outcome, verdict, code)


def test_a_pass_that_turned_into_a_fail_counts_whatever_the_interval_of_the_difference_says() -> None:
    found = against(users(0.49, 0.004), users(0.51, 0.004), margin=0.05)
    assert found.held[0].outcome == "broke" and found.exit_code == 1
    # differences are corrected over all checks, findings within their own
    rules = Policy.model_validate({"rules": [{"select": "*", "bound": 0.5, "reason": "r"}]})
    before, now = (
        record(*(users(0.5 + sign * 1.97 * 0.01, name=f"check{n}.m") for n in range(30))) for sign in (-1, 1)
    )
    found = regressions(before, now, rules, TODAY)
    assert {row.outcome for row in found.held} == {"broke"} and found.exit_code == 1


def test_experiments_are_paired_so_that_a_small_steady_loss_is_seen() -> None:
    base = [0.2, 0.21, 0.3, 0.31, 0.25, 0.26, 0.4, 0.41, 0.22, 0.23, 0.35, 0.36]
    steady = against(trials(base), trials([value + 0.02 + 0.001 * (n % 3) for n, value in enumerate(base)]))
    assert steady.held[0].outcome == "regressed" and steady.held[0].difference.paired and steady.exit_code == 1
    mixed = against(trials(base), trials([value + 0.02 * (-1) ** (n // 2) for n, value in enumerate(base)]))
    assert mixed.held[0].outcome == "known" and mixed.exit_code == 0


def test_a_paired_error_of_users_sharpens_the_difference() -> None:
    assert against(users(0.6), users(0.61)).held[0].outcome == "known"
    assert against(users(0.6), users(0.61), errors={"exposure.gini@5": 0.001}).held[0].outcome == "regressed"


def test_the_margin_tolerates_a_worsening_and_may_not_be_negative() -> None:
    assert against(users(0.2), users(0.3), margin=0.05).exit_code == 1
    assert against(users(0.2), users(0.3), margin=0.1).exit_code == 0
    for margin in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="margin"):
            against(users(0.2), users(0.3), margin=margin)
    with pytest.raises(InputError, match="margin"):
        against(users(0.2), users(0.3), margin=-1)


def test_where_lower_is_worse_a_fall_is_the_regression() -> None:
    rules = Policy.model_validate({"rules": [{"select": "*", "bound": 0.1, "reason": "r"}]})
    fall, rise = (users(value, worse="lower") for value in (0.3, 0.4))
    assert against(rise, fall, rules).held[0].outcome == "regressed"
    assert against(fall, rise, rules).held[0].outcome == "better"


def test_numbers_without_uncertainty_regress_only_beyond_their_bound() -> None:
    assert against(users(0.0, 0.0), users(1e-9, 0.0)).exit_code == 0
    assert against(users(0.4, 0.0), users(0.6, 0.0)).held[0].outcome == "regressed"


def test_what_is_new_meets_the_absolute_rule() -> None:
    both = users(0.2)
    for value, code in ((0.1, 0), (0.9, 1)):
        found = regressions(record(both), record(both, users(value, name="exposure.qf@5")), POLICY, TODAY)
        assert found.held[0].outcome == "new" and found.exit_code == code


def test_without_an_interval_the_absolute_rule_decides() -> None:
    found = against(users(0.6, None), users(0.6))
    assert found.held[0].outcome == "new" and "no interval" in found.held[0].reason and found.exit_code == 1


@pytest.mark.parametrize("gone", [[], [users(None, None, "exposure.qf@5")]], ids=["absent", "unmeasured"])
def test_what_got_lost_fails_and_carries_no_old_numbers(gone: list[Evidence]) -> None:
    before = record(users(0.2), users(0.3, name="exposure.qf@5"))
    found = regressions(before, record(users(0.2), *gone), POLICY, TODAY)
    assert found.held[0].outcome == "lost" and found.verdict == "fail" and found.exit_code == 1
    (lost,) = [finding for finding in found.findings if finding.id == "exposure.qf@5"]
    assert lost.status == "fail" and lost.estimate is None and lost.interval is None
    silent = POLICY.model_copy(update={"rules": POLICY.rules[:0]})  # its rule went with it
    assert regressions(before, record(users(0.2), *gone), silent, TODAY).exit_code == 1


def test_inconclusive_under_a_strict_policy_counts_only_where_it_passed_before() -> None:
    strict = POLICY.model_copy(update={"strict": True})
    assert against(users(0.47), users(0.49), strict).exit_code == 4
    assert against(users(0.495), users(0.505), strict).exit_code == 0


def test_warnings_never_gate_and_are_not_listed() -> None:
    shared = users(0.2)
    before, now = (record(shared, users(value, name="quality.ndcg@20")) for value in (0.5, 0.99))
    found = regressions(before, now, POLICY, TODAY)
    assert [row.finding.id for row in found.held] == [shared.id] and found.exit_code == 0


def test_what_does_not_gate_takes_no_power_from_what_does() -> None:
    more = [users(0.5, name=f"quality.m{n}") for n in range(50)]
    alone = against(users(0.3), users(0.33)).held[0].difference
    beside = regressions(record(users(0.3), *more), record(users(0.33), *more), POLICY, TODAY).held[0].difference
    assert alone == beside


def waiver(expires: str) -> Policy:
    entry = {"check": "exposure", "owner": "o", "reason": "r", "expires": expires}
    return Policy.model_validate({"rules": RULES, "waivers": [entry]})


def test_a_waived_regression_does_not_count_until_the_waiver_expires() -> None:
    found = against(users(0.6), users(0.8), waiver("2026-05-01"))
    assert found.exit_code == 0 and found.findings[0].status == "waived"
    found = against(users(0.6), users(0.8), waiver("2026-04-30"))
    assert found.exit_code == 1 and "expired on 2026-04-30" in found.findings[0].reason


def test_excused_findings_say_why_and_so_do_regressions() -> None:
    known = against(users(0.6), users(0.61)).findings[0]
    assert known.status == "waived" and known.reason.startswith("known: fail in the baseline and not shown to be worse")
    worse = against(users(0.3), users(0.4)).findings[0]
    assert worse.status == "fail" and "its own bound: pass" in worse.reason


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"data": "other"}, "different data"),
        ({"seed": 5}, "seed: 5 in the baseline"),
        ({"policy": {"checks": {"promotion": {"sizes": ["2%"]}}}}, "checks.promotion"),
    ],
)
def test_another_method_is_refused_unless_it_is_asked_for(other: dict[str, Any], word: str) -> None:
    before = record(users(0.6), **other)
    now = record(users(0.61), policy={"checks": {"promotion": {"sizes": ["1%"]}, "exposure": {}}})
    with pytest.raises(InputError, match=word) as refused:
        regressions(before, now, POLICY, TODAY)
    assert "--any-data" in str(refused.value)
    assert regressions(before, now, POLICY, TODAY, any_data=True).exit_code == 0


def test_other_bounds_and_a_check_more_are_no_other_method() -> None:
    before = record(users(0.6), policy={"checks": {"exposure": {}}, "rules": []})
    now = record(users(0.61), policy={"checks": {"exposure": {}, "promotion": {"sizes": ["1%"]}}})
    assert regressions(before, now, POLICY, TODAY).exit_code == 0


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(InputError, match="in common"):
        regressions(record(users(0.2)), record(users(0.2, name="exposure.qf@5")), POLICY, TODAY)


def test_an_unfinished_or_assumed_run_does_not_pass() -> None:
    failures = [Failure(cell="k", label="l", error="e")]
    cells = [CellResult(key="k", kind="model", label="l", params={}, seed=0, values={}, seconds=1.0)]
    run = record(users(0.2), failures=failures, cells=cells, skipped=[Skipped(check="groups", reason="no groups")])
    found = regressions(record(users(0.2)), run, POLICY, TODAY)
    assert found.verdict == "inconclusive" and found.exit_code == 3
    assumed = record(users(0.2))
    assumed = assumed.model_copy(update={"target": assumed.target.model_copy(update={"verified": False})})
    assert regressions(record(users(0.2)), assumed, POLICY, TODAY).verdict == "inconclusive"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 0.1)), min_size=1, max_size=6))
def test_a_run_never_fails_against_itself(values: list[tuple[float, float]]) -> None:
    run = record(*(users(value, error, f"exposure.m{n}@5") for n, (value, error) in enumerate(values)))
    found = regressions(run, run, POLICY, TODAY)
    assert found.exit_code == 0 and {row.outcome for row in found.held} <= {"held", "known"}
    assert [finding.id for finding in found.findings] == [e.id for e in judge(run.evidence, [], [], POLICY, TODAY)]


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.1))
def test_against_a_baseline_only_a_worsening_can_fail_what_passes_alone(b: float, n: float, error: float) -> None:
    before, now = users(b, error), users(n, error)
    alone = conclude(judge([now], [], [], POLICY, TODAY), POLICY, True)[1]
    found = against(before, now)
    if found.exit_code > alone:
        assert found.held[0].outcome == "regressed" and n > b
    if found.exit_code == 1:
        assert n > b
