"""The PDF: its standards as far as they can be read back, its attachment, and names that no font can set."""

from __future__ import annotations

import io

import pikepdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recaudit.audit.evidence import AuditRun
from recaudit.reports.regulator.pdf import REPLACED, _shown, pdf

from ..example_run import example_run

RUN = example_run(attacks=("random", "bandwagon"), sizes=("1%",))
HOSTILE = (
    '#panic() *b* _i_ $x$ @ref <label> `raw` // /* \\ [x] #import "a"',
    "雨の日 🎬 ไทย हिन्दी \U0001f469\u200d\U0001f680 \ufffe",
    "\x00\x1b[2J\u202eevil\u2066 name\u2028second\u2029third",
    "x" * 10_000,
    "e\u0301" * 3_000,
    "",
    " ",
)


def named(name: str) -> AuditRun:
    """The run with this name wherever a name comes from outside."""
    target = RUN.target.model_copy(update={"name": name, "family": name, "split": name})
    findings = [found.model_copy(update={"title": name, "reason": name, "remedy": name}) for found in RUN.findings[:3]]
    cells = [cell.model_copy(update={"label": name}) for cell in RUN.cells[:3]]
    titles = {item: name for item in RUN.titles}
    return RUN.model_copy(update={"target": target, "findings": findings, "cells": cells, "titles": titles})


def test_the_standards_it_claims_can_be_read_back() -> None:
    content = pdf(RUN)
    assert content == pdf(RUN)
    with pikepdf.open(io.BytesIO(content)) as file, file.open_metadata() as meta:
        assert (meta["pdfaid:part"], meta["pdfaid:conformance"], meta["pdfuaid:part"]) == ("3", "A", "1")
        assert file.Root.MarkInfo.Marked and str(file.Root.Lang) == "en"
        assert str(meta["dc:title"]).startswith("Record of tests")
        figures = [
            item for item in file.objects if isinstance(item, pikepdf.Dictionary) and item.get("/S") == "/Figure"
        ]
        assert figures and all(str(item.get("/Alt", "")) for item in figures)


def test_the_record_goes_with_it_and_stays_behind_in_public() -> None:
    with pikepdf.open(io.BytesIO(pdf(RUN))) as file:
        assert list(file.attachments) == ["run.json"]
        attached = file.attachments["run.json"].get_file().read_bytes()
        assert AuditRun.model_validate_json(attached) == RUN
        assert str(file.attachments["run.json"].obj.AFRelationship) == "/Source"
    with pikepdf.open(io.BytesIO(pdf(RUN, "public"))) as file:
        assert not list(file.attachments)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_name_can_be_set(name: str) -> None:
    assert pdf(named(name)).startswith(b"%PDF")


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(), min_size=1, max_size=60))
def test_any_text_can_be_set(name: str) -> None:
    assert pdf(named(name)).startswith(b"%PDF")


def test_characters_without_a_glyph_are_replaced_and_others_stay() -> None:
    assert _shown("Łódź Ελλάδα Москва العربية 1−2 ≤ “a”") == "Łódź Ελλάδα Москва العربية 1−2 ≤ “a”"
    assert _shown("a雨🎬b") == f"a{REPLACED}{REPLACED}b"
    assert _shown("e\u0301") == "é" and _shown("a\u202eb") == "ab"


def test_thousands_of_findings_stay_small() -> None:
    many = [
        found.model_copy(update={"id": f"{found.id}.{n}"})
        for n in range(5_000 // len(RUN.findings) + 1)
        for found in RUN.findings
    ]
    content = pdf(RUN.model_copy(update={"findings": many}), "public")
    assert len(many) >= 5_000 and len(content) < 10 << 20
