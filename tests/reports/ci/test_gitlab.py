"""GitLab: a code quality report of what its form asks for, with distinct and lasting fingerprints."""

from __future__ import annotations

import json
from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports.ci import gitlab

from ..example_run import example_run, many_findings
from ..hostile import MARK, TEXTS, poisoned


@pytest.fixture(scope="module")
def run() -> AuditRun:
    return example_run()


def read(content: bytes) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(content)
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker") and entry["description"]
        assert set(entry["location"]) == {"path", "lines"} and entry["location"]["lines"]["begin"] >= 1
        path = entry["location"]["path"]
        assert not path.startswith(("/", "./")) and ":" not in path
    assert len({entry["fingerprint"] for entry in entries}) == len(entries)
    return entries


def test_it_holds_what_fails_what_is_open_and_failed_cells(run: AuditRun) -> None:
    entries = read(gitlab.codequality(run))
    gating = [f for f in run.findings if f.status == "inconclusive" and f.severity == "error"]
    failing = [f for f in run.findings if f.status == "fail"]
    assert len(entries) == len(failing) + len(gating) + len(run.failures)
    by_name = {entry["check_name"]: entry["severity"] for entry in entries}
    severities = {"error": "critical", "warning": "minor", "info": "info"}
    assert all(by_name[f"recaudit.{f.id}"] == severities[f.severity] for f in failing)
    assert all(by_name[f"recaudit.{f.id}"] == "minor" for f in gating)
    assert by_name["recaudit.cells"] == "major"


def test_open_questions_weigh_more_under_a_strict_policy(run: AuditRun) -> None:
    name = next(f.id for f in run.findings if f.status == "inconclusive" and f.severity == "error")
    strict = run.model_copy(update={"policy": run.policy | {"strict": True}})
    assert {e["check_name"]: e["severity"] for e in read(gitlab.codequality(strict))}[f"recaudit.{name}"] == "major"


def test_a_run_in_which_all_passes_is_an_empty_report(run: AuditRun) -> None:
    passed = [finding for finding in run.findings if finding.status == "pass"]
    assert read(gitlab.codequality(run.model_copy(update={"findings": passed, "failures": []}))) == []


def test_fingerprints_outlive_numbers_and_equal_ones_are_told_apart(run: AuditRun) -> None:
    first = [entry["fingerprint"] for entry in read(gitlab.codequality(run))]
    other = [f.model_copy(update={"estimate": 9.0, "interval": None}) for f in run.findings]
    assert [e["fingerprint"] for e in read(gitlab.codequality(run.model_copy(update={"findings": other})))] == first
    twice = run.model_copy(update={"findings": run.findings * 2, "failures": run.failures * 2})
    assert len(read(gitlab.codequality(twice))) == 2 * len(first)


def test_it_points_at_the_rule(run: AuditRun) -> None:
    text = "rules:\n- {select: 'quality.*'}\n- {select: '*'}\n"
    entries = read(gitlab.codequality(run, "audit/recaudit.yaml", text))
    assert {(e["location"]["path"], e["location"]["lines"]["begin"]) for e in entries} >= {("audit/recaudit.yaml", 3)}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_gives_a_report(run: AuditRun, text: str) -> None:
    content = gitlab.codequality(poisoned(run, text, frozenset()), f"{text}/p.yaml")
    assert read(content) and MARK in content.decode() and "\u202e" not in content.decode() and len(content) < 1_000_000


def test_it_never_grows_too_large() -> None:
    assert len(json.loads(gitlab.codequality(many_findings(9000, "x" * 3000)))) <= gitlab.MOST
