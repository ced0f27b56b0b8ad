"""Reading a run's record, and `recaudit report`: no model and no torch."""

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
