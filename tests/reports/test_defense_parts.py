"""The matrix of defences and attacks: read from evidence, drawn as a heat map, shown on the page."""

from __future__ import annotations

from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun, Evidence
from recaudit.reports import html
from recaudit.reports.defense_parts import CASES, ROWS, Best, heat_map, matrix, text_gains
from recaudit.reports.readings import Reading
from recaudit.reports.summary import answers


def evidence(name: str, measure: str, estimate: float | None, **fields: Any) -> Evidence:
    return Evidence(
        id=f"defense.{name}", check="defense", title=name, measure=measure, unit="u", worse="higher",
        estimate=estimate, n=3, missing=None if estimate is not None else "no cell", **fields,
    )  # fmt: skip


def left(defense: str, attack: str, value: float | None, undefended: float = 2.0) -> Evidence:
    details = {"defense": defense, "attack": attack, "size": "1%"}
    baseline = {"undefended": undefended}
    name = f"{defense}.{attack}.1%.log2_rank_shift"
    return evidence(name, "log2_rank_shift", value, details=details, baseline=baseline)


@pytest.fixture
def asked(run: AuditRun) -> AuditRun:
    """The example with a check on two defences and two attacks, one number of which is missing."""
    own = [
        left("t-ce", "popular", 0.5), left("t-ce", "pga", 1.5), left("<b>fap", "popular", 1.0),
        left("<b>fap", "pga", None),
        evidence("t-ce.utility.ndcg@20", "ndcg@20", -0.01, details={"defense": "t-ce"}),
        evidence("<b>fap.utility.ndcg@20", "ndcg@20", 0.0, details={"defense": "<b>fap"}),
        evidence("<b>fap.false_alarms", "false_alarms", 0.02, details={"defense": "<b>fap"}),
        evidence("<b>fap.exposure.gini", "gini", -0.1, details={"defense": "<b>fap"}, baseline={"undefended": 0.8}),
        *(evidence(f"t-ce.over-<i>none.{attack}.1%.taken", "text_gain", value,
                   details={"defense": "t-ce", "arm": "<i>none", "attack": attack, "size": "1%"})
          for attack, value in (("popular", 0.25), ("pga", -0.15))),
        evidence("<b>fap.popular.1%.detection.auc", "detector_auc", 0.75,
                 details={"defense": "<b>fap", "attack": "popular", "size": "1%"}),
        evidence("best.log2_rank_shift", "log2_rank_shift", 1.5,
                 details={"defense": "t-ce", "attack": "pga", "size": "1%"}),
    ]  # fmt: skip
    return run.model_copy(update={"evidence": [*run.evidence, *own]})


def test_rows_hold_what_is_left_price_and_accounts(asked: AuditRun) -> None:
    found = matrix(Reading(asked))
    assert found is not None and found.cases == ["popular 1%", "pga 1%"]
    assert found.best == Best("t-ce", "pga 1%", 1.5, -0.01, False) and (found.all_cases, found.all_rows) == (2, 3)
    none, fap, tce = found.rows  # least left in the worst case first, after none
    assert (none.name, list(none.left), none.price) == ("none", [2.0, 2.0], None)
    assert (fap.name, list(fap.left), fap.price, fap.alarms, fap.auc) == ("<b>fap", [1.0, None], 0.0, 0.02, 0.75)
    assert fap.gini == (0.8, pytest.approx(0.7)) and none.gini is None
    assert (tce.name, list(tce.left), tce.price, tce.auc) == ("t-ce", [0.5, 1.5], -0.01, None)


def test_what_texts_bring_is_said(asked: AuditRun) -> None:
    (gain,) = text_gains(Reading(asked))
    assert (gain.name, gain.arm, gain.mean, gain.least, gain.most) == ("t-ce", "<i>none", 0.05, -0.15, 0.25)
    page = html.page(asked).decode()
    assert "What the language model adds" in page and "<i>none" not in page


def test_a_report_says_that_no_defence_leaves_less(asked: AuditRun) -> None:
    nothing = [one.model_copy(update={"details": {**one.details, "defense": "none"}}) if ".best." in one.id else one
               for one in asked.evidence]  # fmt: skip
    page = html.page(asked.model_copy(update={"evidence": nothing})).decode()
    assert "No defence within the tolerated loss of utility leaves less" in page


def test_a_run_without_defences_has_no_such_section(run: AuditRun) -> None:
    assert matrix(Reading(run)) is None
    assert "What defences leave" not in html.page(run).decode()


