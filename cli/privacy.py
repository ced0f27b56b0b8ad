"""`recaudit privacy`: how exposed single users are, and a bound on epsilon from canaries that were trained on."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options as opt

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="""What a model gives away about the users it was trained on.

    `recaudit run --only privacy` measures membership inference for the report. These commands are for those who may
    see single users, or have planted canaries before training.""",
)


LEVELS, LEVEL = (0.5, 0.8, 0.95, 0.99), 0.95
"""Percentiles at which canaries count as remembered, named before any is seen; and the one of the Gaussian bound."""


class Access(StrEnum):
    """What an outsider sees."""

    scores = "scores"
    ranks = "ranks"
    lists = "lists"
    weights = "weights"


@app.command("risk")
def risk(
    model: opt.Checkpoint,
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet: a line a user, most exposed first.")],
    data: opt.Data = None,
    work: Annotated[Path, typer.Option(help="Folder for trained models, so that a killed run goes on.")] = Path(
        "recaudit-privacy"
    ),
    models: Annotated[int, typer.Option(min=8, help="Trainings; more tell users apart more surely.")] = 8,
    per_user: Annotated[int, typer.Option(min=1, help="Events tried of a user on average.")] = 2,
    access: Annotated[Access, typer.Option(help="What the outsider sees of the model.")] = Access.scores,
    seed: opt.Seed = 0,
    jobs: opt.Jobs = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """How exposed each user is to membership inference: a file for the privacy officer, readable by its owner alone.

    The file names users: it belongs in no report. `exposure` is the share of events that were never trained on which
    look less trained-on than the user's own do; .5 is no risk. Two halves of the trainings are told apart as well:
    where they disagree on who is exposed, the figure of a single user means little, and the last line says so.

    Users who cannot be tried stand last, `exposure` empty: with one training pair, which would leave nothing of them
    (of models that read order: whose history has no later event), or whose tried events no training drew.

    Example: `recaudit privacy risk --model ckpt --out exposed-users.csv`
    """
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ..audit.store import Store
    from ..privacy.membership.risk import risk as measured
    from .progress import progress

    _writable(out)  # before hours of training
    target = opt.open_target(model, data)
    with progress("models", quiet) as step:
        found = measured(
            target, Store(work / "cells"), models=models, per_user=per_user, access=access.value, seed=seed, jobs=jobs,
            progress=step,
        )  # fmt: skip
    known = np.isfinite(found.exposure)
    order = np.argsort(-found.exposure, kind="stable")  # NaN comes last

    def empty_if_unknown(values: NDArray[np.float64]) -> pl.Series:
        return pl.Series(np.round(values[order], 4)).fill_nan(None)

    _write_private(
        out,
        {
            "user": target.split.train.user_ids[found.user[order]], "events_tried": found.events[order],
            "exposure": empty_if_unknown(found.exposure), "first_half": empty_if_unknown(found.halves[:, 0]),
            "second_half": empty_if_unknown(found.halves[:, 1]),
        },
    )  # fmt: skip
    typer.echo(f"{known.sum():,} users, median exposure {np.median(found.exposure[known]):.3f}: {out}")
    if not known.all():
        few, unlucky = int((found.events == 0).sum()), int((~known & (found.events > 0)).sum())
        typer.echo(
            f"{few + unlucky:,} users could not be tried: {few:,} have too few training events, of {unlucky:,} no "
            "training drew an event; their lines are last, without a figure"
        )
    sure = "too little to name single users" if not found.stability >= 0.5 else "enough to begin with the first lines"
    typer.echo(f"the two halves of the trainings agree with a rank correlation of {found.stability:.2f}: {sure}")


@app.command("epsilon")
def epsilon(
    model: opt.Checkpoint,
    secret: Annotated[Path, typer.Option("--secret", help="The secret list of canaries, JSON.")],
    data: opt.Data = None,
    delta: Annotated[float, typer.Option(min=0, max=0.5, help="Of the (epsilon, delta) that is bounded.")] = 1e-5,
    alpha: Annotated[float, typer.Option(min=1e-6, max=0.5, help="Chance that the bound is too high.")] = 0.05,
    claimed: Annotated[
        float | None, typer.Option(min=0, help="The epsilon that is claimed: exit 1 if the bound is above it.")
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """A lower bound on the epsilon of one training, from canaries that were planted before it.

    `recaudit unlearn plant` plants them by fair coins and keeps the list. The bound is a confidence bound: the true
    epsilon lies below it with a chance of `--alpha` at most. A small bound proves nothing, a bound above a claim
    refutes it; the ceiling is what canaries so many could show at best.

    Example: `recaudit privacy epsilon --model ckpt --secret secret.json --claimed 2`
    """
    import json
    from dataclasses import asdict, replace

    from ..privacy.canaries.planting import evenly
    from ..privacy.canaries.secret import load
    from ..privacy.canaries.trace import statistic
    from ..privacy.epsilon import at_fixed_thresholds, gaussian_from_rates, one_run_bound

    target = opt.open_target(model, data)
    split = target.split
    planted = evenly(load(secret, split.history.plus(split.test)), split)
    values, inside = statistic(target.model, planted, planted.log), planted.included
    unit = "interaction" if planted.kind == "pairs" else "user"
    found = replace(one_run_bound(values, inside, delta, alpha), unit=unit)
    member, other = values[inside], values[~inside]
    high = [int((part >= LEVEL).sum()) for part in (member, other)]
    beside = {
        "if canaries are independent": at_fixed_thresholds(member, other, LEVELS, delta, alpha),
        "if besides the trade-off is Gaussian": gaussian_from_rates(
            high[0], len(member), high[1], len(other), max(delta, 1e-12), alpha
        ),
    }
    broken = claimed is not None and found.epsilon > claimed
    if as_json:
        typer.echo(
            json.dumps(
                asdict(found)
                | {"claimed": claimed, "refuted": broken, "beside": {name: own.epsilon for name, own in beside.items()}}
            )
        )
    else:
        typer.echo(
            f"epsilon is at least {found.epsilon:.3f} ({found.unit} level, delta {delta:g}, confidence {1 - alpha:.0%})"
            f"; {len(planted):,} canaries can show {found.ceiling:.3f} at most"
        )
        for name, own in beside.items():
            typer.echo(f"  {name}: {own.epsilon:.3f} of {own.ceiling:.3f}; no claim is judged by it")
        if claimed is not None:
            typer.echo(f"the claim of {claimed:g} is {'refuted' if broken else 'not refuted'}")
    raise typer.Exit(1 if broken else 0)


def _writable(out: Path) -> None:
    """Refuse, as an InputError, what no table can be written to."""
    from ..datasets.errors import InputError
    from .tables import check_suffix

    if out.is_dir():
        raise InputError(f"--out {out} is a folder; name a file in it")
    check_suffix(out, "--out")
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {out.parent}; make it first")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: the folder {out.parent} cannot be written to")


def _write_private(out: Path, columns: Mapping[str, Any]) -> None:
    """A table that its owner alone may read, whole or not at all: what was there stays until then."""
    from .tables import write_table

    beside = out.with_name(f".{secrets.token_hex(6)}{out.suffix}")
    try:
        beside.touch(mode=0o600, exist_ok=False)
        write_table(beside, columns)
        beside.replace(out)
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
