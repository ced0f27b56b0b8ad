from __future__ import annotations

from pathlib import Path

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports import render
from recaudit.reports.index import index_page, write_index

from .hostile import MARK, TEXTS, poisoned
from .test_html import ACTIVE, Parsed


def test_all_reports_are_written_and_again_with_the_same_bytes(run: AuditRun, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "out"
    paths = render.render_all(run, folder)
    assert tuple(path.name for path in paths) == render.NAMES
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in render.render_all(run, folder)] == before
    assert sorted(path.name for path in folder.iterdir()) == sorted(render.NAMES)


def test_the_public_edition_stands_beside_them(run: AuditRun, tmp_path: Path) -> None:
    assert [path.name for path in render.render_public(run, tmp_path)] == ["public.html", "public.pdf"]


def test_the_index_links_to_every_report(run: AuditRun, tmp_path: Path) -> None:
    folders = [tmp_path / "first model" / "audit", tmp_path / "zweite#?" / "audit"]
    page = write_index(tmp_path, [(run, folder) for folder in folders]).read_text("utf-8")
    links = [value for value in Parsed(page).all("href") if not value.startswith("#")]
    assert links == ["first%20model/audit/report.html", "zweite%23%3F/audit/report.html"]
    assert page.count("Can fake users push an item?") == 1 and page.count("412 of 1,099 items") == 2


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_from_data_stays_text_in_the_index(run: AuditRun, text: str) -> None:
    parsed = Parsed(index_page([(poisoned(run, text), "a/report.html")]).decode())
    assert not ACTIVE & set(parsed.tags)
    assert [d for stack, d in parsed.texts if MARK in d and not {"bdi", "title"} & stack] == []
    assert not [value for _, _, value in parsed.attributes if MARK in value]


def test_an_index_of_nothing() -> None:
    assert "0 audits" in index_page([]).decode()
