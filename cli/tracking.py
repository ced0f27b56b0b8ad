"""`recaudit card` and `recaudit log`: a finished audit for those who track models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as opt
from .records import read_run

TRACKERS = ("mlflow",)


def card(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")],
    out: Annotated[Path | None, typer.Option(help="File to write; stdout if not given.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write a section for a model card, in the layout of the Hugging Face hub: metrics as metadata, then the audit.

    Examples:
    `recaudit card recaudit-out`

    `recaudit card recaudit-out --out README.md`
    """
    from ..audit.files import write_whole
    from ..datasets.errors import InputError
    from ..reports.model_card import section

    content = section(read_run(folder))
    if out is None:
        typer.echo(content.decode(), nl=False)
        return
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists and may hold a card of yours; give another --out, or --overwrite")
    write_whole(out, content)
    if not quiet:
        typer.echo(str(out))


def log(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that `recaudit run` wrote.")],
    to: Annotated[str, typer.Option("--to", help="Where to: mlflow.")] = "mlflow",
    uri: Annotated[str | None, typer.Option(help="Tracking store; MLFLOW_TRACKING_URI if not given.")] = None,
    experiment: Annotated[str, typer.Option(help="Name of the experiment; made if it is not there.")] = "recaudit",
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Log an audit to an experiment tracker: metrics, policy, verdict, digests, reports. Logged again it is updated.

    Examples:
    `recaudit log recaudit-out --to mlflow --uri http://localhost:5000`

    `recaudit log recaudit-out --to mlflow --uri sqlite:///mlflow.db --experiment movies`
    """
    from ..datasets.errors import unknown_name
    from ..integrations.mlflow import log_run

    if to not in TRACKERS:
        raise unknown_name("tracker", to, TRACKERS)
    logged = log_run(read_run(folder), folder, uri, experiment)
    if not quiet:
        done = "updated" if logged.updated else "logged"
        typer.echo(f"{done}: experiment {logged.experiment}, run {logged.run_id}, {logged.uri}")
