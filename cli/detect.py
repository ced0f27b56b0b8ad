"""`recaudit detect`: who in a log looks like a fake account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..datasets.log import InteractionLog
    from ..defenses.base import Detector, Float64


def detect(
    detector: Annotated[str, typer.Option(help="A detector, see `recaudit list detectors`.")],
    data: Annotated[
        Path | None, typer.Option(help="Data file or folder; the embedded MovieTweetings if not given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to write, .csv or .parquet: user, suspicion, most suspicious first.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the detector, name=value (repeatable).")
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many accounts to print.")] = 20,
    seed: opt.Seed = 0,
    allow_sending: opt.AllowSending = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Order the accounts of a log by how suspicious they look; higher is more suspicious, no labels are used.

    A suspicion is a place to look, not a verdict: genuine users with rare tastes score high too. How well each detector
    does against each attack is what `recaudit run --only defense` measures.

    Example: `recaudit detect --detector near-copies --data ratings.csv --out suspicion.csv`
    """
    import numpy as np

    from ..datasets.errors import INTERRUPTED, InputError
    from ..defenses.base import Detector
    from ..defenses.catalogue import build
    from .tables import check_suffix, write_table
    from .train import parse_settings

    if out is not None:
        check_suffix(out, "--out")
    found = build(detector, parse_settings(settings or []))
    if not isinstance(found, Detector):
        raise InputError(f"{detector!r} protects a training and judges no accounts; see `recaudit list detectors`")
    try:
        log, suspicion = _judged(found, data, seed)
    except KeyboardInterrupt:  # no result is kept, unlike in runs that go on where they stopped
        typer.echo("recaudit: interrupted; nothing was written, the same command begins anew", err=True)
        raise typer.Exit(INTERRUPTED) from None
    for note, value in found.notes.items():
        if not quiet:
            typer.echo(f"{detector}: {note} {value:,.10g}", err=True)
    order = np.argsort(-suspicion, kind="stable")
    if out is not None:
        write_table(out, {"user": log.user_ids[order], "suspicion": suspicion[order]})
    if as_json:
        names = log.user_ids.tolist()
        typer.echo(json.dumps({names[place]: float(suspicion[place]) for place in order.tolist()}))
        return
    typer.echo(f"{'user':<24} {'suspicion':>12} {'events':>7}")
    for place in order[:top].tolist():
        typer.echo(f"{str(log.user_ids[place])[:24]:<24} {suspicion[place]:>12.5g} {log.user_counts[place]:>7,}")
    if out is not None and not quiet:
        typer.echo(f"{len(order):,} accounts: {out}")


def _judged(detector: Detector, data: Path | None, seed: int) -> tuple[InteractionLog, Float64]:
    """The log and the suspicion of its accounts."""
    from ..datasets.demo import load_demo
    from ..datasets.read import read_log

    log = (load_demo() if data is None else read_log(data)).log
    return log, detector.suspicion(log, seed)
