"""Writes all reports of a run record into a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from ..audit.evidence import AuditRun
from ..audit.files import write_whole

NAMES = ("report.html", "report.md", "junit.xml", "recaudit.sarif", "record.html", "report.pdf")


def render_all(run: AuditRun, folder: Path) -> list[Path]:
    """Write the reports named in `NAMES`; the same run gives the same bytes.

    All are rendered before the first is written, and each is replaced whole: a reader never meets half a report.

    Raises:
        OSError: the folder cannot be written; earlier reports stay as they were.
    """
    return _write(run, folder, renderers())


def render_public(run: AuditRun, folder: Path) -> list[Path]:
    """Write `public.pdf` and `public.html`, which leave out what would help to manipulate the system.

    Raises:
        OSError: the folder cannot be written.
    """
    from .regulator import pdf, web

    pages = {"public.html": web.page, "public.pdf": pdf.pdf}
    return _write(run, folder, {name: partial(render, audience="public") for name, render in pages.items()})


def _write(run: AuditRun, folder: Path, renders: Mapping[str, Callable[[AuditRun], bytes]]) -> list[Path]:
    contents = [(folder / name, render(run)) for name, render in renders.items()]
    for path, content in contents:
        write_whole(path, content)
    return [path for path, _ in contents]


def renderers() -> dict[str, Callable[[AuditRun], bytes]]:
    """File name to pure function of the run, in the order of writing. Jinja2 is imported here, not before."""
    from . import html, junit, markdown
    from .ci import sarif
    from .regulator import pdf, web

    found = (html.page, markdown.document, junit.document, sarif.document, web.page, pdf.pdf)
    return dict(zip(NAMES, found, strict=True))
