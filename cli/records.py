"""`recaudit report` and `compare`: work on a run's record alone, no model and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..audit.evidence import AuditRun

LIMIT = 1 << 30


def read_run(folder: Path) -> AuditRun:
    """The record of a run folder; InputError names what is wrong with it."""
    from pydantic import ValidationError

    from ..audit.evidence import AuditRun
    from ..datasets.errors import InputError

    path = folder / "run.json"
    try:
        if path.stat().st_size > LIMIT:
            raise InputError(f"{path}: larger than {LIMIT >> 20} MiB, that is no run record")
        return AuditRun.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the folder that `recaudit run --out` wrote") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise InputError(
            f"{path}: {where}: {first['msg']}; it is damaged or of another version, run the audit again"
        ) from None


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")],
    public: Annotated[
        bool, typer.Option("--public", help="Also a public edition: no targets, no recipe, no attack by name.")
    ] = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the reports of a finished run again, for example with a newer recaudit, or a public edition.

    Examples: `recaudit report recaudit-out`, `recaudit report recaudit-out --public`
    """
    from ..reports.render import render_all, render_public

    record = read_run(folder)
    for path in [*render_all(record, folder), *(render_public(record, folder) if public else ())]:
        typer.echo(str(path))


def compare(
    earlier: Annotated[Path, typer.Argument(metavar="EARLIER", help="Folder of the run to compare with.")],
    later: Annotated[Path, typer.Argument(metavar="LATER", help="Folder of the run that is held against it.")],
    any_data: Annotated[bool, typer.Option("--any-data", help="Compare runs on different data too, unpaired.")] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Compare two runs: differences with intervals, paired by users or by target and seed where both runs have them.

    Example: `recaudit compare audit-v1 audit-v2`
    """
    import json
    from dataclasses import asdict

    from ..audit.compare import compare as differences
    from ..fairness.compare import exposure_errors

    first, second = read_run(earlier), read_run(later)
    errors = exposure_errors((first, earlier), (second, later))
    found = differences(first, second, errors, any_data=any_data)
    if as_json:
        typer.echo(json.dumps([asdict(row) for row in found], indent=1))
        return
    for row in sorted(found, key=lambda row: ("worse", "better", "no change shown", "unknown").index(row.change)):
        span = "" if row.interval is None else f" [{row.interval[0]:+.4g}, {row.interval[1]:+.4g}]"
        pairing = "" if row.paired or row.interval is None else ", not paired"
        values = f"{row.earlier:.4g} -> {row.later:.4g}, {row.difference:+.4g}{span}{pairing}"
        typer.echo(f"{row.change:<16} {row.id:<44} {values}")
