"""`recaudit demo`: the whole product on real, embedded data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from . import options as opt

# On one-film-a-user test data of half a year popularity is hard to beat: LightGCN needs its published loss and an L2 of
# 0.01 (chosen on the validation part; docs/decisions/0004).
PUBLISHED = {"loss": "bpr", "batch_size": 8192, "learning_rate": 0.02, "l2": 0.01, "max_epochs": 120, "patience": 40}
# Eight epochs give SASRec nearly all of its quality at half of the seconds of a refit.
MODELS: dict[str, dict[str, Any]] = {"lightgcn": PUBLISHED | {"every": 5}, "sasrec": {"max_epochs": 8}}


def demo(
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, evidence and reports.")] = Path("recaudit-demo"),
    jobs: opt.Jobs = None,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train a graph and a sequential recommender on embedded real data and audit both.

    Uses MovieTweetings 2013 (2,059 users, 1,099 films). Interrupted, the same command goes on.

    Example: `recaudit demo`
    """
    from ..datasets.demo import load_demo
    from ..datasets.errors import CheckpointError
    from ..datasets.split import make_split
    from ..recommenders.base import Recipe
    from ..recommenders.checkpoint import open_checkpoint
    from ..reports.index import write_index
    from .run import audit_into, prepare, show
    from .train import train_and_save

    split = make_split(load_demo(), "leave-last-out", seed)
    runs = {}
    for name, settings in MODELS.items():
        checkpoint = out / "checkpoints" / name
        try:
            target = open_checkpoint(checkpoint)
        except CheckpointError:
            metrics = train_and_save(checkpoint, Recipe(name, settings), split, seed, overwrite=True, quiet=quiet)
            typer.echo(f"{name}: trained, test HR@10 {metrics['hr@10']:.3f}, NDCG@20 {metrics['ndcg@20']:.3f}")
            target = open_checkpoint(checkpoint)
        policy, probes, protocol = prepare(None, "quick", seed, [])
        folder = out / name
        record = audit_into(target, policy, probes, protocol, folder, jobs=jobs, backend="loky", quiet=quiet)
        show(record, folder, quiet)
        runs[name] = (record, folder)
    typer.echo(f"both reports: {write_index(out, list(runs.values()))}")
