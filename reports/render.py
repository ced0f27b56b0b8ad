"""Writes all reports of a run record into a folder."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ..audit.evidence import AuditRun

NAMES = ("report.html", "report.md", "junit.xml")


def render_all(run: AuditRun, folder: Path) -> list[Path]:
    """Write `report.html`, `report.md` and `junit.xml`; the same run gives the same bytes.

    All are rendered before the first is written, and each is replaced whole: a reader never meets half a report.

    Raises:
        OSError: the folder cannot be written; earlier reports stay as they were.
    """
    contents = [(folder / name, render(run)) for name, render in renderers().items()]
    for path, content in contents:
        write(path, content)
    return [path for path, _ in contents]


def renderers() -> dict[str, Callable[[AuditRun], bytes]]:
    """File name to pure function of the run, in the order of writing. Jinja2 is imported here, not before."""
    from . import html, junit, markdown

    return dict(zip(NAMES, (html.page, markdown.document, junit.document), strict=True))


def write(path: Path, content: bytes) -> None:
    """Replace a file atomically, readable for those whom the umask allows.

    Raises:
        OSError: the folder cannot be written; nothing half-written remains.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        with beside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
