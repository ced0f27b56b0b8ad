"""`recaudit compare`: two runs held against each other, by their records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .records import read_run


def compare(
    earlier: Annotated[Path, typer.Argument(metavar="EARLIER", help="Folder of the run to compare with.")],
    later: Annotated[Path, typer.Argument(metavar="LATER", help="Folder of the run that is held against it.")],
    any_data: Annotated[bool, typer.Option("--any-data", help="Compare runs on different data too, unpaired.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown, for a pull-request comment.")
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Compare two runs: differences with intervals, paired by users or by target and seed where both runs have them.

    Examples:
    `recaudit compare audit-v1 audit-v2`

    `recaudit compare audit-v1 audit-v2 --html compare.html --markdown compare.md`
    """
    import json
    from dataclasses import asdict

    from ..audit.compare import compare as differences
    from ..fairness.compare import exposure_errors

    first, second = read_run(earlier), read_run(later)
    errors = exposure_errors((first, earlier), (second, later))
    found = differences(first, second, errors, any_data=any_data)
    if html is not None or markdown is not None:
        from ..audit.files import write_whole
        from ..reports import comparison

        wanted = [(html, comparison.page), (markdown, comparison.markdown)]
        written = [(path, render(first, second, found)) for path, render in wanted if path is not None]
        for path, content in written:
            write_whole(path, content)
            if not quiet:
                typer.echo(str(path), err=True)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in found], indent=1))
        return
    for row in sorted(found, key=lambda row: ("worse", "better", "no change shown", "unknown").index(row.change)):
        span = "" if row.interval is None else f" [{row.interval[0]:+.4g}, {row.interval[1]:+.4g}]"
        pairing = "" if row.paired or row.interval is None else ", not paired"
        values = f"{row.earlier:.4g} -> {row.later:.4g}, {row.difference:+.4g}{span}{pairing}"
        typer.echo(f"{row.change:<16} {row.id:<44} {values}")
