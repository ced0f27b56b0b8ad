"""Membership inference on the page: what is read of the evidence, what is drawn, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun, Evidence
from recaudit.reports.html import page
from recaudit.reports.privacy_parts import ROWS, context, curves, inferences, told
from recaudit.reports.readings import Reading
from recaudit.reports.regulator import web

ROC = [[0.001, 0.01], [0.01, 0.08], [0.1, 0.4], [1.0, 1.0]]


def private(run: AuditRun, **details: Any) -> AuditRun:
    given = {"unit": "interactions", "access": "scores", "attack": "lira", "mitigation": None, "roc": ROC,
             "drivers": {"history": -0.2, "r2": 0.1}}  # fmt: skip
    head = {"check": "privacy", "worse": "higher", "n": 100, "unit": "share", "title": "How well members are told"}
    evidence = [
        Evidence(id="privacy.interactions.scores.lira.auc", measure="auc", estimate=0.731, standard_error=0.01,
                 baseline={"chance": 0.5}, details=given | details, **head),
        Evidence(id="privacy.interactions.scores.lira.tpr@1%", measure="tpr@1%", estimate=0.083, standard_error=0.01,
                 baseline={"chance": 0.01, "false alarms": 0.012}, **head),
        Evidence(id="privacy.interactions.epsilon", measure="epsilon", estimate=1.25, standard_error=0.0,
                 baseline={"ceiling": 4.5}, **head),
    ]  # fmt: skip
    return run.model_copy(update={"evidence": [*run.evidence, *evidence]})


def test_attacks_are_read_and_drawn(run: AuditRun) -> None:
    reading = Reading(private(run))
    (row,) = inferences(reading)
    assert (row.what, row.access, row.attack, row.auc, row.tpr, row.fpr) == (
        "interactions", "scores", "lira", 0.731, 0.083, 0.012
    )  # fmt: skip
    assert row.chance == 0.5 and row.low is None
    (bound,) = told(reading)
    assert bound.value == 1.25 and "ceiling 4.5" in bound.baselines
    assert "AUC 0.731" in curves(reading)
    content = page(private(run)).decode()
    assert "What the model tells about its users" in content and "8.3" in content and "history" in content
    assert "Members found against false alarms" in web.page(private(run)).decode()


@pytest.mark.parametrize(("rows", "cut"), [(120, False), (ROWS + 5, True)])
def test_rows_that_are_cut_are_counted(rows: int, cut: bool, run: AuditRun) -> None:
    """Every check at its widest gives 120 rows."""
    own = private(run)
    auc = next(found for found in own.evidence if found.id.endswith("lira.auc"))
    more = [
        auc.model_copy(update={"id": f"privacy.mitigation.m{place}.lira.{kind}", "measure": kind})
        for place in range(rows - 1)
        for kind in ("auc", "epsilon")
    ]
    content = page(own.model_copy(update={"evidence": [*own.evidence, *more]})).decode()
    assert len(inferences(Reading(own))) == 1
    assert content.count(f"{ROWS} of {rows} rows are listed here") == (2 if cut else 0)


def test_the_public_edition_names_no_attack_and_no_curve(run: AuditRun) -> None:
    public = web.page(private(run), "public").decode()
    assert "lira" not in public and "Members found against false alarms" not in public


def test_a_run_without_it_has_no_section(run: AuditRun) -> None:
    assert context(Reading(run))["privacy"] is None
    assert "What the model tells about its users" not in page(run).decode()


@pytest.mark.parametrize(
    "roc", [None, "x", [], [[0.1, 0.2]], [[0.1], [0.2]], [[0.0, 0.1], [1, 1]], [[0.1, 2.0], [1, 1]], [["a", 1], [1, 1]]]
)
def test_a_curve_that_is_none_is_not_drawn(roc: Any, run: AuditRun) -> None:
    told_of = private(run, roc=roc)
    assert curves(Reading(told_of)) == "" and "0.731" in page(told_of).decode()


def test_words_of_a_record_are_no_markup(run: AuditRun) -> None:
    content = page(private(run, access="<script>x</script>", attack="<i>y", unit="<b>z")).decode()
    assert "<script>x" not in content and "<i>y" not in content and "<b>z" not in content
