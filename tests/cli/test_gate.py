"""The gate as it is used: in a git repository with a committed baseline, by hand, from a hook, in GitHub's CI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result
from typer.testing import CliRunner

from recaudit.audit.evidence import AuditRun, CellResult, Evidence, TargetCard, Unit
from recaudit.audit.policy import Policy
from recaudit.cli.program import app
from recaudit.reports.markdown import MARKER

GINI, PUSH = "exposure.gini@20", "promotion.bandwagon.1%.cold.hr@20"
RULES = """version: 1
rules:
  - {select: "exposure.gini*", bound: 0.8, reason: half of the catalogue}
  - {select: "promotion.*.hr@20", bound: 0.05, reason: one user in twenty}
"""
CHECKS = {"exposure": {}, "promotion": {"sizes": ["1%"]}}
TARGETS = (0.01, 0.012, 0.02, 0.008, 0.015, 0.011, 0.018, 0.009)


def record(gini: float, push: float, data: str = "d", jitter: float = 0.0) -> AuditRun:
    """A record of two gating measures: Gini index over users, gain in hit rate over targets.

    Args:
        gini: the index, with a standard error of 0.01.
        push: what every target gains beyond the baseline.
        data: fingerprint.
        jitter: what every other target gains and the rest lose.
    """
    shared = {"worse": "higher", "unit": "0..1"}
    units = [
        Unit(cluster=f"i{n}", seed=s, value=push + v + jitter * (-1) ** n)
        for n, v in enumerate(TARGETS)
        for s in (0, 1)
    ]
    evidence = [
        Evidence(id=GINI, check="exposure", title="Unevenness", measure="gini", estimate=gini, n=900,
                 standard_error=0.01, **shared),
        Evidence(id=PUSH, check="promotion", title="Gain of a pushed item", measure="hr@20", units=units, n=len(units),
                 estimate=sum(unit.value for unit in units) / len(units), **shared),
    ]  # fmt: skip
    card = TargetCard(
        name="lightgcn", family="graph", model_fingerprint=f"{gini}{push}", data_fingerprint=data, users=900, items=99,
        train_events=1, valid_events=1, test_events=1, split="given", recipe={}, reproduced=True,
    )  # fmt: skip
    policy = Policy.model_validate({"checks": CHECKS, "rules": [{"select": "*", "bound": 1.0, "reason": "r"}]})
    cell = CellResult(key="k", kind="model", label="the checkpoint", params={}, seed=0, values={}, seconds=1.0)
    return AuditRun(
        status="complete", verdict="pass", exit_code=0, target=card, policy=policy.model_dump(mode="json"),
        policy_digest=policy.digest, seed=0, environment={}, started="2026-03-02T08:15:00+00:00", seconds=1.0,
        evidence_digest="e", findings=[], evidence=evidence, cells=[cell], skipped=[], failures=[],
    )  # fmt: skip


def write(run: AuditRun, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(run.model_dump_json())
    return folder


def git(repository: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    identity = {
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    }  # fmt: skip
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    return subprocess.run(command, cwd=repository, env=os.environ | identity, capture_output=True, text=True, **options)  # type: ignore[call-overload, no-any-return]


CANDIDATES = {
    "steady": record(0.705, 0.0, jitter=0.002),
    "failing": record(0.705, 0.2),
    "worse": record(0.79, 0.0),
    "elsewhere": record(0.7, 0.0, data="other"),
}


@pytest.fixture(scope="module")
def commits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository: policy and baseline on main, a branch a candidate."""
    repository = tmp_path_factory.mktemp("git") / "models"
    repository.mkdir()
    git(repository, "init", "-q", check=True)
    (repository / "recaudit.yaml").write_text(RULES)
    write(record(0.7, 0.0), repository / "baseline")
    write(record(0.9, 0.1), repository / "bad-baseline")
    git(repository, "add", "-A", check=True)
    git(repository, "commit", "-qm", "released", check=True)
    for name, run in CANDIDATES.items():
        git(repository, "checkout", "-q", "-b", name, "main", check=True)
        write(run, repository / "candidate")
        git(repository, "add", "-A", check=True)
        git(repository, "commit", "-qm", name, check=True)
    git(repository, "checkout", "-q", "main", check=True)
    return repository


