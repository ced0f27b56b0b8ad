"""Writes all reports of a run record into a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..audit.evidence import AuditRun
from ..audit.files import write_whole

NAMES = ("report.html", "report.md", "junit.xml")


def render_all(run: AuditRun, folder: Path) -> list[Path]:
    """Write `report.html`, `report.md` and `junit.xml`; the same run gives the same bytes.

    All are rendered before the first is written, and each is replaced whole: a reader never meets half a report.

    Raises:
        OSError: the folder cannot be written; earlier reports stay as they were.
    """
    contents = [(folder / name, render(run)) for name, render in renderers().items()]
    for path, content in contents:
        write_whole(path, content)
    return [path for path, _ in contents]


def renderers() -> dict[str, Callable[[AuditRun], bytes]]:
    """File name to pure function of the run, in the order of writing. Jinja2 is imported here, not before."""
    from . import html, junit, markdown

    return dict(zip(NAMES, (html.page, markdown.document, junit.document), strict=True))
