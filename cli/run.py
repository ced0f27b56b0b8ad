"""`recaudit run` and `recaudit plan`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .progress import clock, progress

if TYPE_CHECKING:
    from ..audit.bench import Protocol
    from ..audit.evidence import AuditRun
    from ..audit.policy import Policy
    from ..audit.probe import Probe
    from ..recommenders.target import Target


def prepare(
    policy_file: Path | None, preset: str, seed: int | None, only: list[str]
) -> tuple[Policy, list[Probe], Protocol]:
    """The policy, its checks and what is measured of every model."""
    from ..audit.policy import load_policy

    policy = load_policy(policy_file, preset)
    if seed is not None:
        policy = policy.model_copy(update={"seed": seed})
    return policy, *assembled(policy, only)


def assembled(policy: Policy, only: Sequence[str] = ()) -> tuple[list[Probe], Protocol]:
    """The checks of a policy and what is measured of every model."""
    from ..audit.bench import Protocol
    from ..audit.run import build_probes
    from ..fairness.side import ExposureMeasures
    from .checks import check_classes

    probes = build_probes(policy, check_classes(), only)
    return probes, Protocol(tuple(sorted(policy.cutoffs)), (ExposureMeasures(),))


def audit_into(
    target: Target,
    policy: Policy,
    probes: list[Probe],
    protocol: Protocol,
    out: Path,
    *,
    jobs: int | None,
    backend: str,
    quiet: bool,
) -> AuditRun:
    """Audit a target and write record and reports into a folder."""
    from ..audit.run import audit
    from ..reports.render import render_all

    with progress(f"auditing {target.name}", quiet) as step:
        run = audit(target, policy, probes, protocol, out, jobs=jobs, backend=backend, progress=step)
    render_all(run, out)
    return run


def run(
    model: opt.AnyModel = None,
    data: opt.Data = None,
    recommend_cmd: opt.RecommendCmd = None,
    refit_cmd: opt.RefitCmd = None,
    python: opt.PythonObject = None,
    lists: opt.ListsFile = None,
    endpoint: opt.EndpointUrl = None,
    timeout: opt.Timeout = 3600.0,
    policy: opt.PolicyFile = None,
    preset: opt.Preset = "standard",
    out: Annotated[Path, typer.Option(help="Folder of evidence and reports.")] = Path("recaudit-out"),
    only: opt.Only = None,
    jobs: opt.Jobs = None,
    backend: Annotated[str, typer.Option(help="joblib's backend: loky, dask or ray.")] = "loky",
    fresh: Annotated[bool, typer.Option("--fresh", help="Compute every cell again.")] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Report only: a failed gate also exits 0.")] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of the audit; the policy's if not given.")] = None,
    allow_sending: opt.AllowSending = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Audit a checkpoint: attacks, fairness, utility; writes evidence and reports, exits 0 or 1.

    A killed or interrupted audit goes on where it stopped when the same command is given again.

    Examples:
    `recaudit run --model ckpt`

    `recaudit run --model ckpt --preset quick --out recaudit-out/quick`

    `recaudit init && recaudit run --model ckpt --policy recaudit.yaml --only promotion`

    `recaudit run --data events.csv --recommend-cmd "./lists {users} {model} {out}" --refit-cmd "./fit {train} {model}"`
    """
    import shutil

    rules, probes, protocol = prepare(policy, preset, seed, only or [])
    target = opt.open_any(model, data, recommend_cmd, refit_cmd, python, lists, endpoint, timeout)
    cells = out / "cells"
    if fresh and cells.is_symlink():
        cells.unlink()
    elif fresh and cells.exists():
        shutil.rmtree(cells)
    record = audit_into(target, rules, probes, protocol, out, jobs=jobs, backend=backend, quiet=quiet)
    show(record, out, quiet)
    failed_gate = record.exit_code in (1, 4)
    raise typer.Exit(0 if exit_zero and failed_gate else record.exit_code)


def show(record: AuditRun, out: Path, quiet: bool) -> None:
    """The findings that matter and one last line with verdict, exit code and report."""
    from ..reports.text import cut, undirected

    marks = {"pass": "pass", "fail": "FAIL", "inconclusive": "????", "waived": "waived", "not_run": "not run"}
    if not quiet:
        order = {status: n for n, status in enumerate(("fail", "inconclusive", "not_run", "waived", "pass"))}
        for found in sorted(record.findings, key=lambda f: order[f.status]):
            value = "" if found.estimate is None else f" {found.estimate:+.4f}"
            if found.interval is not None:
                value += f" [{found.interval[0]:+.4f}, {found.interval[1]:+.4f}]"
            bound = "" if found.bound is None else f" bound {found.bound:g}"
            note = "" if found.severity == "error" else f" ({found.severity})"
            typer.echo(f"{marks[found.status]:>7}  {undirected(cut(found.id))}{value}{bound}{note}")
    typer.echo(
        f"verdict: {record.verdict} (exit code {record.exit_code}); "
        f"{len(record.cells)} cells in {clock(record.seconds)}; report: {out / 'report.html'}"
    )


def plan(
    model: opt.AnyModel = None,
    data: opt.Data = None,
    recommend_cmd: opt.RecommendCmd = None,
    refit_cmd: opt.RefitCmd = None,
    python: opt.PythonObject = None,
    lists: opt.ListsFile = None,
    endpoint: opt.EndpointUrl = None,
    timeout: opt.Timeout = 3600.0,
    policy: opt.PolicyFile = None,
    preset: opt.Preset = "standard",
    out: Annotated[Path, typer.Option(help="The run's folder, to see what is already computed.")] = Path(
        "recaudit-out"
    ),
    only: opt.Only = None,
    jobs: opt.Jobs = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the audit; the policy's if not given.")] = None,
    as_json: opt.Json = False,
    allow_sending: opt.AllowSending = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Show what an audit would compute: cells, time and memory, and what is skipped and why. Runs nothing.

    Example: `recaudit plan --model ckpt --preset thorough --only privacy`
    """
    import json

    from ..audit.engine import make_plan
    from ..audit.estimate import estimate
    from ..audit.store import Store

    _, probes, protocol = prepare(policy, preset, seed, only or [])
    target = opt.open_any(model, data, recommend_cmd, refit_cmd, python, lists, endpoint, timeout)
    planned = make_plan(target, probes, protocol, Store(out / "cells"))
    cost = estimate(planned, target, jobs)
    if as_json:
        skipped = [entry.model_dump() for entry in planned.skipped]
        cells = [{"key": key, "kind": cell.kind, "label": cell.label} for key, cell in planned.cells.items()]
        typer.echo(json.dumps({"cells": cells, "skipped": skipped, **cost.as_json()}, indent=1))
        return
    if not quiet:
        for key, cell in planned.cells.items():
            typer.echo(f"{'done' if key in planned.done else 'to do':>6}  {cell.kind:<9}  {cell.label}")
    for entry in planned.skipped:
        typer.echo(f"not run: {entry.check}: {entry.reason}")
    typer.echo(cost.sentence())
