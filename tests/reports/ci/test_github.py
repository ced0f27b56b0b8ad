"""GitHub: commands the runner reads as they are meant, and nothing from data that it would obey."""

from __future__ import annotations

import re

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports import markdown
from recaudit.reports.ci import github

from ..example_run import example_run, many_findings
from ..hostile import TEXTS, poisoned

COMMAND = re.compile(r"::(error|warning|notice) (?:(\w+)=([^:,\r\n]*))(?:,(\w+)=([^:,\r\n]*))*::[^\r\n]+")


@pytest.fixture(scope="module")
def run() -> AuditRun:
    return example_run()


def commands(run: AuditRun, *rest: str) -> list[str]:
    lines = github.annotations(run, *rest).split("\n")
    assert lines.pop() == "" and all(COMMAND.fullmatch(line) for line in lines)
    return lines


def few(run: AuditRun, **update: object) -> AuditRun:
    return run.model_copy(update={"findings": [run.findings[0].model_copy(update=update)], "failures": []})


def test_failures_are_errors_and_open_questions_warnings(run: AuditRun) -> None:
    broken = {"id": "promotion.x.hr@20", "status": "fail", "severity": "error", "title": "Gain", "reason": "too much"}
    (line,) = commands(few(run, **broken), "ci/recaudit.yaml", "rules:\n- {select: 'promotion.*'}\n")
    assert line.startswith("::error file=ci/recaudit.yaml,line=2,title=promotion.x.hr@20 fails::Gain: too much")
    assert commands(few(run, **broken | {"severity": "warning"}))[0].startswith("::warning ")
    assert commands(few(run, **broken | {"status": "inconclusive"}))[0].startswith("::warning ")
    assert commands(few(run, **broken | {"status": "inconclusive", "severity": "warning"})) == []
    strict = few(run, **broken | {"status": "inconclusive"}).model_copy(update={"policy": {"strict": True}})
    assert commands(strict)[0].startswith("::error ")
    for status in ("pass", "waived", "not_run"):
        assert github.annotations(few(run, **broken | {"status": status})) == ""


def test_a_failed_cell_is_an_error(run: AuditRun) -> None:
    (line,) = commands(run.model_copy(update={"findings": []}))
    assert line.startswith("::error ") and "MemoryError" in line


def test_at_most_ten_of_each_and_the_rest_is_counted(run: AuditRun) -> None:
    model = next(finding for finding in run.findings if finding.status == "fail")
    many = [model.model_copy(update={"id": f"a.b{n}", "severity": "error"}) for n in range(12)]
    many += [model.model_copy(update={"id": f"a.c{n}", "severity": "warning"}) for n in range(11)]
    lines = commands(run.model_copy(update={"findings": many, "failures": []}))
    words = [line.split(" ")[0] for line in lines]
    assert words == ["::error"] * 10 + ["::warning"] * 10 + ["::notice"]
    assert lines[-1].endswith("2 errors and 1 warning more; the report holds them all")


@pytest.mark.parametrize("text", [*TEXTS, "%0A::error::x\n::add-mask::y\r##[error]z,title=a:b"])
def test_no_text_forms_a_command(run: AuditRun, text: str) -> None:
    found = commands(poisoned(run, text, frozenset()), f"{text}.yaml")
    assert found and all("##[" not in line for line in found)
    if text.startswith("%"):
        assert any("%250A" in line for line in found) and any("title%3Da" not in line for line in found)


def test_the_summary_is_the_report_and_small_enough() -> None:
    run = many_findings(5000, "雨" * 400)
    assert github.summary(run) == markdown.document(run)
    assert len(github.summary(run)) < github.SUMMARY
