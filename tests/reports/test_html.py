from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports import html

from .example_run import example_run, many_findings
from .hostile import MARK, TEXTS, poisoned

VOID = {"meta", "br", "link", "img", "input", "hr"}
ACTIVE = {"script", "img", "iframe", "object", "embed", "form", "input", "button", "link", "base", "audio", "video",
          "foreignobject", "animate", "set", "image"}  # fmt: skip


class Parsed(HTMLParser):
    """Tags, attributes and text with the elements they stand in; fails on what is not balanced."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[tuple[frozenset[str], str]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append((frozenset(self.open), data))

    def all(self, name: str) -> list[str]:
        return [value for _, key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def parsed(page: str) -> Parsed:
    return Parsed(page)


def test_the_same_run_gives_the_same_bytes(run: AuditRun, page: str) -> None:
    assert html.page(AuditRun.model_validate_json(run.model_dump_json())).decode() == page


def test_other_processes_give_the_same_bytes(page: str) -> None:
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 30; matplotlib.rcParams['svg.hashsalt'] = 'x';"
        "from tests.reports.example_run import example_run; from recaudit.reports import html;"
        "sys.stdout.buffer.write(html.page(example_run()))"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=root,
        env={"PYTHONHASHSEED": "77", "PATH": ""},
        check=True,
    )
    assert answer.stdout.decode() == page


def test_landmarks_and_headings(parsed: Parsed) -> None:
    for tag in ("h1", "main", "header", "footer", "nav"):
        assert parsed.tags[tag] == 1, tag
    assert ("a", "class", "skip") in parsed.attributes and ("a", "href", "#main") in parsed.attributes
    assert parsed.tags["section"] >= 9


def test_identifiers_are_unique_and_all_references_lead_somewhere(parsed: Parsed) -> None:
    ids = parsed.all("id")
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    wanted = [value.removeprefix("#") for value in parsed.all("href")]
    wanted += [name for value in parsed.all("aria-labelledby") for name in value.split()]
    wanted += [found for value in parsed.all("clip-path") for found in re.findall(r"#([^)]+)", value)]
    assert set(wanted) <= set(ids)


def test_tables_have_captions_and_scopes_in_named_regions(parsed: Parsed, page: str) -> None:
    assert (
        parsed.tags["caption"]
        == parsed.tags["table"]
        == page.count('<div class="scroll" role="region" aria-labelledby=')
    )
    assert parsed.tags["th"] == sum(tag == "th" and name == "scope" for tag, name, _ in parsed.attributes)


def test_every_drawing_is_named_or_hidden(page: str) -> None:
    for head in re.findall(r"<svg[^>]*>", page):
        assert 'aria-hidden="true"' in head or ('role="img"' in head and "aria-labelledby=" in head), head


def test_nothing_is_loaded_and_nothing_acts(parsed: Parsed, page: str) -> None:
    assert not ACTIVE & set(parsed.tags)
    assert all(value.startswith("#") for value in parsed.all("href")) and not parsed.all("src")
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in parsed.all("content")
    css = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in css and "@import" not in css


SMALL = example_run(attacks=("bandwagon",), sizes=("1%",))
POISONED = [poisoned(SMALL, text, frozenset()) for text in TEXTS]
"""With poisoned names of checks the page has no plots: fast."""
POISONED += [poisoned(SMALL, TEXTS[turn:] + TEXTS[:turn]) for turn in (0, 4, 8)]


@pytest.mark.parametrize("run", POISONED, ids=range(len(POISONED)))
def test_text_from_data_stays_text(run: AuditRun) -> None:
    page = html.page(run).decode()
    parsed = Parsed(page)
    assert not ACTIVE & set(parsed.tags)
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    for _, name, value in parsed.attributes:
        assert MARK not in value, f"data in the attribute {name}"
    loose = [data for stack, data in parsed.texts if MARK in data and not {"bdi", "title", "svg"} & stack]
    assert loose == [], "text from data that is not isolated"
    assert any(MARK in data for stack, data in parsed.texts if "bdi" in stack)
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]", page)
    inside_svg = "".join(data for stack, data in parsed.texts if {"svg", "title"} & stack)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", inside_svg)


def test_markup_in_a_title_is_shown_as_it_is(parsed: Parsed) -> None:
    assert any(data.startswith("<script>alert('title')</script> & Sons") for _, data in parsed.texts)


@pytest.mark.parametrize("text", ['"' * 10_000, "😀" * 10_000], ids=["quotes", "emoji"])
def test_five_thousand_findings_stay_below_ten_megabytes(text: str) -> None:
    content = html.page(many_findings(5000, text))
    assert len(content) < 10_000_000
    assert "are listed here; all of them are in <code>run.json</code>" in content.decode()


def test_skipped_and_failed_are_there_with_their_reasons(run: AuditRun, page: str) -> None:
    for entry in run.skipped:
        assert entry.reason in page
    for failure in run.failures:
        assert failure.error in page
    assert "What was not tested" in page and "membership inference" in page


def test_the_policy_stands_there_with_reasons_and_waivers(run: AuditRun, page: str) -> None:
    for rule in run.policy["rules"]:
        assert rule["select"] in page and rule["reason"] in page
    for waiver in run.policy["waivers"]:
        assert waiver["owner"] in page and waiver["expires"] in page and waiver["reason"] in page


def test_words_that_a_test_report_must_not_say(page: str) -> None:
    words = re.sub("<[^>]+>", " ", page).lower()
    for word in ("compliant", "compliance", "certif", "lawful", "guarantee", "simulated", "proves"):
        assert word not in words


def test_a_run_that_has_just_begun_or_holds_nothing(run: AuditRun) -> None:
    bare = run.model_copy(
        update={"findings": [], "evidence": [], "cells": [], "skipped": [], "failures": [], "titles": {}, "policy": {},
                "environment": {}, "verdict": "inconclusive", "evidence_digest": ""}
    )  # fmt: skip
    page = html.page(bare).decode()
    Parsed(page)
    assert "it was still running" in page and "no rule" in page


def test_importing_draws_nothing() -> None:
    code = (
        "import sys, recaudit.reports.html; print([m for m in ('matplotlib', 'torch', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
