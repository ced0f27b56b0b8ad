"""SARIF: valid against the 2.1.0 schema whatever the texts, the right kinds and lines, fingerprints that last."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from recaudit.audit.evidence import AuditRun, Finding
from recaudit.audit.policy import load_policy, preset_text
from recaudit.audit.verdict import rule_for
from recaudit.reports.ci import places, sarif

from ..example_run import example_run, many_findings
from ..hostile import MARK, TEXTS, poisoned

POLICY = """# a comment
version: 1
rules:
  - select: "quality.*"      # line 4
    bound: 0.0
    reason: r
  - {select: "promotion.*.hr@20", bound: 0.05, reason: r}
  -
    bound: 1
    select: 'exposure.gini*'
    reason: "select: exposure.*"
waivers:
  - check: promotion
    owner: o
    reason: r
    expires: 2030-01-01
"""


@pytest.fixture(scope="module")
def run() -> AuditRun:
    return example_run()


@cache
def validator() -> Any:
    schema = json.loads(Path(__file__).with_name("sarif-2.1.0.json").read_text("utf-8"))
    jsonschema.Draft4Validator.check_schema(schema)
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker())


def read(content: bytes) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(content)
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator().iter_errors(log)
    ]
    assert errors == []
    (only,) = log["runs"]
    rules = only["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in only["results"]:  # what the schema cannot say (3.27.9, 3.27.10, 3.52.4)
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert (result["level"] == "none") == (result["kind"] != "fail")
    return only


def test_the_schema_refuses_what_is_wrong(run: AuditRun) -> None:
    log = json.loads(sarif.document(run))
    log["runs"][0]["results"][0]["kind"] = "inconclusive"
    assert not validator().is_valid(log)


def test_kinds_levels_and_suppressions_follow_the_findings(run: AuditRun) -> None:
    only = read(sarif.document(run))
    statuses = Counter(finding.status for finding in run.findings)
    kinds = Counter(result["kind"] for result in only["results"])
    assert kinds["fail"] == statuses["fail"] + statuses["waived"] and kinds["open"] == statuses["inconclusive"]
    assert kinds["notApplicable"] == statuses["not_run"] and sum(kinds.values()) == len(run.findings)
    suppressed = [result for result in only["results"] if "suppressions" in result]
    assert len(suppressed) == statuses["waived"] > 0
    assert all("R. Meyer" in result["suppressions"][0]["justification"] for result in suppressed)
    severities = {"error": "error", "warning": "warning", "info": "note"}
    for finding, result in zip(run.findings, only["results"], strict=True):
        if finding.status == "fail":
            assert result["level"] == severities[finding.severity]


def test_rules_are_families(run: AuditRun) -> None:
    only = read(sarif.document(run))
    names = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    assert "promotion.bandwagon" in names and "quality.reproduction" in names
    assert not any("cold" in name for name in names)


def test_failed_cells_are_notifications(run: AuditRun) -> None:
    invocation = read(sarif.document(run))["invocations"][0]
    assert invocation["executionSuccessful"] is False and invocation["exitCode"] == 1
    assert invocation["startTimeUtc"] == "2026-03-02T08:15:00Z"
    (note,) = invocation["toolExecutionNotifications"]
    assert "MemoryError" in note["message"]["text"] and note["level"] == "error"
    fine = run.model_copy(update={"failures": [], "status": "complete", "started": "yesterday"})
    invocation = read(sarif.document(fine))["invocations"][0]
    assert invocation["executionSuccessful"] is True and "startTimeUtc" not in invocation


def test_only_failing_leaves_no_pass_and_no_waived(run: AuditRun) -> None:
    only = read(sarif.document(run, only_failing=True))
    assert len(only["results"]) == sum(finding.status == "fail" for finding in run.findings) > 0
    assert {result["kind"] for result in only["results"]} == {"fail"}
    passed = run.model_copy(update={"findings": [f for f in run.findings if f.status == "pass"]})
    assert read(sarif.document(passed, only_failing=True))["results"] == []


def marks(run: AuditRun) -> list[str]:
    return [result["partialFingerprints"]["recauditFinding/v1"] for result in read(sarif.document(run))["results"]]


def test_fingerprints_outlive_numbers_and_tell_findings_and_models_apart(run: AuditRun) -> None:
    first = marks(run)
    assert len(set(first)) == len(first)
    other = [
        f.model_copy(update={"estimate": 0.123, "interval": (0.1, 0.2), "bound": 0.4, "status": "pass", "reason": "x"})
        for f in run.findings
    ]
    card = run.target.model_copy(update={"model_fingerprint": "new"})
    assert marks(run.model_copy(update={"findings": other, "seed": 99, "target": card})) == first
    renamed = run.model_copy(update={"target": run.target.model_copy(update={"name": "another"})})
    assert not set(marks(renamed)) & set(first)
    assert len(set(marks(run.model_copy(update={"findings": run.findings * 2})))) == 2 * len(first)


def finding(name: str, check: str = "", **more: Any) -> Finding:
    fields = dict(
        id=name, check=check or name.split(".")[0], title="t", status="fail", severity="error", measure="m", unit="u",
        estimate=1.0, interval=None, confidence=0.9, bound=0.0, direction="higher", n=1, reason="r",
    )  # fmt: skip
    return Finding.model_validate(fields | more)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (finding("quality.reproduction"), 4),
        (finding("promotion.bandwagon.1%.cold.hr@20"), 7),
        (finding("exposure.gini@20"), 9),
        (finding("exposure.qf@20"), 1),
        (finding("promotion.*.hr@20", status="not_run"), 7),
        (finding("waiver.promotion", "waivers", status="not_run"), 13),
    ],
    ids=lambda value: getattr(value, "id", value),
)
def test_a_finding_points_at_its_rule(run: AuditRun, found: Finding, line: int) -> None:
    alone = run.model_copy(update={"findings": [found]})
    (result,) = read(sarif.document(alone, "ci/policy.yaml", POLICY))["results"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "ci/policy.yaml"}, "region": {"startLine": line}}


def test_lines_agree_with_the_rule_that_judges_in_every_preset() -> None:
    for preset in ("quick", "standard", "thorough"):
        words, policy = preset_text(preset), load_policy(None, preset)
        lines = places.Lines(words)
        for rule in policy.rules:
            name = re.sub(r"\[(.)[^]]*\]", r"\1", rule.select).replace("*", "x")
            judging = rule_for(name, policy)
            assert judging is not None
            assert f'"{judging.select}"' in words.splitlines()[lines.of(finding(name)) - 1]


@pytest.mark.parametrize(
    "words", ["", "rules: 5", "- a", "rules: [a, {select: [x]}]", "a: b: c", "[" * 400, "\x00", "rules: *nowhere"]
)
def test_a_text_that_is_no_policy_gives_line_one(words: str) -> None:
    assert places.Lines(words).of(finding("a.b")) == 1


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_gives_valid_sarif_without_links_or_placeholders(run: AuditRun, text: str) -> None:
    content = sarif.document(poisoned(run, text, frozenset()), f"{text}/recaudit.yaml")
    only = read(content)
    assert MARK in content.decode() and len(content) < 3_000_000
    messages = [result["message"]["text"] for result in only["results"]]
    messages += [rule["shortDescription"]["text"] for rule in only["tool"]["driver"]["rules"]]
    for message in messages:
        assert "](" not in message and "\u202e" not in message and "\x1b" not in message and "\n" not in message
        assert "{" not in message.replace("{{", "") and "}" not in message.replace("}}", "")
    for result in only["results"]:
        address = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert ":" not in address and not address.startswith("/")


def test_five_thousand_findings_stay_valid_and_small() -> None:
    log = json.loads(content := sarif.document(many_findings(5000, "long " * 400)))
    assert len(content) < 20_000_000 and len(log["runs"][0]["results"]) > 5000
    results = log["runs"][0]["results"]
    log["runs"][0]["results"] = results[:40] + results[-40:]  # validating all of them would take minutes
    read(json.dumps(log).encode())


def test_never_more_results_than_are_taken_and_failures_first(run: AuditRun, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = sum(finding.status == "fail" for finding in run.findings)
    monkeypatch.setattr(sarif, "MOST", failing + 1)
    kinds = Counter(result["kind"] for result in read(sarif.document(run))["results"])
    assert kinds["fail"] == failing and sum(kinds.values()) == failing + 1


def test_the_same_run_gives_the_same_bytes(run: AuditRun) -> None:
    assert sarif.document(run, policy_text=POLICY) == sarif.document(run.model_copy(deep=True), policy_text=POLICY)
