"""`recaudit report` and `recaudit gate`: work on a run's record alone, no model and no torch."""

from __future__ import annotations

from datetime import UTC, datetime
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
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the reports of a finished run again, for example with a newer recaudit.

    Example: `recaudit report recaudit-out`
    """
    from ..reports.render import render_all

    for path in render_all(read_run(folder), folder):
        typer.echo(str(path))


def gate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")],
    policy: opt.PolicyFile = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Judge the evidence of a finished run again, under its own policy or another one's bounds and waivers.

    Example: `recaudit gate recaudit-out --policy stricter.yaml`
    """
    from ..audit.policy import Policy, load_policy
    from ..audit.verdict import conclude, judge
    from .run import show

    record = read_run(folder)
    if record.status == "incomplete" and not record.cells:
        from ..datasets.errors import UnfinishedError

        raise UnfinishedError(f"{folder}: the audit has not finished; give its `recaudit run` command again")
    rules = Policy.model_validate(record.policy) if policy is None else load_policy(policy, "standard")
    findings = judge(record.evidence, record.skipped, record.failures, rules, datetime.now(UTC).date())
    verdict, code = conclude(findings, rules, complete=not record.failures)
    record = record.model_copy(update={"findings": findings, "verdict": verdict, "exit_code": code})
    show(record, folder, quiet)
    raise typer.Exit(code)
