"""`recaudit report`, `gate` and `compare`: work on a run's record alone, no model and no torch."""

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
    verdict, code = conclude(findings, rules, not record.failures, record.target.verified is False)
    record = record.model_copy(update={"findings": findings, "verdict": verdict, "exit_code": code})
    show(record, folder, quiet)
    raise typer.Exit(code)


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
