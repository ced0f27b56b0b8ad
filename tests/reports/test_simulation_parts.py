"""Rounds of retraining on the page: what is read of the evidence, what is drawn, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun, Evidence
from recaudit.reports.html import page
from recaudit.reports.readings import Reading
from recaudit.reports.regulator import web
from recaudit.reports.simulation_parts import loops, panels


def simulated(run: AuditRun, **details: Any) -> AuditRun:
    share = {"clean": [0.01, 0.012, 0.011], "poisoned": [0.02, 0.03, 0.015]}
    given = {
        "attack": "popular", "size": "1%", "stratum": "head", "moment": "final", "round": 2, "stable": False,
        "by_round": {"share": share},
    }  # fmt: skip
    evidence = Evidence(
        id="simulate.popular.1%.head.target_share.final", check="simulate", title="Gain", measure="target_share",
        unit="share", worse="higher", estimate=0.018, n=3, details=given | details,
    )  # fmt: skip
    return run.model_copy(update={"evidence": [*run.evidence, evidence]})


def test_the_rounds_are_read_and_drawn(run: AuditRun) -> None:
    told = simulated(run)
    (loop,) = loops(Reading(told))
    assert loop.name == "popular 1%, head" and loop.rounds == 2 and loop.stable is False
    (panel,) = panels([loop])
    assert "removed" in panel.svg and "1.2" in panel.svg and "round 2" in panel.svg
    content = page(told).decode()
    assert "Rounds of retraining on clicks" in content and "NOT the same" in content
    assert "by round of retraining" in web.page(told).decode()
    assert "by round of retraining" not in web.page(told, "public").decode()


def test_without_a_removal_no_line_is_drawn(run: AuditRun) -> None:
    (loop,) = loops(Reading(simulated(run, round=3)))
    assert "removed" not in panels([loop])[0].svg


@pytest.mark.parametrize(
    "details",
    [{"by_round": None}, {"by_round": {"share": {"clean": [0.1], "poisoned": []}}}, {"round": "two"},
     {"by_round": {"share": {"clean": [0.1, None], "poisoned": [0.1, 0.2]}}}, {"by_round": {"share": [1, 2]}}],
)  # fmt: skip
def test_what_does_not_fit_is_left_out(details: dict[str, Any], run: AuditRun) -> None:
    assert loops(Reading(simulated(run, **details))) == []
    assert "Rounds of retraining on clicks" not in page(simulated(run, **details)).decode()
