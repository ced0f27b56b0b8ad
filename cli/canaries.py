"""`recaudit unlearn plant` and `canaries`: plant before training, test after forgetting; no retrain is needed."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options as opt

SecretFile = Annotated[Path, typer.Option("--secret", help="The secret list of canaries, JSON.")]


class Kind(StrEnum):
    """What a canary is."""

    pairs = "pairs"
    users = "users"


def plant(
    out: Annotated[Path, typer.Option(help="Training data with the canaries in them, .csv or .parquet, to write.")],
    secret: SecretFile,
    data: Annotated[
        Path | None, typer.Option(help="Data file or folder; the embedded MovieTweetings if not given.")
    ] = None,
    kind: Annotated[
        Kind, typer.Option(help="Items out of taste for real users, or whole invented users.")
    ] = Kind.pairs,
    count: Annotated[int, typer.Option(min=2, help="Canaries; each is included by a fair coin.")] = 200,
    seed: Annotated[int, typer.Option(help="Of the draw. Who knows it knows the list: choose your own.")] = 0,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Plant canaries in training data, and keep the list of them, included or not, to yourself.

    Filter the data before (`--min-rating`, `--k-core`): a filter afterwards takes canaries away. Train on the file
    written, ask for the included ones to be forgotten when you want to test the provider, then give
    `recaudit unlearn canaries`.

    Example: `recaudit unlearn plant --data ratings.csv --out train.csv --secret secret.json --seed 48151623`
    """
    from ..datasets.demo import load_demo
    from ..datasets.read import read_log
    from ..privacy.canaries.planting import plant as planted
    from ..privacy.canaries.secret import save
    from .tables import write_table

    found = planted((load_demo() if data is None else read_log(data)).log, kind.value, count, seed)
    log = found.log
    columns: dict[str, Any] = {"user_id": log.user_ids[log.user], "item_id": log.item_ids[log.item]}
    if log.value is not None:
        columns["rating"] = log.value
    if log.time is not None:
        columns["timestamp"] = log.time
    write_table(out, columns)
    save(found, secret)
    typer.echo(f"{int(found.included.sum()):,} of {len(found):,} canaries included: {out}; keep {secret} to yourself")


def canaries(
    before: Annotated[Path, typer.Option(help="Checkpoint before, with the data that hold the canaries.")],
    after: Annotated[Path, typer.Option(help="Checkpoint that is said to have forgotten them.")],
    secret: SecretFile,
    data: opt.Data = None,
    level: Annotated[float, typer.Option(min=1e-4, max=0.5, help="A p-value up to this is a trace.")] = 0.05,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Can canaries that were included and forgotten be told from those never included? Exit 0 no, 1 yes.

    A permutation test of the coins, exact under exact unlearning. The checkpoint before shows whether the canaries
    could be seen at all: where they cannot, a pass says nothing, and the exit code is 4. Canaries that the checkpoint's
    split would hold out, included or not, do not count.

    Example: `recaudit unlearn canaries --before ckpt --after ckpt-after --secret secret.json`
    """
    import json
    from dataclasses import asdict

    from ..privacy.canaries.planting import evenly, trained
    from ..privacy.canaries.secret import load
    from ..privacy.canaries.trace import statistic, test
    from ..unlearn.request import of_canaries

    target = opt.open_target(before, data)
    split = target.split
    every = load(secret, split.history.plus(split.test))
    planted = evenly(every, split)
    asked = of_canaries(trained(every, split.train))
    retained = asked.retained(split.train)
    after_model = opt.open_second(after, target, asked).model
    found = {
        name: test(statistic(model, planted, retained), planted.included)
        for name, model in (("before", target.model), ("after", after_model))
    }
    seen, left = (found[name].p <= level for name in ("before", "after"))
    if as_json:
        typer.echo(json.dumps({name: asdict(own) for name, own in found.items()} | {"trace": bool(left)}))
    else:
        for name, own in found.items():
            typer.echo(
                f"{name:<7} AUC {own.auc:.3f}, p {own.p:.4f} ({own.included} included, {own.never} never; "
                f"left {own.p_left:.4f}, over-forgotten {own.p_over:.4f})"
            )
        answer = "a trace is left" if left else "no trace found" if seen else "no trace, but none was to be seen before"
        typer.echo(answer)
    raise typer.Exit(1 if left else 0 if seen else 4)
