from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.audit.evidence import AuditRun, Evidence
from recaudit.reports.readings import Reading, state, worst

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("attack", "size", "size_share", "accounts", "stratum", "attacked", "control", "clones", "lorenz", "values",
        "metrics", "most_exposed", "least_exposed", "never_shown", "items", "utility_change", "direction")  # fmt: skip


def with_evidence(run: AuditRun, *evidence: Evidence) -> Reading:
    return Reading(run.model_copy(update={"evidence": list(evidence)}))


def attack(**details: Any) -> Evidence:
    return Evidence(
        id="promotion.x", check="promotion", title="t", measure="hr@20", unit="u", worse="higher",
        estimate=details.pop("estimate", 0.1), n=1, details={"attack": "x", "size": "1%", "stratum": "cold"} | details,
    )  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
@settings(max_examples=50, deadline=None)
def test_details_of_any_shape_are_read_or_left_out(details: dict[str, Any]) -> None:
    evidence = attack().model_copy(update={"details": details, "check": "quality"})
    reading = with_evidence(AuditRun.model_construct(findings=[], titles={}), evidence)
    assert len(reading.points) in (0, 1)
    for answer in (reading.exposure, reading.utility, reading.metrics, reading.hit_rates("quality")):
        assert answer is None or answer is not reading


def test_sizes_are_ordered_by_share_then_accounts_then_text(run: AuditRun) -> None:
    shares = [attack(size_share=0.03), attack(accounts=7), attack(size="2.5%"), attack(size="many")]
    assert [point.share for point in with_evidence(run, *shares).points] == [0.0, 0.03, 2.5, 7.0]


def test_a_loss_lies_below_the_control(run: AuditRun) -> None:
    (push,) = with_evidence(run, attack(control=0.2, attacked=0.3)).points
    (loss,) = with_evidence(run, attack(control=0.2, attacked=0.1)).points
    (none,) = with_evidence(run, attack(control=0.2, attacked=0.2, estimate=0.0, direction="nuke")).points
    assert push.level(0.1) == pytest.approx(0.3) and loss.level(0.1) == pytest.approx(0.1)
    assert (push.sign, loss.sign, none.sign) == (1, -1, -1)


def test_the_hit_rate_that_is_judged_is_shown(run: AuditRun) -> None:
    assert {point.measure for point in Reading(run).hit_rates("promotion")} == {"hr@20"}
    more = [e.model_copy(update={"id": f"{e.id}0", "measure": "hr@50"}) for e in run.evidence if e.measure == "hr@20"]
    both = Reading(run.model_copy(update={"evidence": [*run.evidence, *more]}))
    assert {point.measure for point in both.hit_rates("promotion")} == {"hr@20"}
    unjudged = both.run.model_copy(update={"findings": []})
    assert {point.measure for point in Reading(unjudged).hit_rates("promotion")} == {"hr@50"}


def test_failures_come_first(run: AuditRun) -> None:
    states = [state(finding) for finding in Reading(run).findings]
    order = list(dict.fromkeys(states))
    assert order == ["fail", "inconclusive", "not_run", "waived", "pass"]
    assert states == sorted(states, key=order.index)


def test_a_question_is_as_bad_as_its_worst_finding() -> None:
    assert worst(["pass", "not_run", "fail", "inconclusive"]) == "fail"
    assert worst(["pass", "inconclusive", "waived"]) == "inconclusive"
    assert worst(["not_run", "pass"]) == "pass" and worst([]) == "not_run"
