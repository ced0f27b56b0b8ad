"""The document as one self-contained, accessible page: no script, nothing loaded."""

from __future__ import annotations

from typing import Any

from ...audit.evidence import AuditRun
from ..html import environment
from ..readings import WORDS
from .build import document
from .document import Blanks, Bullets, Figures, Paragraph, Section, Table, beside, plain

_KINDS = {Paragraph: "paragraph", Bullets: "bullets", Table: "table", Figures: "figures", Blanks: "blanks"}


def page(run: AuditRun, audience: str = "regulator") -> bytes:
    """`record.html`: the same run gives the same bytes.

    Args:
        run: the record.
        audience: "regulator" or "public".
    """
    found = document(run, audience)
    context = {"document": found, "title": plain(found.title), "blocks": _blocks, "words": WORDS}
    return environment().get_template("record.html.j2").render(context).encode("utf-8", "replace")


def _blocks(section: Section) -> list[dict[str, Any]]:
    return [{"kind": _KINDS[type(block)]} | vars(block) for block in beside(section.blocks)]
