from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports.junit import document

from .hostile import MARK, TEXTS, poisoned


def outcomes(run: AuditRun) -> Counter[str]:
    root = ElementTree.fromstring(document(run))
    return Counter(case[0].tag if len(case) else "passed" for case in root.iter("testcase"))


def test_golden(run: AuditRun, golden: Callable[[str, bytes], None]) -> None:
    golden("junit.xml", document(run))


def test_outcomes_and_totals(run: AuditRun) -> None:
    found, statuses = outcomes(run), Counter(finding.status for finding in run.findings)
    assert found["failure"] == statuses["fail"] and found["passed"] == statuses["pass"]
    assert found["skipped"] == statuses["inconclusive"] + statuses["waived"] + statuses["not_run"]
    assert found["error"] == len(run.failures)
    root = ElementTree.fromstring(document(run))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert int(root.get(name, "")) == found[tag] == sum(int(suite.get(name, "")) for suite in root)
    assert int(root.get("tests", "")) == len(run.findings) + len(run.failures)


def test_inconclusive_fails_under_a_strict_policy(run: AuditRun) -> None:
    strict = run.model_copy(update={"policy": run.policy | {"strict": True}})
    statuses = Counter(finding.status for finding in run.findings)
    assert outcomes(strict)["failure"] == statuses["fail"] + statuses["inconclusive"]


def test_a_warning_never_fails_the_gate(run: AuditRun) -> None:
    warned = [f.model_copy(update={"severity": "warning"}) for f in run.findings]
    content = document(run.model_copy(update={"findings": warned}))
    assert outcomes(run.model_copy(update={"findings": warned}))["failure"] == 0
    assert b"severity warning never fails the gate" in content


def test_text_says_what_the_message_says(run: AuditRun) -> None:
    for case in ElementTree.fromstring(document(run)).iter("testcase"):
        for told in case:
            assert told.get("message") and (told.text or "").startswith(told.get("message", "") + "\n")


def test_names_are_unique_in_a_suite(run: AuditRun) -> None:
    twice = run.model_copy(update={"findings": [*run.findings, *run.findings]})
    for suite in ElementTree.fromstring(document(twice)):
        names = [case.get("name") for case in suite]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_any_text_gives_xml(run: AuditRun, text: str) -> None:
    content = document(poisoned(run, text, frozenset()))
    root = ElementTree.fromstring(content)
    assert {element.tag for element in root.iter()} <= {
        "testsuites", "testsuite", "testcase", "failure", "skipped", "error",
    }  # fmt: skip
    assert MARK in content.decode() and len(content) < 1_000_000
