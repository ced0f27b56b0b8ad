"""For GitLab's merge requests: findings as a code quality report (artifacts:reports:codequality)."""

from __future__ import annotations

import json
from typing import Any

from ...audit.evidence import AuditRun
from .. import text
from ..readings import Reading
from .places import POLICY, Lines, cell_fingerprint, fingerprints, told, uri

SEVERITIES = {"error": "critical", "warning": "minor", "info": "info"}
MOST = 5000
"""Entries: merge requests show a part of them, and the file stays far below GitLab's limits."""


def codequality(run: AuditRun, policy_uri: str = POLICY, policy_text: str | None = None) -> bytes:
    """`codequality.json`: what fails, what is open although the gate asks for it, and cells that could not finish.

    GitLab shows what a merge request adds and removes by the fingerprints, and of equal ones a single entry: they are
    stable over retrains and told apart within a run.

    Args:
        run: the record.
        policy_uri: path of the policy file from the repository's root.
        policy_text: its text, to find the lines of its rules.
    """
    lines, path = Lines(policy_text), uri(policy_uri)
    findings = Reading(run).findings
    entries = []
    for finding, fingerprint in zip(findings, fingerprints(run, findings), strict=True):
        if finding.status == "fail":
            severity = SEVERITIES[finding.severity]
        elif finding.status == "inconclusive" and finding.severity == "error":
            severity = "major" if run.policy.get("strict") is True else "minor"
        else:
            continue
        name = text.undirected(text.cut(finding.id, 160)) or "unnamed"
        entries.append(_entry(told(finding), name, fingerprint, severity, path, lines.of(finding)))
    seen: dict[str, int] = {}
    for failure in run.failures:
        seen[failure.label] = seen.get(failure.label, 0) + 1
        message = f"{text.cut(failure.label, 200)} could not finish: {text.cut(failure.error, 400)}"
        mark = cell_fingerprint(run, failure.label, seen[failure.label])
        entries.append(_entry(text.undirected(message), "cells", mark, "major", path, 1))
    return (json.dumps(entries[:MOST], ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace")


def _entry(description: str, check: str, fingerprint: str, severity: str, path: str, line: int) -> dict[str, Any]:
    return {
        "description": description or "no reason was given",
        "check_name": f"recaudit.{check}",
        "fingerprint": fingerprint,
        "severity": severity,
        "location": {"path": path, "lines": {"begin": line}},
    }