def test_the_map_writes_every_number_and_marks_the_chosen(asked: AuditRun) -> None:
    found = matrix(Reading(asked))
    assert found is not None
    svg = heat_map(found)
    for number in ("0.50<", "1.50<", "1.00<", "2.00<"):
        assert number in svg
    assert "opacity: 0.62" in svg and "var(--c0)" in svg  # what is left in the worst case is the darkest
    bold = [part for part in svg.split("<text") if "font-weight: 700" in part or "bold" in part]
    assert len(bold) == 1 and ">t-ce<" in bold[0]
    assert "t-ce: at most 1.50 left" in svg


def test_the_page_shows_map_table_and_choice_and_escapes_names(asked: AuditRun) -> None:
    page = html.page(asked).decode()
    assert 'id="defense"' in page and 'href="#defense"' in page and "What defences leave" in page
    assert "<b>fap" not in page and "&lt;b&gt;fap" in page
    answer = next(one for one in answers(Reading(asked)) if one.question == "Does a defence help?")
    assert answer.state == "measured" and "1.50" in "".join(str(part) for parts in answer.sentences for part in parts)


def helped(run: AuditRun, low: float, high: float, **details: Any) -> tuple[str, str]:
    """State and lead of the answer where the bounds hold and t-ce takes so much of the worst attack."""
    evidence = [one.model_copy(update={"details": {**one.details, **details}}) if ".best." in one.id else one
                for one in run.evidence]  # fmt: skip
    judged = run.findings[0].model_copy(
        update={"id": "defense.t-ce.pga.1%.taken", "check": "defense", "measure": "taken", "estimate": 0.2,
                "interval": (low, high), "status": "pass", "severity": "info", "bound": -9.0}
    )  # fmt: skip
    kept = judged.model_copy(update={"id": "defense.best.log2_rank_shift", "bound": 9.0, "severity": "warning"})
    own = run.model_copy(update={"evidence": evidence, "findings": [judged, kept]})
    answer = next(one for one in answers(Reading(own)) if one.question == "Does a defence help?")
    return answer.state, answer.lead


def test_bounds_that_hold_do_not_mean_that_a_defence_helps(asked: AuditRun) -> None:
    assert helped(asked, 0.1, 0.4) == ("pass", "Yes, within the tolerated loss of utility.")
    assert helped(asked, -0.1, 0.4) == ("measured", "Not shown.")
    assert helped(asked, 0.1, 0.4, defense="none") == ("measured", "None of those tested.")
    assert helped(asked, 0.1, 0.4, attack_known=True) == ("measured", "Not shown.")


def test_chosen_and_worst_are_shown_however_many_there_are(run: AuditRun) -> None:
    names = [f"d{place:02}" for place in range(ROWS + 5)]
    own = [left(name, f"a{place:02}", place + 1.0) for name in names for place in range(CASES + 4)]
    own = [one.model_copy(update={"details": {**one.details, "attack_known": one.details["attack"] == "a00"}})
           for one in own]  # fmt: skip
    details = {"defense": names[-1], "attack": f"a{CASES + 3:02}", "size": "1%"}
    best = evidence("best.log2_rank_shift", "log2_rank_shift", CASES + 4.0, details=details)
    large = run.model_copy(update={"evidence": [*run.evidence, *own, best]})
    found = matrix(Reading(large))
    assert found is not None and (len(found.cases), len(found.rows)) == (CASES, ROWS + 1)
    assert found.cases[-1] == f"a{CASES + 3:02} 1%" and found.rows[-1].name == names[-1]
    page = html.page(large).decode()
    assert f"{ROWS + 1} of {ROWS + 6} defences are listed" in page and f"{CASES} of {CASES + 4} cases" in page
    assert f"leaves least in its worst case, a{CASES + 3:02} 1%" in page.replace("<bdi>", "").replace("</bdi>", "")
    assert "simulates to learn from" in page and "1.00*" in heat_map(found)


def test_the_table_shows_what_a_training_costs(asked: AuditRun) -> None:
    cells = [
        asked.cells[0].model_copy(update={"key": key, "defense_seconds": own, "costs": {"fit": fit}})
        for key, own, fit in (("a", None, 2.0), ("b", 7.0, 7.0), ("c", None, 4.0), ("d", 9.0, 9.0))
    ]
    evidence = [one.model_copy(update={"cells": ["a", "b", "c", "d"]}) if one.id.startswith("defense.t-ce.utility")
                else one for one in asked.evidence]  # fmt: skip
    found = matrix(Reading(asked.model_copy(update={"cells": [*asked.cells, *cells], "evidence": evidence})))
    assert found is not None
    assert {row.name: row.seconds for row in found.rows} == {"none": 3.0, "<b>fap": None, "t-ce": 8.0}
