"""The document as PDF/A-3a and PDF/UA-1 by Typst, with the record attached.

Under these standards a glyph that no font has is an error: characters outside the fonts at hand become U+FFFD, and the
exact text stays in the record. Data enter the template as JSON, never as source, so nothing in them acts.

Reference: ISO 19005-3 (PDF/A-3), ISO 14289-1 (PDF/UA-1), as Typst produces them.
"""

from __future__ import annotations

import json
import re
import tempfile
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from ...audit.evidence import AuditRun
from ..text import Data, Sentence, undirected
from .build import document
from .document import Blanks, Bullets, Document, Figure, Figures, Flow, Paragraph, Section, Table, beside, plain

REPLACED = "\ufffd"
_HERE = Path(__file__).parent
_LONG = re.compile(r"\S{16,}")
_BOX = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')
_VARIABLE = re.compile(r"var\(--(\w+)\)")


def pdf(run: AuditRun, audience: str = "regulator") -> bytes:
    """`report.pdf`: the same run gives the same bytes.

    Args:
        run: the record.
        audience: "regulator", with the record attached, or "public".
    """
    import typst

    found = document(run, audience)
    with tempfile.TemporaryDirectory(prefix="recaudit-") as name:
        folder = Path(name)
        figures: list[str] = []
        content = _content(found, figures)
        (folder / "content.json").write_text(json.dumps(content), "utf-8")
        for number, svg in enumerate(figures):
            (folder / f"figure-{number}.svg").write_text(svg, "utf-8")
        if found.attached:
            (folder / "run.json").write_bytes(run.model_dump_json(indent=1).encode())
        source = folder / "main.typ"
        source.write_bytes((_HERE / "report.typ").read_bytes())
        compiled = typst.compile(
            source, root=folder, font_paths=[_fonts()], ignore_system_fonts=True, pdf_standards=["a-3a", "ua-1"],
            timestamp=_moment(found.moment),
        )  # fmt: skip
    assert isinstance(compiled, bytes)
    return compiled


def _moment(text: str) -> datetime:
    """When the audit began, in UTC; the beginning of 1970 where the record does not say it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _content(found: Document, figures: list[str]) -> dict[str, Any]:
    moment = _moment(found.moment)
    return {
        "title": _text(found.title),
        "plain_title": _shown(plain(found.title)),
        "date": [moment.year, moment.month, moment.day],
        "facts": [[_shown(label), _text(value)] for label, value in found.facts],
        "left_out": None if found.left_out is None else _shown(found.left_out),
        "attached": found.attached,
        "sections": [_section(section, figures) for section in found.sections],
    }


def _section(section: Section, figures: list[str]) -> dict[str, Any]:
    return {
        "title": _shown(section.title).strip() or "Further",  # PDF/UA refuses a heading of nothing
        "blocks": [_block(block, figures) for block in beside(section.blocks)],
        "parts": [_section(part, figures) for part in section.parts],
    }


def _block(block: Flow, figures: list[str]) -> dict[str, Any]:
    match block:
        case Paragraph(text):
            return {"kind": "paragraph", "text": _text(text)}
        case Bullets(lines):
            return {"kind": "bullets", "lines": [_text(line) for line in lines]}
        case Table():
            return {
                "kind": "table", "caption": _shown(block.caption), "head": [_shown(name) for name in block.head],
                "rows": [[_text(cell) for cell in row] for row in block.rows], "widths": list(block.widths),
                "numeric": sorted(block.numeric), "hidden": block.hidden,
            }  # fmt: skip
        case Figures(drawings):
            return {"kind": "figures", "drawings": [_figure(drawing, figures) for drawing in drawings]}
        case Blanks(labels):
            return {"kind": "blanks", "labels": [_shown(label) for label in labels]}


def _figure(figure: Figure, figures: list[str]) -> dict[str, Any]:
    figures.append(_drawing(figure.svg))
    return {
        "file": f"figure-{len(figures) - 1}.svg", "alt": _shown(figure.alt), "caption": _text(figure.caption)
    }  # fmt: skip


def _text(sentence: Sentence) -> str:
    """A sentence; words of data that are longer than a column may be broken anywhere."""
    parts = (_breakable(_shown(part.value)) if isinstance(part, Data) else _shown(part) for part in sentence)
    return "".join(parts)


def _breakable(text: str) -> str:
    return _LONG.sub(lambda found: "\u200b".join(found[0]), text)


def _shown(text: str) -> str:
    """The text in characters that the fonts have; composed where a composed form is."""
    known = _characters()
    composed = unicodedata.normalize("NFC", undirected(text))
    return "".join(char if ord(char) in known else " " if char.isspace() else REPLACED for char in composed)


def _fonts() -> Path:
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf"


@cache
def _characters() -> frozenset[int]:
    """Code points of the font that the report is set in."""
    from fontTools.ttLib import TTFont

    with TTFont(_fonts() / "DejaVuSans.ttf") as regular, TTFont(_fonts() / "DejaVuSans-Bold.ttf") as bold:
        return frozenset(regular.getBestCmap()) & frozenset(bold.getBestCmap())


def _drawing(svg: str) -> str:
    """A drawing of the page with colours by value, its characters ones that the font has, and room of its own."""
    colours = _palette()
    drawn = _VARIABLE.sub(lambda found: colours.get(found[1], "#000000"), svg)
    drawn = drawn.replace("<svg ", '<svg font-family="DejaVu Sans" ', 1)
    drawn = _BOX.sub(_wider, drawn, count=1)
    return re.sub(r">([^<]+)<", lambda found: f">{_shown(found[1])}<", drawn)


def _wider(found: re.Match[str]) -> str:
    """Room at both sides: names beside a drawing may be wider than on the page, where they may stand out of it."""
    width, height = float(found[1]), float(found[2])
    return f'viewBox="{-0.1 * width:g} 0 {1.25 * width:g} {height:g}"'


@cache
def _palette() -> dict[str, str]:
    """Colours by name, of the page on paper."""
    style = (_HERE.parent / "templates" / "style.css").read_text("utf-8")
    names: Sequence[tuple[str, str]] = re.findall(r"--(\w+): (#[0-9a-f]{6})", style)
    return dict(names)  # the last of each name is that of the sheet for paper
