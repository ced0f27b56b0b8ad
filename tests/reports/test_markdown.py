from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.reports.markdown import LIMIT, MARKER, code, document, escape

from .example_run import example_run, many_findings
from .hostile import TEXTS, poisoned

markdown_it = pytest.importorskip("markdown_it")
OWN = re.compile(r"<!-- recaudit-report -->|<summary>[\w\s,.]+</summary>|</?(?:details|sub)>|<br>")


def tokens(text: str) -> list:
    found = []
    for token in markdown_it.MarkdownIt("commonmark").enable("table").enable("strikethrough").parse(text):
        found += [token, *(token.children or ())]
    return found


def test_golden(run: AuditRun, golden: Callable[[str, bytes], None]) -> None:
    golden("report.md", document(run))


def test_compact_enough_for_a_comment(run: AuditRun) -> None:
    assert document(run).decode().startswith(MARKER)
    for text in ("x" * 10_000, "|" * 10_000):
        content = document(many_findings(5000, text)).decode()
        assert len(content) <= LIMIT + 400 < 65_536


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_text_from_data_does_not_act(text: str) -> None:
    clean = example_run(attacks=("bandwagon",), sizes=("1%",))
    plain, hostile = (document(r).decode() for r in (clean, poisoned(clean, text)))
    found = tokens(hostile)
    kinds = {token.type for token in found}
    assert not {"link_open", "image", "s_open", "fence", "code_block", "blockquote_open", "hr"} & kinds
    for token in found:
        if token.type in ("html_inline", "html_block"):
            assert OWN.sub("", token.content).strip() == "", token.content
    # as many rows, cells, headings and list items as without the text
    for kind in ("tr_open", "td_open", "th_open", "heading_open", "list_item_open", "strong_open", "em_open"):
        assert sum(t.type == kind for t in found) == sum(t.type == kind for t in tokens(plain)), kind
    shown = "".join(token.content for token in found if token.type == "text")
    assert not re.search(r"@\w|(?<!\w)#\d|https?://|www\.\w|gh-\d", shown, re.IGNORECASE)


def test_escapes() -> None:
    assert escape("a|b") == "a&#124;b" and escape("<b>&") == "&lt;b&gt;&amp;" and escape("`x`\\") == "\\`x\\`\\\\"
    assert code("a`b|c\n d") == "`a'b¦c d`" and code("") == "`–`"
