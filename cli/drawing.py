"""`recaudit unlearn draw`: a request to rehearse with, drawn from the data of a checkpoint."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..recommenders.target import Target


class Kind(StrEnum):
    """What is drawn; `unlearn.drawing.Draw` as a command line needs it."""

    users = "users"
    core_users = "core-users"
    edge_users = "edge-users"
    part_of_users = "part-of-users"
    items = "items"
    pairs = "pairs"


def draw(
    model: opt.Checkpoint,
    out: Annotated[Path, typer.Option(help="Request file to write, .csv.")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="Whole users at random, the most or the least active, half of the events of users, items, or pairs."
        ),
    ] = Kind.part_of_users,
    pairs: Annotated[int, typer.Option(min=1, help="About how many events are forgotten.")] = 400,
    data: opt.Data = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
    seed: opt.Seed = 0,
    debug: opt.Debug = False,
) -> None:
    """Draw a deletion request, to rehearse `run` and `verify` before a real one comes.

    About 400 pairs are what a verdict needs (1,000 of sequence models): docs/unlearning.md.

    Example: `recaudit unlearn draw --model ckpt --kind core-users --pairs 400 --out rehearsal.csv`
    """
    import numpy as np
    import pandas as pd

    from ..audit.files import write_whole
    from ..datasets.errors import InputError
    from ..unlearn.drawing import draw as drawn

    if out.exists() and not overwrite:
        raise InputError(f"{out} exists; choose another name or pass --overwrite")
    target: Target = opt.open_target(model, data)
    log = target.split.train
    asked = drawn(log, kind.value, pairs, seed)
    rows = asked.rows[~np.isin(log.user[asked.rows], asked.users) & ~np.isin(log.item[asked.rows], asked.items)]
    lines = pd.concat([
        pd.DataFrame({"user": log.user_ids[asked.users]}), pd.DataFrame({"item": log.item_ids[asked.items]}),
        pd.DataFrame({"user": log.user_ids[log.user[rows]], "item": log.item_ids[log.item[rows]]}),
    ])  # fmt: skip
    lines = lines.reindex(columns=["user", "item"]).drop_duplicates()
    write_whole(out, lines.to_csv(index=False, lineterminator="\n").encode())
    typer.echo(f"{out}: {len(lines):,} lines that ask for {len(asked):,} events ({asked.label}) to be forgotten")
