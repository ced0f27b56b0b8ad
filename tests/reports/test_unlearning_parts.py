"""Methods and requests of the check on unlearning: read from evidence, drawn, shown on the page."""

from __future__ import annotations

from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun, CellResult, Evidence
from recaudit.reports import html
from recaudit.reports.readings import Reading
from recaudit.reports.summary import answers
from recaudit.reports.unlearning_parts import drawing, forgettings


def residual(name: str, rho: float | None, verdict: str, control: bool = False) -> Evidence:
    ends = None if rho is None else [rho - 0.1, rho + 0.1]
    details: dict[str, Any] = {
        "unlearner": name, "request": "users", "control": control, "verdict": verdict, "reason": "because",
        "margin": 0.3, "statistics": [{"name": "p", "rho": rho, "rho_interval": ends}], "limits": ["<i>not</i> all"],
    }  # fmt: skip
    return Evidence(
        id=f"unlearning.{name}.users.residual", check="unlearning", title="t", measure="residual", unit="u",
        worse="higher", estimate=None if rho is None else abs(rho), n=300, cells=[f"own-{name}", "r1", "r2"],
        details=details, missing=None if rho is not None else "inconclusive: no power",
    )  # fmt: skip


def cell(key: str, **costs: float) -> CellResult:
    return CellResult(key=key, kind="inquiry", label=key, params={}, seed=0, values={}, seconds=1.0, costs=costs)


@pytest.fixture
def asked(run: AuditRun) -> AuditRun:
    """The example with a check on two methods and a control, one of them without power."""
    utility = Evidence(
        id="unlearning.sisa.users.utility.ndcg@20", check="unlearning", title="t", measure="ndcg@20", unit="u",
        worse="lower", estimate=-0.02, n=300, standard_error=0.001, details={"unlearner": "sisa", "request": "users"},
    )  # fmt: skip
    best = residual("sisa", 0.1, "honoured").model_copy(
        update={"id": "unlearning.best.users.residual", "measure": "least_residual"}
    )
    own = [
        residual("do-nothing", 1.0, "not honoured", control=True), residual("<b>x", None, "inconclusive"),
        residual("sisa", 0.1, "honoured"), utility, best,
    ]  # fmt: skip
    cells = [cell("own-sisa", forget=2.0, prepare=9.0), cell("r1", fit=10.0), cell("r2", fit=30.0)]
    return run.model_copy(update={"evidence": [*run.evidence, *own], "cells": [*run.cells, *cells]})


def test_rows_hold_verdict_price_and_speed(asked: AuditRun) -> None:
    sisa, other, control = forgettings(Reading(asked))
    assert (sisa.method, sisa.verdict, sisa.rho, sisa.low, sisa.high) == ("sisa", "honoured", 0.1, 0.0, 0.2)
    assert (sisa.change, sisa.seconds, sisa.prepared, sisa.faster) == (-0.02, 2.0, 9.0, 10.0)
    assert (other.method, other.rho, other.faster) == ("<b>x", None, None)
    assert (control.method, control.control, control.faster) == ("do-nothing", True, None)


def test_the_page_shows_them_escaped(asked: AuditRun) -> None:
    page = html.page(asked).decode()
    assert "Deletion requests" in page
    assert "&lt;b&gt;x" in page
    assert "<b>x" not in page
    assert "&lt;i&gt;not&lt;/i&gt; all" in page
    assert "do-nothing, users: not honoured, rho 1.00" in drawing(forgettings(Reading(asked)))
    (answer,) = [own for own in answers(Reading(asked)) if own.section == "unlearning"]
    assert answer.state == "measured"


def test_a_run_without_it_has_no_such_section(run: AuditRun) -> None:
    assert forgettings(Reading(run)) == []
    assert "Deletion requests" not in html.page(run).decode()
