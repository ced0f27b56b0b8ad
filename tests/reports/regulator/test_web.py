"""The same document as a page: headings in order, names harmless, nothing loaded."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from recaudit.reports.regulator.web import page

from ..example_run import example_run
from .test_pdf import HOSTILE, named

RUN = example_run(attacks=("random", "bandwagon"), sizes=("1%",))


class Read(HTMLParser):
    """Tags, ids, what refers to them, and levels of headings."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.ids: list[str] = []
        self.used: list[str] = []
        self.tags: set[str] = set()
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.add(tag)
        if re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        if given.get("id"):
            self.ids.append(str(given["id"]))
        for name in ("aria-labelledby", "aria-describedby"):
            self.used += str(given.get(name) or "").split()
        if str(given.get("href") or "").startswith("#"):
            self.used.append(str(given["href"])[1:])
        self.loads += [str(given[name]) for name in ("src", "action", "data") if given.get(name)]


@pytest.mark.parametrize("audience", ["regulator", "public"])
def test_it_is_one_accessible_page(audience: str) -> None:
    content = page(RUN, audience)
    assert content == page(RUN, audience)
    read = Read()
    read.feed(content.decode())
    assert read.levels[0] == 1 and read.levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in zip(read.levels, read.levels[1:], strict=False))
    assert len(set(read.ids)) == len(read.ids) and set(read.used) <= set(read.ids)
    assert not read.tags & {"script", "iframe", "object", "form", "link", "base"} and not read.loads
    assert b"default-src 'none'" in content


@pytest.mark.parametrize("name", [*HOSTILE, "<script>alert(1)</script>", "{{ 7*7 }}"], ids=range(len(HOSTILE) + 2))
def test_names_do_nothing(name: str) -> None:
    read = Read()
    content = page(named(name)).decode()
    read.feed(content)
    assert "script" not in read.tags and "<bdi>49</bdi>" not in content
    assert len(set(read.ids)) == len(read.ids)
