"""`recaudit gate`: judge a finished run again, alone or against a baseline, and tell CI systems. No model, no torch."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..audit.evidence import AuditRun, Finding
    from ..audit.policy import Policy


def gate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")],
    policy: opt.PolicyFile = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of an earlier run: fail only where this one is significantly worse."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="With --baseline: worsening to tolerate, in the measure's own unit.")
    ] = 0.0,
    any_data: Annotated[
        bool, typer.Option("--any-data", help="With --baseline: even one on other data or of other settings.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="An inconclusive verdict exits with 4, whatever the policy says.")
    ] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Report only: a failed gate also exits 0.")] = False,
    sarif: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write SARIF 2.1.0 of what fails, to be uploaded.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML of this judgement.")] = None,
    codequality: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write GitLab's code quality report.")
    ] = None,
    out_comment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Markdown for a comment on a pull request.")
    ] = None,
    annotations: Annotated[
        bool | None,
        typer.Option(
            "--annotations/--no-annotations",
            help="Print GitHub's annotations and append to $GITHUB_STEP_SUMMARY; on where GITHUB_ACTIONS=true.",
        ),
    ] = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Judge the evidence of a finished run again, under its own policy or another one's bounds and waivers.

    With a baseline, findings that failed before and did not get significantly worse do not fail the gate (docs/ci.md).

    Examples:
    `recaudit gate recaudit-out --policy stricter.yaml`

    `recaudit gate recaudit-out --baseline models/released/audit --sarif recaudit.sarif`
    """
    from ..audit.files import write_whole
    from ..audit.policy import Policy, load_policy
    from ..audit.policy_file import read_policy_text
    from ..reports import junit as cases
    from ..reports import markdown
    from ..reports.ci import gitlab, places
    from ..reports.ci import sarif as results
    from .records import read_run
    from .run import show

    record = _finished(read_run(folder), folder)
    rules = Policy.model_validate(record.policy) if policy is None else load_policy(policy, "standard")
    if strict:
        rules = rules.model_copy(update={"strict": True})
    today = datetime.now(UTC).date()
    lines: list[str] = []
    states: dict[str, str] = {}
    if baseline is None:
        record = _alone(record, rules, today, policy is not None)
    else:
        record, lines, states = _against(record, folder, baseline, rules, today, margin, any_data)
    uri = places.POLICY if policy is None else _relative(policy)
    words = None if policy is None else read_policy_text(policy)
    contents: list[tuple[Path | None, Callable[[], bytes]]] = [
        (sarif, lambda: results.document(record, uri, words, only_failing=True, before=states)),
        (junit, lambda: cases.document(record)),
        (codequality, lambda: gitlab.codequality(record, uri, words)),
        (out_comment, lambda: markdown.document(record)),
    ]
    for path, rendered in [(path, render()) for path, render in contents if path is not None]:
        write_whole(path, rendered)
    on_github = os.environ.get("GITHUB_ACTIONS") == "true" if annotations is None else annotations
    if on_github:
        _tell_github(record, uri, words)
    with _no_commands(on_github):
        for line in [] if quiet else lines:
            typer.echo(line)
        show(record, folder, quiet)
    raise typer.Exit(0 if exit_zero and record.exit_code in (1, 4) else record.exit_code)


def _with_demanded(record: AuditRun, rules: Policy, findings: list[Finding]) -> list[Finding]:
    """The findings, and an inconclusive one for every rule of severity error whose evidence the run does not have.

    A run leaves out what its policy switches off; a gate that demands it cannot let it pass unseen.
    """
    from fnmatch import fnmatchcase

    from ..audit.evidence import Finding

    left_out = {entry.check for entry in record.skipped}
    off = {name for name, settings in rules.checks.items() if settings.get("enabled") is False}
    lacking = [
        rule for rule in rules.rules
        if rule.severity == "error" and rule.select.split(".")[0] not in left_out | off
        and not any(fnmatchcase(evidence.id, rule.select) for evidence in record.evidence)
    ]  # fmt: skip
    names = {rule.select for rule in lacking}
    return [finding for finding in findings if finding.id not in names] + [
        Finding(
            id=rule.select, check=rule.select.split(".")[0], title="Demanded and not measured", status="inconclusive",
            severity="error", measure="", unit="", estimate=None, interval=None, confidence=0.0, bound=rule.bound,
            direction="higher", n=0, reason="the policy of the gate demands it, and this run did not measure it",
            bound_reason=rule.reason, remedy="run the audit with this policy, or drop the rule",
        )
        for rule in lacking
    ]  # fmt: skip


