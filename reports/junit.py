"""The findings as JUnit XML: a suite a check, a case a finding, as CI systems show them.

Some read only the element's text, others only the message: both say the same.
"""

from __future__ import annotations

from collections import defaultdict
from xml.etree import ElementTree

from ..audit.evidence import AuditRun, Finding
from . import text

DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'
NAME, BODY = 300, 2000
"""Characters of a case's name and of its text: GitLab takes at most 30 MB a file."""


def document(run: AuditRun) -> bytes:
    """`junit.xml`: the same run gives the same bytes.

    failure: a bound that the policy treats as an error is broken, or inconclusive under a strict policy.
    skipped: inconclusive, waived, not run, or a bound that only warns; with the reason. error: a cell that failed.
    """
    strict = run.policy.get("strict") is True
    seconds = {cell.key: cell.seconds for cell in run.cells}
    by_check: dict[str, list[Finding]] = defaultdict(list)
    for finding in run.findings:
        by_check[finding.check].append(finding)
    root = ElementTree.Element("testsuites", name="recaudit", time=f"{run.seconds:.3f}")
    for check, findings in by_check.items():
        suite = _suite(root, check, run)
        names: set[str] = set()
        for finding in findings:
            case = _case(suite, check, finding.id, sum(seconds.get(key, 0.0) for key in finding.cells), names)
            _outcome(case, finding, strict)
        # cells shared by findings count once in the suite
        keys = {key for finding in findings for key in finding.cells}
        _totals(suite, sum(seconds.get(key, 0.0) for key in sorted(keys)))
    if run.failures:
        suite, names = _suite(root, "cells", run), set()
        for failure in run.failures:
            case = _case(suite, "cells", failure.label, 0.0, names)
            _told(case, "error", "could not finish", failure.error, f"{failure.error}\ncell {failure.cell}")
        _totals(suite, 0.0)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ElementTree.indent(root)
    return (DECLARATION + ElementTree.tostring(root, encoding="unicode") + "\n").encode()


def _suite(root: ElementTree.Element, check: str, run: AuditRun) -> ElementTree.Element:
    return ElementTree.SubElement(
        root, "testsuite", name=text.cut(check, NAME), timestamp=text.cut(run.started, 40).removesuffix("+00:00")
    )


def _case(suite: ElementTree.Element, check: str, name: str, seconds: float, taken: set[str]) -> ElementTree.Element:
    """A case with a name that no other of its suite bears: of equal names some readers keep one only."""
    wanted = unique = text.cut(name, NAME) or "unnamed"
    again = 1
    while unique in taken:
        again += 1
        unique = f"{wanted} #{again}"
    taken.add(unique)
    return ElementTree.SubElement(
        suite, "testcase", classname=f"recaudit.{text.cut(check, NAME)}", name=unique, time=f"{seconds:.3f}"
    )


def _outcome(case: ElementTree.Element, finding: Finding, strict: bool) -> None:
    status, gating = finding.status, finding.severity == "error"
    if status == "pass":
        return
    message = text.cut(f"{finding.title}: {finding.reason}", NAME * 2)
    if status == "fail" and gating:
        _told(case, "failure", "bound broken", message, _body(finding))
    elif status == "inconclusive" and gating and strict:
        _told(case, "failure", "inconclusive under a strict policy", message, _body(finding))
    elif status == "fail":
        message = text.cut(f"bound broken, severity {finding.severity} never fails the gate: {message}", NAME * 2)
        _told(case, "skipped", finding.severity, message, _body(finding))
    else:
        kind = status.replace("_", " ")
        _told(case, "skipped", kind, text.cut(f"{kind}: {message}", NAME * 2), _body(finding))


def _told(case: ElementTree.Element, tag: str, kind: str, message: str, body: str) -> None:
    message = text.cut(message, NAME * 2)
    element = ElementTree.SubElement(case, tag, type=kind, message=message)
    element.text = text.clean(f"{message}\n{body}")[:BODY]


def _body(finding: Finding) -> str:
    low, high = finding.interval or (None, None)
    places = text.decimals(finding.estimate, low, high, finding.bound)
    lines = []
    if finding.estimate is not None:
        line = f"estimate {text.number(finding.estimate, places)}"
        if low is not None:
            confidence = text.percent(finding.confidence)
            line += f", {confidence} interval {text.number(low, places)} to {text.number(high, places)}"
        lines.append(line)
    if finding.bound is not None:
        side = "at most" if finding.direction == "higher" else "at least"
        why = f" ({text.cut(finding.bound_reason)})" if finding.bound_reason else ""
        lines.append(f"bound: {side} {text.number(finding.bound, places)}{why}")
    lines.append(f"n {finding.n}, unit: {text.cut(finding.unit)}")
    if finding.mde is not None:
        lines.append(f"smallest visible effect {text.number(finding.mde, places)}")
    if finding.remedy:
        lines.append(f"what next: {text.cut(finding.remedy)}")
    return "\n".join(lines)


def _totals(suite: ElementTree.Element, seconds: float) -> None:
    suite.set("tests", str(len(suite)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(sum(case.find(tag) is not None for case in suite)))
    suite.set("time", f"{seconds:.3f}")
