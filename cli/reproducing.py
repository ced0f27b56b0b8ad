"""`recaudit reproduce`: compute one cell of an audit again and hold it against the record."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt
from .progress import progress

if TYPE_CHECKING:
    from ..audit.evidence import AuditRun, CellResult
    from ..recommenders.target import Target

SHORTEST = 4
"""Characters of a key, at least: fewer match by chance."""


def reproduce(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")],
    key: Annotated[str, typer.Argument(metavar="CELL", help="Beginning of the cell's key, as reports print it.")],
    model: opt.AnyModel = None,
    data: opt.Data = None,
    recommend_cmd: opt.RecommendCmd = None,
    refit_cmd: opt.RefitCmd = None,
    python: opt.PythonObject = None,
    lists: opt.ListsFile = None,
    endpoint: opt.EndpointUrl = None,
    timeout: opt.Timeout = 3600.0,
    tolerance: Annotated[
        float, typer.Option(min=0, help="How far a value may be off: other machines add numbers in another order.")
    ] = 1e-6,
    allow_sending: opt.AllowSending = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Compute one cell of an audit again and say whether its numbers come out: exits 0 if they do, 1 if not.

    Example: `recaudit reproduce recaudit-out 7f3a9c --model ckpt`
    """
    from .records import read_run

    record = read_run(folder)
    found = _recorded(record, folder, key)
    target = opt.open_any(model, data, recommend_cmd, refit_cmd, python, lists, endpoint, timeout)
    again = _computed(record, target, found.key, quiet)
    apart = differences(found.values, again.values)
    largest = max(apart.values(), default=0.0)
    typer.echo(f"{found.label}: {len(apart)} values, largest difference {largest:.3g}")
    wrong = {name: value for name, value in apart.items() if not value <= tolerance}
    for name in sorted(wrong, key=lambda name: -wrong[name])[:20]:
        typer.echo(f"  {name}: {_told(found.values.get(name))} in the record, {_told(again.values.get(name))} now")
    typer.echo("it comes out again" if not wrong else f"{len(wrong)} values do not come out again")
    raise typer.Exit(1 if wrong else 0)


def differences(recorded: Mapping[str, float | None], again: Mapping[str, float | None]) -> dict[str, float]:
    """How far values are apart, by name; infinitely where one side has none."""
    found = {}
    for name in {**recorded, **again}:
        one, other = recorded.get(name), again.get(name)
        if one is None or other is None:
            found[name] = 0.0 if one is other else math.inf
        else:
            found[name] = abs(one - other)
    return found


def _recorded(record: AuditRun, folder: Path, key: str) -> CellResult:
    from ..datasets.errors import InputError

    if len(key) < SHORTEST:
        raise InputError(f"CELL: {key!r} is shorter than {SHORTEST} characters; give more of the key")
    found = [cell for cell in record.cells if cell.key.startswith(key)]
    if len(found) == 1:
        return found[0]
    what = "no cell" if not found else f"{len(found)} cells"
    raise InputError(
        f"{folder / 'run.json'}: {what} of this audit begins with {key!r}; keys stand in its reports' annex of cells"
    )


def _computed(record: AuditRun, target: Target, key: str, quiet: bool) -> CellResult:
    from ..audit.engine import Plan, make_plan, run_plan
    from ..audit.policy import Policy
    from ..audit.store import Store
    from ..datasets.errors import InputError, UnfinishedError
    from .run import assembled

    if target.fingerprint != record.target.model_fingerprint:
        raise InputError(f"{target.name}: this is not the model that was audited (its fingerprint is another)")
    probes, protocol = assembled(Policy.model_validate(record.policy))
    with tempfile.TemporaryDirectory(prefix="recaudit-") as name:
        store = Store(Path(name))
        planned = make_plan(target, probes, protocol, store)
        if key not in planned.cells:
            raise InputError("this version of recaudit makes other cells of the same policy; use the one in the record")
        one = Plan({key: planned.cells[key]}, (), (), frozenset())
        with progress("computing the cell", quiet) as step:
            results, failures = run_plan(one, target, protocol, store, jobs=1, progress=step)
        if failures:
            raise UnfinishedError(f"the cell ended in an error again: {failures[0].error}")
        return results[planned.cells[key]]


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:.8g}"