def _finished(record: AuditRun, folder: Path) -> AuditRun:
    from ..datasets.errors import UnfinishedError

    if record.status == "incomplete" and not record.cells:
        raise UnfinishedError(f"{folder}: the audit has not finished; give its `recaudit run` command again")
    return record


def _alone(record: AuditRun, rules: Policy, today: date, demands: bool) -> AuditRun:
    from ..audit.verdict import conclude, judge

    findings = judge(record.evidence, record.skipped, record.failures, rules, today)
    findings = _with_demanded(record, rules, findings) if demands else findings
    verdict, code = conclude(findings, rules, not record.failures, record.target.verified is False)
    return _judged(record, rules, {"findings": findings, "verdict": verdict, "exit_code": code})


def _against(
    record: AuditRun, folder: Path, baseline: Path, rules: Policy, today: date, margin: float, any_data: bool
) -> tuple[AuditRun, list[str], dict[str, str]]:
    """The record as it stands against the baseline, a line for every finding that gates, and SARIF's word for each."""
    from ..audit.regressions import regressions
    from ..datasets.errors import InputError
    from ..fairness.compare import exposure_errors
    from ..reports import text
    from .records import read_run

    if folder.resolve() == baseline.resolve():
        raise InputError(f"--baseline {baseline}: is the run itself, against which nothing can be worse")
    earlier = _finished(read_run(baseline), baseline)
    errors = exposure_errors((earlier, baseline), (record, folder))
    found = regressions(earlier, record, rules, today, errors, margin=margin, any_data=any_data)
    lines = [
        f"{row.outcome:>9}  {text.undirected(text.cut(row.finding.id))}  {row.reason}"
        for row in found.held
        if row.outcome != "held"
    ]
    same = sum(row.outcome == "held" for row in found.held)
    lines.append(
        f"against {baseline}: {len(found.held)} findings gate, {same} of them are not shown to be worse or better"
    )
    update = {"findings": found.findings, "verdict": found.verdict, "exit_code": found.exit_code}
    words = {"new": "new", "regressed": "updated", "broke": "updated"}
    states = {row.finding.id: words.get(row.outcome, "unchanged") for row in found.held}
    return _judged(record, rules, update), lines, states


def _judged(record: AuditRun, rules: Policy, update: Mapping[str, object]) -> AuditRun:
    """The record judged by these rules; what was measured, and so the policy's other fields, stays what it was."""
    from ..audit.policy import Policy

    asked = rules.model_dump(mode="json", include={"rules", "waivers", "waiver_days", "strict", "confidence"})
    policy = record.policy | asked
    digest = Policy.model_validate(policy).digest
    return record.model_copy(update={"policy": policy, "policy_digest": digest} | dict(update))


def _relative(path: Path) -> str:
    """A path from the working folder, where CI jobs stand at the repository's root; no absolute path is told."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name


def _tell_github(record: AuditRun, uri: str, words: str | None) -> None:
    from ..reports.ci import github

    typer.echo(github.annotations(record, uri, words), nl=False)
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    path, told = Path(target), github.summary(record)
    so_far = path.stat().st_size if path.exists() else 0
    if so_far + len(told) > github.SUMMARY:  # one byte more, and GitHub would show nothing of what others wrote
        typer.echo("the step's summary is full; recaudit's was left out", err=True)
        return
    with path.open("ab") as file:
        file.write(told)


@contextmanager
def _no_commands(on_github: bool) -> Iterator[None]:
    """Between these lines the runner obeys nothing: ids of findings may come from data."""
    if not on_github:
        yield
        return
    token = secrets.token_hex(16)
    typer.echo(f"::stop-commands::{token}")
    try:
        yield
    finally:
        typer.echo(f"::{token}::")
