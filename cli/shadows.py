"""`recaudit unlearn attack`: what an attacker could tell who knows the method that forgets (U-LiRA)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..recommenders.target import Target
    from ..unlearn.verify.lira import LiraResult


def attack(
    model: opt.Checkpoint,
    method: Annotated[str, typer.Option(help="The unlearner in use, see `recaudit list unlearners`.")],
    request: Annotated[Path, typer.Option("--request", help="What is to be forgotten, .csv or .jsonl.")],
    out: Annotated[Path, typer.Option(help="Folder for the shadows, so that a killed run goes on.")] = Path(
        "recaudit-unlearning"
    ),
    data: opt.Data = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of the unlearner, name=value (repeatable).")
    ] = None,
    shadows: Annotated[int, typer.Option(min=3, help="Models made to forget, and as many that never knew.")] = 8,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    seed: opt.Seed = 0,
    jobs: opt.Jobs = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """U-LiRA: can one who knows the method tell single forgotten pairs from pairs that were never trained on?

    Trains shadows by the checkpoint's recipe, half of them made to forget the request, half without it, and attacks
    each in turn by the others. AUC .5: nothing can be told. Retained pairs of the same users come along: what the
    method does to them.

    Example: `recaudit unlearn attack --model ckpt --method influence --request gone.csv`
    """
    import json

    from ..audit.files import write_whole
    from ..audit.store import Store
    from ..unlearn.reading import read_requests
    from ..unlearn.request import pooled
    from ..unlearn.shadow import shadows as made
    from ..unlearn.verify.lira import lira
    from .progress import progress
    from .train import parse_settings

    target: Target = opt.open_target(model, data)
    split = target.split
    asked = pooled(split.train, read_requests(request, split.train, split.valid.plus(split.test)), request.name)
    asked.check_trained()
    with progress("shadows", quiet) as step:
        found = made(
            target, method, asked, Store(out / "cells"), shadows, settings=parse_settings(settings or []), seed=seed,
            jobs=jobs, progress=step,
        )  # fmt: skip
    sides = {"forgotten": (found.unlearned, found.never), "retained": (found.retained_unlearned, found.retained_never)}
    judged = {
        name: lira(*scores, confidence=confidence) for name, scores in sides.items() if scores[0].shape[1]
    }  # users who are forgotten whole retain nothing
    answer = {name: _record(own) for name, own in judged.items()}
    text = json.dumps({"method": method, "shadows": shadows, "events": len(asked), "pairs": answer}, indent=1)
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "attack.json", text.encode())
    if as_json:
        typer.echo(text)
        return
    typer.echo(f"{'pairs':<10} {'AUC':<22} TPR at 1 % FPR")
    for name, own in judged.items():
        auc = f"{own.auc:.3f} [{own.interval[0]:.3f}, {own.interval[1]:.3f}]"
        typer.echo(f"{name:<10} {auc:<22} {own.tpr:.3f} [{own.tpr_interval[0]:.3f}, {own.tpr_interval[1]:.3f}]")
    low, high = judged["forgotten"].interval
    told = low > 0.5 or high < 0.5
    typer.echo(
        f"\nForgotten pairs {'can be told' if told else 'were not told'} from pairs never trained on, by {shadows} "
        "shadows of either kind."
    )


def _record(own: LiraResult) -> dict[str, float | list[float]]:
    return {
        "auc": own.auc, "interval": list(own.interval), "tpr_at_fpr_01": own.tpr,
        "tpr_interval": list(own.tpr_interval),
    }  # fmt: skip