@pytest.fixture
def repository(commits: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The repository as the working folder, outside of any CI system."""
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(commits)
    yield commits
    git(commits, "reset", "-q", "--hard", check=True)
    git(commits, "clean", "-qfdx", check=True)
    git(commits, "checkout", "-q", "main", check=True)


def gate(repository: Path, branch: str, *options: str) -> Result:
    git(repository, "checkout", "-q", branch, check=True)
    return CliRunner().invoke(app, ["gate", "candidate", "--policy", "recaudit.yaml", *options])


def statuses(answer: Result) -> dict[str, str]:
    found = re.findall(r"^ *(pass|FAIL|\?{4}|waived|not run)  (\S+)", answer.output, re.MULTILINE)
    return {name: status for status, name in found}


@pytest.mark.parametrize(
    ("branch", "options", "code", "marks"),
    [
        ("steady", (), 0, {GINI: "pass", PUSH: "pass"}),
        ("steady", ("--baseline", "baseline"), 0, {GINI: "pass", PUSH: "pass"}),
        ("failing", (), 1, {GINI: "pass", PUSH: "FAIL"}),
        ("failing", ("--baseline", "baseline"), 1, {GINI: "pass", PUSH: "FAIL"}),
        ("failing", ("--exit-zero",), 0, {PUSH: "FAIL"}),
        ("worse", (), 0, {GINI: "????", PUSH: "pass"}),
        ("worse", ("--baseline", "baseline"), 1, {GINI: "FAIL", PUSH: "pass"}),
        ("worse", ("--baseline", "baseline", "--margin", "0.06"), 0, {GINI: "????", PUSH: "pass"}),
        ("worse", ("--strict",), 4, {GINI: "????"}),
        ("worse", ("--strict", "--exit-zero"), 0, {GINI: "????"}),
    ],
)
def test_exit_codes_and_lines(
    repository: Path, branch: str, options: tuple[str, ...], code: int, marks: dict[str, str]
) -> None:
    answer = gate(repository, branch, *options)
    assert answer.exit_code == code, answer.output
    assert marks.items() <= statuses(answer).items(), answer.output


def test_a_known_failure_passes_against_a_baseline_that_had_it(repository: Path) -> None:
    git(repository, "checkout", "-q", "main", check=True)
    write(record(0.905, 0.1), repository / "same")
    runner = CliRunner()
    alone = runner.invoke(app, ["gate", "same", "--policy", "recaudit.yaml"])
    assert alone.exit_code == 1 and statuses(alone) == {GINI: "FAIL", PUSH: "FAIL"}
    held = runner.invoke(app, ["gate", "same", "--policy", "recaudit.yaml", "--baseline", "bad-baseline"])
    assert held.exit_code == 0 and statuses(held) == {GINI: "waived", PUSH: "waived"}
    assert re.search(rf"^ +known  {re.escape(GINI)}  fail in the baseline and not shown to be worse", held.output, re.M)
    write(record(0.99, 0.1), repository / "same")
    worse = runner.invoke(app, ["gate", "same", "--policy", "recaudit.yaml", "--baseline", "bad-baseline"])
    assert (
        worse.exit_code == 1
        and f"regressed  {GINI}  significantly worse than the baseline: 0.9 -> 0.99" in worse.output
    )
    assert worse.output.strip().endswith("report: same/report.html")


def test_waived_until_the_waiver_expires(repository: Path) -> None:
    git(repository, "checkout", "-q", "failing", check=True)
    today = datetime.now(UTC).date()
    for days, code, mark in ((1, 0, "waived"), (-1, 1, "FAIL")):
        waiver = f"waivers: [{{check: promotion, owner: R. Meyer, reason: r, expires: {today + timedelta(days)}}}]\n"
        Path("waived.yaml").write_text(RULES + waiver)
        for more in ((), ("--baseline", "baseline")):
            answer = CliRunner().invoke(app, ["gate", "candidate", "--policy", "waived.yaml", *more])
            assert answer.exit_code == code and statuses(answer)[PUSH] == mark, answer.output


def test_another_method_is_refused_in_one_line(repository: Path) -> None:
    answer = gate(repository, "elsewhere", "--baseline", "baseline")
    assert answer.exit_code == 2 and "different data" in answer.stderr and answer.stderr.count("\n") == 1
    assert gate(repository, "elsewhere", "--baseline", "baseline", "--any-data").exit_code == 0
    answer = gate(repository, "steady", "--baseline", "nowhere")
    assert answer.exit_code == 2 and "nowhere/run.json" in answer.stderr


def test_a_commit_hook_lets_through_what_passes_and_stops_what_does_not(repository: Path) -> None:
    hook = repository / ".git" / "hooks" / "pre-commit"
    command = f'"{sys.executable}" -m recaudit gate candidate --policy recaudit.yaml --baseline baseline'
    hook.write_text(f"#!/bin/sh\nexec {command}\n")
    hook.chmod(0o755)
    try:
        for branch, stopped in (("steady", False), ("failing", True)):
            git(repository, "checkout", "-q", branch, check=True)
            answer = git(repository, "commit", "--allow-empty", "-m", "try")
            assert (answer.returncode != 0) == stopped, answer.stderr
            assert "verdict: " + ("fail" if stopped else "pass") in answer.stdout + answer.stderr
            assert (git(repository, "log", "-1", "--format=%s").stdout.strip() == "try") != stopped
    finally:
        hook.unlink()


def test_files_for_ci_say_what_the_gate_says(repository: Path) -> None:
    options = ["--sarif", "ci/r.sarif", "--junit", "ci/j.xml", "--codequality", "ci/q.json", "--out-comment", "ci/c.md"]
    answer = gate(repository, "worse", "--baseline", "baseline", *options)
    assert answer.exit_code == 1
    (only,) = json.loads(Path("ci/r.sarif").read_text())["runs"]
    (result,) = only["results"]
    assert only["invocations"][0]["exitCode"] == 1 and result["ruleId"] == "exposure.gini@20"
    assert result["baselineState"] == "updated"
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "recaudit.yaml"}, "region": {"startLine": 3}}
    assert "significantly worse than the baseline" in result["message"]["text"]
    root = ElementTree.fromstring(Path("ci/j.xml").read_text())
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    (entry,) = json.loads(Path("ci/q.json").read_text())
    assert entry["location"] == {"path": "recaudit.yaml", "lines": {"begin": 3}} and entry["severity"] == "critical"
    comment = Path("ci/c.md").read_text()
    assert comment.startswith(MARKER) and "Verdict: **fail**" in comment and "exposure.gini@20" in comment


def test_no_absolute_path_of_the_policy_is_told(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.yaml").write_text(RULES)
    git(repository, "checkout", "-q", "failing", check=True)
    for path in (repository / "recaudit.yaml", tmp_path / "outside.yaml"):
        CliRunner().invoke(app, ["gate", "candidate", "--policy", str(path), "--sarif", "r.sarif"])
        assert str(path.parent) not in Path("r.sarif").read_text() and path.name in Path("r.sarif").read_text()


def test_on_github_it_annotates_and_summarises_and_off_it_does_not(
    repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("of an earlier command\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    assert "::" not in gate(repository, "failing").output
    assert "::error" in gate(repository, "failing", "--annotations").output
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::" not in gate(repository, "failing", "--no-annotations").output
    summary.write_text("of an earlier command\n")
    output = gate(repository, "failing").output
    assert (
        f"::error file=recaudit.yaml,line=4,title={PUSH.replace('%', '%25')} fails::Gain of a pushed item: " in output
    )
    token = re.search(r"^::stop-commands::([0-9a-f]{32})$", output, re.MULTILINE)
    assert token and output.rstrip().endswith(f"::{token[1]}::") and token[1] not in gate(repository, "failing").output
    assert summary.read_text().startswith("of an earlier command\n" + MARKER)
    summary.write_bytes(b"x" * (1024 * 1024 - 10))
    assert "left out" in gate(repository, "failing").stderr and summary.stat().st_size == 1024 * 1024 - 10


def test_an_unfinished_run_is_no_success(repository: Path) -> None:
    git(repository, "checkout", "-q", "main", check=True)
    half = record(0.7, 0.0).model_copy(update={"status": "incomplete", "cells": [], "evidence": []})
    write(half, repository / "half")
    write(record(0.7, 0.0), repository / "whole")
    for arguments in (["gate", "half"], ["gate", "whole", "--baseline", "half"], ["gate", "half", "--exit-zero"]):
        assert CliRunner().invoke(app, arguments).exit_code == 3


def test_a_run_is_no_baseline_of_itself(repository: Path) -> None:
    answer = gate(repository, "failing", "--baseline", "candidate")
    assert answer.exit_code == 2 and "is the run itself" in answer.output


def test_what_the_policy_demands_and_the_run_has_not_cannot_pass(repository: Path) -> None:
    git(repository, "checkout", "-q", "steady", check=True)
    demand = "  - {select: 'takeover.*', bound: 0.1, reason: accounts are taken over}\n"
    Path("more.yaml").write_text(RULES.rstrip() + "\n" + demand)
    for more, code in (((), 0), (("--strict",), 4)):
        answer = CliRunner().invoke(app, ["gate", "candidate", "--policy", "more.yaml", *more])
        assert answer.exit_code == code and "verdict: inconclusive" in answer.output and "takeover.*" in answer.output
