from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter

import pytest

from recaudit.audit.compare import Difference, compare
from recaudit.audit.evidence import AuditRun
from recaudit.reports import comparison
from recaudit.reports.markdown import LIMIT

from .hostile import MARK, TEXTS, poisoned
from .test_html import ACTIVE, Parsed
from .test_markdown import OWN, tokens


def changed(run: AuditRun) -> AuditRun:
    """The example later: some hit rates higher, one lower, the rest as they were."""

    def moved(n: int, by: float) -> dict[str, object]:
        old = run.evidence[n]
        units = [
            unit.model_copy(update={"value": unit.value + by + 0.001 * (i % 3)}) for i, unit in enumerate(old.units)
        ]
        return {"units": units, "estimate": (old.estimate or 0.0) + by}

    rates = [n for n, e in enumerate(run.evidence) if e.measure == "hr@20" and e.check == "promotion"][:3]
    update = {n: moved(n, by) for n, by in zip(rates, (0.02, 0.2, -0.1), strict=True)}
    evidence = [e.model_copy(update=update[n]) if n in update else e for n, e in enumerate(run.evidence)]
    return run.model_copy(update={"evidence": evidence})


@pytest.fixture(scope="module")
def later(run: AuditRun) -> AuditRun:
    return changed(run)


@pytest.fixture(scope="module")
def rows(run: AuditRun, later: AuditRun) -> list[Difference]:
    return compare(run, later)


@pytest.fixture(scope="module")
def page(run: AuditRun, later: AuditRun, rows: list[Difference]) -> str:
    return comparison.page(run, later, rows).decode()


def test_what_got_worse_comes_first_and_the_clearest_on_top(rows: list[Difference]) -> None:
    found = comparison.ordered(rows)
    assert Counter(row.change for row in found)["worse"] == 2 and len(found) == len(rows)
    places = [comparison.CHANGES.index(row.change) for row in found]
    assert places == sorted(places)
    assert found[0].difference > found[1].difference > 0 > found[2].difference
    assert comparison.lead(found) == f"Of {len(rows)} measurements in common 2 got worse, 1 better."


def test_the_page_is_whole_named_and_still(page: str, rows: list[Difference]) -> None:
    parsed = Parsed(page)
    for tag in ("h1", "main", "header", "footer"):
        assert parsed.tags[tag] == 1, tag
    ids = parsed.all("id")
    assert [name for name, n in Counter(ids).items() if n > 1] == []
    wanted = [value.removeprefix("#") for value in parsed.all("href")]
    wanted += [name for value in parsed.all("aria-labelledby") for name in value.split()]
    assert set(wanted) <= set(ids)
    assert parsed.tags["th"] == sum(tag == "th" and name == "scope" for tag, name, _ in parsed.attributes)
    assert not ACTIVE & set(parsed.tags) and all(value.startswith("#") for value in parsed.all("href"))
    for head in re.findall(r"<svg[^>]*>", page):
        assert 'aria-hidden="true"' in head or ('role="img"' in head and "aria-labelledby=" in head), head
    assert parsed.tags["figure"] >= 3, "hit rates, rank shifts and shares have plots of their own"
    listed = page[page.index("<table") :]
    assert all(row.id.replace("'", "&#39;") in listed for row in rows)
    assert listed.index("Worse") < listed.index("Better") < listed.index("No change shown")


def test_the_same_runs_give_the_same_bytes(run: AuditRun, later: AuditRun, rows: list[Difference], page: str) -> None:
    assert comparison.page(run, later, rows).decode() == page


@pytest.mark.parametrize("turn", range(0, len(TEXTS), 3))
def test_text_from_data_stays_text(run: AuditRun, later: AuditRun, turn: int) -> None:
    texts = TEXTS[turn:] + TEXTS[:turn]
    small = [r.model_copy(update={"evidence": r.evidence[:14], "findings": [], "cells": []}) for r in (run, later)]
    first, second = (poisoned(r, texts) for r in small)
    found = compare(first, second, any_data=True)
    page = comparison.page(first, second, found).decode()
    parsed = Parsed(page)
    assert not ACTIVE & set(parsed.tags)
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert not [value for _, _, value in parsed.attributes if MARK in value]
    assert [d for stack, d in parsed.texts if MARK in d and not {"bdi", "title", "svg"} & stack] == []
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]", page)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_from_data_does_not_act_in_markdown(run: AuditRun, later: AuditRun, text: str) -> None:
    pytest.importorskip("markdown_it")
    clean = comparison.markdown(run, later, compare(run, later)).decode()
    first, second = poisoned(run, text), poisoned(later, text)
    found = tokens(comparison.markdown(first, second, compare(first, second)).decode())
    assert not {"link_open", "image", "s_open", "fence", "code_block", "blockquote_open"} & {t.type for t in found}
    for token in found:
        if token.type in ("html_inline", "html_block"):
            assert OWN.sub("", token.content).strip() == ""
    for kind in ("tr_open", "td_open", "heading_open", "list_item_open", "strong_open"):
        assert sum(t.type == kind for t in found) == sum(t.type == kind for t in tokens(clean)), kind


def test_notes_say_what_stands_between_the_runs(run: AuditRun, later: AuditRun, rows: list[Difference]) -> None:
    plain = " ".join(comparison.notes(run, later, rows))
    assert "one and the same model" in plain and "different data" not in plain
    card = later.target.model_copy(update={"data_fingerprint": "other", "model_fingerprint": "m2"})
    other = later.model_copy(
        update={"target": card, "policy_digest": "p2", "status": "complete", "evidence": later.evidence[1:]}
    )
    told = " ".join(comparison.notes(run.model_copy(update={"status": "complete"}), other, rows))
    assert "different data" in told and "different policies" in told and "one and the same model" not in told
    assert "1 in the earlier, 0 in the later" in told and "did not finish" not in told


def test_unknown_and_unpaired_differences_are_shown_as_such(run: AuditRun) -> None:
    row = Difference("x.y", "Something", 1.0, 2.0, 1.0, None, False, "unknown")
    unpaired = Difference("x.z", "Other", 1.0, 1.5, 0.5, (0.2, 0.8), False, "better")
    page = comparison.page(run, run, [row, unpaired]).decode()
    assert "Cannot be told" in page and "none is shown to have got worse" in page
    text = comparison.markdown(run, run, [row, unpaired]).decode()
    assert "no interval" in text and "not paired" in text
    assert text.index("x.z") < text.index("x.y")


def test_thousands_of_differences_stay_small(run: AuditRun) -> None:
    many = [
        Difference(f"{'W' * 500}.{n}", '"' * 10_000, 0.1, 0.2 + n, 0.1 + n, (0.05, 0.15 + 2 * n), True, "worse")
        for n in range(5000)
    ]
    page = comparison.page(run, run, many)
    assert len(page) < 10_000_000 and b"500 of 5,000 measurements are listed here" in page
    text = comparison.markdown(run, run, many).decode()
    assert len(text) < LIMIT + 2000 and "4,960 more" in text


def test_importing_draws_nothing() -> None:
    heavy = "('matplotlib', 'torch', 'scipy')"
    code = f"import sys, recaudit.reports.comparison; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
