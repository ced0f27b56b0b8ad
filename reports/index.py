"""A page that stands several audits side by side and links to their reports."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..audit.evidence import AuditRun
from ..audit.files import write_whole
from .html import environment
from .readings import WORDS, Reading
from .summary import answers, counts, verdict_sentences


def write_index(folder: Path, runs: Sequence[tuple[AuditRun, Path]]) -> Path:
    """Write `index.html` into a folder.

    Args:
        folder: where the page stands; links are relative to it.
        runs: records and the folders that hold their reports.

    Raises:
        OSError: the folder cannot be written.
    """
    path = folder / "index.html"
    write_whole(path, index_page([(run, _link(folder, reports)) for run, reports in runs]))
    return path


def index_page(runs: Sequence[tuple[AuditRun, str]]) -> bytes:
    """The page's bytes.

    Args:
        runs: records and the relative addresses of their HTML reports.
    """
    read = [(run, link, Reading(run)) for run, link in runs]
    columns = [
        {
            "run": run,
            "link": link,
            "verdict": verdict_sentences(reading),
            "counts": counts(reading),
            "answers": answers(reading),
        }
        for run, link, reading in read
    ]
    page = environment().get_template("index.html.j2").render(columns=columns, words=WORDS)
    return page.encode("utf-8", "replace")


def _link(folder: Path, reports: Path) -> str:
    relative = Path(os.path.relpath(reports.resolve() / "report.html", folder.resolve())).as_posix()
    return quote(relative)
