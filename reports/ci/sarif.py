"""The findings as SARIF 2.1.0 (OASIS standard with errata 01), as code scanning services and editors read it.

A rule a family of findings, a result a finding. Kinds (section 3.27.9): fail; open for inconclusive; pass;
notApplicable for what was not run; informational for a number that no rule bounds. Only a fail has a level.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ... import __version__
from ...audit.evidence import AuditRun, Failure, Finding
from .. import markdown, text
from ..readings import ORDER, State, state
from .places import POLICY, Lines, fingerprints, told, uri

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"error": "error", "warning": "warning", "info": "note"}
KINDS: dict[State, str] = {
    "fail": "fail",
    "waived": "fail",
    "inconclusive": "open",
    "pass": "pass",
    "measured": "informational",
    "not_run": "notApplicable",
}
MOST = 25_000
"""Results that GitHub takes in one run; it refuses a file with more."""
MOST_NOTES = 1000
"""Failed cells that are listed; the rest are counted."""
NAME = 160


def document(
    run: AuditRun,
    policy_uri: str = POLICY,
    policy_text: str | None = None,
    *,
    only_failing: bool = False,
    before: Mapping[str, str] | None = None,
) -> bytes:
    """`recaudit.sarif`: the same run gives the same bytes.

    A waived finding is a fail with an accepted suppression. Failed cells are notifications of the tool.

    Args:
        run: the record.
        policy_uri: path of the policy file from the repository's root; results point at it.
        policy_text: its text, to find the lines of its rules; line 1 if not given.
        only_failing: only findings that fail and are not waived, for services that make an alert of every result.
        before: by finding id, its state against a baseline (3.27.24): "new", "unchanged" or "updated".
    """
    pairs = list(zip(run.findings, fingerprints(run, run.findings), strict=True))
    if only_failing:
        pairs = [pair for pair in pairs if pair[0].status == "fail"]
    if len(pairs) > MOST:
        pairs = sorted(pairs, key=lambda pair: ORDER.index(state(pair[0])))[:MOST]
    lines, path = Lines(policy_text), uri(policy_uri)
    rules: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    results = []
    for finding, fingerprint in pairs:
        family = _family(finding)
        if family not in rules:
            rules[family], numbers[family] = _rule(family, finding), len(numbers)
        place = {
            "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": lines.of(finding)}},
            "logicalLocations": [{"fullyQualifiedName": _logical(run, finding), "kind": "resource"}],
        }
        result = {"ruleId": family, "ruleIndex": numbers[family], **_judged(finding), "locations": [place]}
        if before and finding.id in before:
            result["baselineState"] = before[finding.id]
        results.append(result | {"partialFingerprints": {"recauditFinding/v1": fingerprint}})
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "recaudit", "semanticVersion": __version__, "rules": list(rules.values())}},
                "automationDetails": {"id": f"recaudit/{_slug(run.target.name)}/"},
                "invocations": [_invocation(run)],
                "results": results,
                "properties": _facts(run),
            }
        ],
    }
    return (json.dumps(log, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def plain(value: str, limit: int = NAME) -> str:
    """Text from data for a message: braces doubled (3.11.5), and nothing in it is an embedded link (3.11.6)."""
    line = text.undirected(text.cut(value, limit))
    return line.replace("{", "{{").replace("}", "}}").replace("](", "]\u200b(")


def _family(finding: Finding) -> str:
    """Check and subject, the first two parts of an id: sizes, strata and measures do not make a rule of their own."""
    return text.undirected(text.cut(".".join(finding.id.split(".")[:2]), NAME)) or "unnamed"


def _rule(family: str, finding: Finding) -> dict[str, Any]:
    title, why = plain(finding.title), plain(finding.bound_reason or finding.reason, 600)
    help_text = {"text": why or title, "markdown": markdown.escape(finding.bound_reason or finding.reason, 600)}
    if finding.clauses:
        clauses = ", ".join(finding.clauses)
        help_text["text"] += f" Clauses: {plain(clauses, 300)}"
        help_text["markdown"] += f"<br>Clauses: {markdown.escape(clauses, 300)}"
    return {
        "id": family,
        "shortDescription": {"text": title or family},
        "help": help_text,
        "defaultConfiguration": {"level": LEVELS[finding.severity]},
        "properties": {"tags": [text.undirected(text.cut(finding.check, 60)) or "recaudit"], "precision": "high"},
    }


def _judged(finding: Finding) -> dict[str, Any]:
    """Kind, level, message, numbers and, of a waived one, the suppression."""
    kind = KINDS[state(finding)]
    numbers = {
        "severity": finding.severity,
        "estimate": finding.estimate,
        "interval": None if finding.interval is None else list(finding.interval),
        "confidence": finding.confidence,
        "bound": finding.bound,
        "worse": finding.direction,
        "n": finding.n,
    }
    judged: dict[str, Any] = {
        "kind": kind,
        "level": LEVELS[finding.severity] if kind == "fail" else "none",
        "message": {"text": plain(told(finding), 800) or "no reason was given"},
        "properties": {name: value for name, value in numbers.items() if value is not None},
    }
    if finding.status == "waived":
        reason = {"kind": "external", "status": "accepted", "justification": plain(finding.reason, 600)}
        judged["suppressions"] = [reason]
    return judged


def _logical(run: AuditRun, finding: Finding) -> str:
    return text.undirected(f"{text.cut(run.target.name, 80)}/{text.cut(finding.id, NAME)}")


def _invocation(run: AuditRun) -> dict[str, Any]:
    told_of = [_notification(failure) for failure in run.failures[:MOST_NOTES]]
    left = len(run.failures) - len(told_of)
    if left:
        told_of.append({"level": "error", "message": {"text": f"{left:,} more cells ended in an error"}})
    invocation: dict[str, Any] = {
        "executionSuccessful": run.status == "complete" and not run.failures,
        "exitCode": run.exit_code,
        "toolExecutionNotifications": told_of,
    }
    try:
        started = datetime.fromisoformat(run.started)
    except ValueError:
        return invocation
    if started.tzinfo is not None and started.year > 1:
        invocation["startTimeUtc"] = f"{started.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"
    return invocation


def _notification(failure: Failure) -> dict[str, Any]:
    words = f"{text.cut(failure.label, 200)} could not finish: {text.cut(failure.error, 400)}"
    return {"level": "error", "message": {"text": plain(words, 700)}}


def _facts(run: AuditRun) -> dict[str, Any]:
    return {
        "verdict": run.verdict,
        "status": run.status,
        "target": text.undirected(text.cut(run.target.name)),
        "modelFingerprint": text.cut(run.target.model_fingerprint),
        "dataFingerprint": text.cut(run.target.data_fingerprint),
        "policyDigest": text.cut(run.policy_digest),
        "evidenceDigest": text.cut(run.evidence_digest),
        "findings": len(run.findings),
    }


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name[:200]).strip("-.")[:80] or "model"
