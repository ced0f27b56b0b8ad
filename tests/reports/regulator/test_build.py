"""The report for regulators: what every edition must say, and what the public one must not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from recaudit.audit.evidence import AuditRun, Skipped
from recaudit.audit.policy import load_policy
from recaudit.reports.regulator.build import document
from recaudit.reports.regulator.clauses import borne, maps, unknown
from recaudit.reports.regulator.document import (
    Blanks,
    Block,
    Bullets,
    Document,
    Figure,
    Paragraph,
    Section,
    Table,
    plain,
)
from recaudit.reports.regulator.edition import EDITIONS, OPEN
from recaudit.reports.regulator.threats import ALWAYS, THREATS

from ..example_run import ATTACKS, example_run

RUN = example_run()


def all_sections(found: Document) -> Iterator[Section]:
    for section in found.sections:
        yield section
        yield from section.parts


def texts(block: Block) -> list[str]:
    match block:
        case Paragraph(text):
            return [plain(text)]
        case Bullets(lines):
            return [plain(line) for line in lines]
        case Table():
            return [block.caption, *block.head, *(plain(cell) for row in block.rows for cell in row)]
        case Figure(svg, alt, caption):
            return [svg, alt, plain(caption)]
        case Blanks(labels):
            return list(labels)


def whole(found: Document) -> str:
    parts = [plain(found.title), found.left_out or "", *(plain(value) for _, value in found.facts)]
    for section in all_sections(found):
        parts += [section.title, *(text for block in section.blocks for text in texts(block))]
    return "\n".join(parts)


def table(found: Document, caption: str) -> Table:
    tables = [block for section in all_sections(found) for block in section.blocks if isinstance(block, Table)]
    (one,) = [entry for entry in tables if entry.caption == caption]
    return one


@pytest.mark.parametrize("audience", EDITIONS)
def test_tables_are_whole_and_anchors_differ(audience: str) -> None:
    found = document(RUN, audience)
    anchors = [section.anchor for section in all_sections(found)]
    assert len(set(anchors)) == len(anchors)
    for section in all_sections(found):
        assert section.title
        for block in section.blocks:
            if isinstance(block, Table):
                assert len(block.head) == len(block.widths) and abs(sum(block.widths) - 1) < 1e-9
                assert all(len(row) == len(block.head) for row in block.rows), block.caption
            if isinstance(block, Figure):
                assert block.alt and "<svg" in block.svg


def test_what_was_not_tested_stands_beside_what_was() -> None:
    rows = {plain(row[0]): plain(row[1]) for row in table(document(RUN), "What was tested and what was not").rows}
    tested = {evidence.check for evidence in RUN.evidence if evidence.estimate is not None}
    for check in ALWAYS:
        assert rows[THREATS[check].area] == ("tested" if check in tested else "NOT TESTED"), check
    assert rows["genre-exposure"] == "NOT TESTED"
    assert "COULD NOT FINISH" in rows.values()


def test_a_check_that_asked_in_vain_says_why() -> None:
    run = RUN.model_copy(update={"skipped": [*RUN.skipped, Skipped(check="unlearning", reason="no users to forget")]})
    rows = {plain(row[0]): plain(row[2]) for row in table(document(run), "What was tested and what was not").rows}
    assert rows[THREATS["unlearning"].area] == "no users to forget"


def test_every_number_stands_in_the_annex_with_its_cells() -> None:
    rows = table(document(RUN), "Numbers with the cells they come from").rows
    assert [plain(row[0]) for row in rows] == [evidence.id for evidence in RUN.evidence]
    for row, evidence in zip(rows, RUN.evidence, strict=True):
        assert all(key[:12] in plain(row[3]) for key in evidence.cells[:4])


def test_the_public_edition_names_nothing_that_helps_to_manipulate() -> None:
    said = whole(document(RUN, "public"))
    items = {unit.cluster for evidence in RUN.evidence for unit in evidence.units}
    assert items and not any(item in said for item in items)
    labels = [cell.label for cell in RUN.cells if cell.kind == "refit"]
    assert labels and not any(label in said for label in labels)
    rows = [f for f in RUN.findings if f.check not in OPEN and f.id != f.check]
    assert rows and not any(finding.id in said or finding.title in said for finding in rows)
    assert "Public edition. Left out" in said and EDITIONS["regulator"].left_out is None
    full = whole(document(RUN))
    assert all(finding.id in full for finding in rows)


def test_the_public_edition_names_no_attack_in_findings() -> None:
    found = document(RUN, "public")
    sections = [s for s in all_sections(found) if s.anchor.startswith(("findings", "residual", "annex", "scope"))]
    blocks = [block for section in sections for block in section.blocks if not isinstance(block, Figure)]
    said = "\n".join(text for block in blocks for text in texts(block))
    assert not [name for name in ATTACKS if name in said]


def test_no_legal_conclusion_is_drawn() -> None:
    said = whole(document(RUN)).lower()
    for word in ("compliant", "complies", "conforms", "is lawful", "violates", "in breach"):
        assert word not in said


def test_clauses_are_known_and_say_what_they_do_not_show() -> None:
    ids = [clause.id for found in maps() for clause in found.clauses]
    assert len(set(ids)) == len(ids)
    for found in maps():
        assert found.source.startswith("https://") and found.version >= 1
        for clause in found.clauses:
            assert clause.supports and clause.cannot
            assert set(clause.checks) <= set(THREATS), clause.id


@pytest.mark.parametrize("preset", ["quick", "standard", "thorough"])
def test_presets_name_known_clauses(preset: str) -> None:
    named = [clause for rule in load_policy(None, preset).rules for clause in rule.clauses]
    finding = RUN.findings[0].model_copy(update={"clauses": named})
    assert named and unknown(RUN.model_copy(update={"findings": [finding]})) == []


def test_a_clause_gathers_findings_by_check_and_by_name() -> None:
    named = RUN.findings[0].model_copy(update={"check": "own", "clauses": ["GDPR 17", "House rule 7"]})
    run: AuditRun = RUN.model_copy(update={"findings": [*RUN.findings, named]})
    (gdpr,) = [found for found in maps() if found.name == "GDPR"]
    by_id = {entry.clause.id: entry.findings for entry in borne(run, gdpr)}
    assert by_id["GDPR 17"] == (named,)
    assert {finding.check for finding in by_id["GDPR 5(1)(d)"]} <= {"quality", "promotion", "demotion"}
    assert "House rule 7" in unknown(run) and "GDPR 17" not in unknown(run)
    assert "House rule 7" in whole(document(run))
