"""`recaudit evaluate` and `recaudit recommend`: what a checkpoint is worth and what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..datasets.log import InteractionLog


def evaluate(
    model: opt.Checkpoint,
    data: opt.Data = None,
    test: Annotated[
        Path | None,
        typer.Option(
            help="Held-out events, CSV or Parquet with columns user, item; the checkpoint's test part if not given."
        ),
    ] = None,
    cutoffs: Annotated[
        list[int] | None, typer.Option("--cutoff", "-k", min=1, help="List length K (repeatable).")
    ] = None,
    consumed: Annotated[
        bool,
        typer.Option("--consumed", help="Let consumed items into the lists, as RecBole does for models of sequences."),
    ] = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Recall, NDCG, HR, MRR, precision and coverage at K over the full catalogue, consumed items excluded.

    Examples:
    `recaudit evaluate --model ckpt -k 10 -k 20 --json`

    `recaudit evaluate --model SASRec.pth --data magazine.inter --consumed`
    """
    import json

    import numpy as np

    from ..recommenders.evaluate import evaluate as measure

    target = opt.open_target(model, data)
    held_out = target.split.test if test is None else _events(test, target.split.train)
    history = target.split.history
    mask = history.take(np.empty(0, np.int64)) if consumed else history
    metrics = measure(target.model, held_out, history, cutoffs=tuple(sorted(set(cutoffs or [10, 20]))), mask=mask)
    if as_json:
        typer.echo(json.dumps(metrics))
        return
    for name, value in metrics.items():
        typer.echo(f"{name:<14} {value:.4f}")


def _events(path: Path, log: InteractionLog) -> InteractionLog:
    from dataclasses import replace

    import numpy as np

    from .tables import read_columns, rows_of

    user, item = read_columns(path, ("user", "item"))
    return replace(
        log,
        user=rows_of(user, log.user_ids, path, "user").astype(np.int32),
        item=rows_of(item, log.item_ids, path, "item").astype(np.int32),
        value=None,
        time=None,
    )


def recommend(
    model: opt.Checkpoint,
    out: Annotated[Path, typer.Option(help="File to write, .csv or .parquet: user, rank, item, score.")],
    data: opt.Data = None,
    users: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with a column user; all users if not given.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="List length.")] = 20,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write top-K lists in the data's own ids; consumed items are left out.

    Example: `recaudit recommend --model ckpt -k 20 --out lists.csv`
    """
    import numpy as np

    from ..recommenders.ranking import rank
    from .tables import read_columns, rows_of, write_table

    target = opt.open_target(model, data)
    history = target.split.history
    rows = np.arange(history.n_users)
    if users is not None:
        rows = rows_of(read_columns(users, ("user",))[0], history.user_ids, users, "user")
    slate = rank(target.model, rows, history, min(k, history.n_items)).slate
    row, place = np.nonzero(slate.items >= 0)
    write_table(
        out,
        {
            "user": history.user_ids[rows[row]],
            "rank": place + 1,
            "item": history.item_ids[slate.items[row, place]],
            "score": slate.scores[row, place],
        },
    )
    typer.echo(f"{len(rows):,} lists of up to {k} items: {out}")
