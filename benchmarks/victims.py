"""The victims of the benchmarks of attacks and defences: data, splits, targets, and a checkpoint trained once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recaudit.audit.statistics import interval
from recaudit.cli.train import train_and_save
from recaudit.datasets.demo import load_demo
from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import read_log
from recaudit.datasets.split import make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, model_class
from recaudit.recommenders.checkpoint import open_checkpoint
from recaudit.recommenders.target import Target

# folder, split for models without and with order, published targets
DATA: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "automotive": ("legup-automotive", "given", "given", ("119", "422", "594", "884", "1593")),
    "movielens-100k": ("movielens-100k", "ratio:0.8,0.1,0.1", "leave-last-out", ("62", "785", "1077", "1257", "1419")),
    "movielens-1m": ("movielens-1m-implicit", "ratio:0.8,0.1,0.1", "ratio:0.8,0.1,0.1", ()),
    "gowalla": ("gowalla", "given", "given", ()),
    "movietweetings": ("movietweetings-100k", "ratio:0.8,0.1,0.1", "leave-last-out", ()),
    "beauty": ("amazon-beauty-seq", "ratio:0.8,0.1,0.1", "leave-last-out", ()),
    "embedded": ("", "leave-last-out", "leave-last-out", ()),
}


def add_options(parser: argparse.ArgumentParser, sizes: str) -> None:
    """Which victim, where its data and cells are, how many cells at a time."""
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--data", choices=DATA, default="automotive")
    parser.add_argument("--model", default="lightgcn")
    parser.add_argument("--recipe", default="", help="fields of the victim's recipe, name=value with commas between")
    parser.add_argument("--sizes", default=sizes, help="attack sizes, with commas between")
    parser.add_argument("--jobs", type=int, default=None, help="cells at a time; a core each if not given")


def prepared(options: argparse.Namespace) -> tuple[Target, Path]:
    """The victim that was asked for, trained now if its folder has none, and that folder."""
    if options.work is None:
        raise SystemExit("--work DIR: where cells are kept")
    folder, plain, ordered, _ = DATA[options.data]
    work: Path = options.work / options.data / options.model
    try:
        found = open_checkpoint(work / "checkpoint")
        asked = build(Recipe(options.model, fields(options.recipe))).config.model_dump(mode="json")
        other = [name for name in fields(options.recipe) if found.recipe.config[name] != asked[name]]
        if other:
            raise SystemExit(f"{work} holds a checkpoint with another {', '.join(other)}; give another --work")
        return found, work
    except CheckpointError:
        log = read_log(options.shared / "data" / folder) if folder else load_demo()
        spec = ordered if model_class(options.model).family == "sequential" else plain
        recipe = Recipe(options.model, fields(options.recipe))
        train_and_save(work / "checkpoint", recipe, make_split(log, spec, 0), 0, overwrite=True)
        return open_checkpoint(work / "checkpoint"), work


def fields(text: str, between: str = ",") -> dict[str, Any]:
    """`a=1,b=2` as settings; values stay text, which pydantic reads."""
    return dict(pair.split("=") for pair in text.split(between) if pair)


def shown(values: Sequence[float], clusters: Sequence[str], digits: int) -> str:
    """Mean and 95 % interval over targets."""
    mean = f"{round(float(np.mean(values)), digits) + 0.0:+.{digits}f}" if len(values) else ""
    found = interval(list(values), list(clusters), 0.95)
    if found is None:
        return mean
    low, high = (round(value, digits) + 0.0 for value in found)
    return f"{mean} [{low:+.{digits}f}, {high:+.{digits}f}]"
