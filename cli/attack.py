"""`recaudit attack`: craft fake accounts only, for a red team's own pipeline."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import options as opt


class Direction(StrEnum):
    """What the accounts are for."""

    push = "push"
    nuke = "nuke"


def attack(
    name: Annotated[str, typer.Option("--attack", help="Attack name, see `recaudit list attacks`.")],
    target: Annotated[list[str], typer.Option(help="Target item id (repeatable).")],
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet: account, item, value, time.")],
    data: Annotated[
        Path | None, typer.Option(help="Data file or folder; the embedded MovieTweetings if not given.")
    ] = None,
    accounts: Annotated[str, typer.Option(help="Attack size: a share of genuine users (1%) or a number.")] = "1%",
    profile: Annotated[
        int | None,
        typer.Option(min=1, help="Events per account, target included; the mean genuine profile if not given."),
    ] = None,
    direction: Annotated[Direction, typer.Option(help="Push the targets up or bury them.")] = Direction.push,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Craft fake accounts that push or bury target items; nothing is trained and nothing is sent anywhere.

    Use it on systems you are allowed to test.

    Example: `recaudit attack --attack bandwagon --data ratings.csv --target 0104257 --accounts 1% --out fakes.csv`
    """
    import numpy as np

    from ..attacks.injection import craft_only
    from ..datasets.demo import load_demo
    from ..datasets.read import read_log
    from .tables import rows_of, write_table

    log = (load_demo() if data is None else read_log(data)).log
    items = rows_of(np.array(target), log.item_ids, data or Path("embedded data"), "item")
    profiles = craft_only(log, name, [int(i) for i in items], accounts, profile, seed, direction=direction.value)
    names = np.array([f"injected:{n}" for n in range(profiles.n_accounts)])
    columns = {"account": names[profiles.account], "item": log.item_ids[profiles.item]}
    if profiles.value is not None:
        columns["value"] = profiles.value
    if profiles.time is not None:
        columns["time"] = profiles.time
    write_table(out, columns)
    typer.echo(f"{profiles.n_accounts:,} accounts, {len(profiles.item):,} events: {out}")
