"""`recaudit train`: a victim from data, saved as a checkpoint that can be audited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options as opt
from .progress import progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..datasets.log import InteractionLog
    from ..datasets.split import Split


def train(
    model: Annotated[str, typer.Option(help="Model name, see `recaudit list models`.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Data file or folder in any known layout; the embedded MovieTweetings if not given."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyper-parameter, key=value (repeatable): --set dim=32.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="leave-last-out, temporal:0.8,0.1,0.1, ratio:0.8,0.1,0.1 or given; chosen by the data if not given."
        ),
    ] = None,
    min_rating: Annotated[float | None, typer.Option(help="Keep only ratings at or above this.")] = None,
    k_core: Annotated[int, typer.Option(min=0, help="Drop users and items with fewer events, repeatedly.")] = 0,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Exactly so many epochs; early stopping on the validation part if not given."),
    ] = None,
    user_weights: Annotated[
        Path | None,
        typer.Option(help="CSV with columns user, weight: a weight per user in the loss, 1 if not listed."),
    ] = None,
    with_data: Annotated[
        bool,
        typer.Option(
            "--with-data/--without-data",
            help="Store the events in the checkpoint, so that `run` needs no --data.",
        ),
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a checkpoint that is there.")] = False,
    device: Annotated[str, typer.Option(help="torch device: cpu, cuda.")] = "cpu",
    allow_sending: opt.AllowSending = False,
    seed: opt.Seed = 0,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Train a recommender and save it as a checkpoint.

    Examples:
    `recaudit train --model lightgcn --out ckpt` (embedded data)

    `recaudit train --model sasrec --data ratings.csv --split leave-last-out --out ckpt`
    """
    from ..datasets.read import read_log
    from ..recommenders.base import Recipe
    from ..recommenders.catalogue import build
    from ..recommenders.checkpoint import check_destination

    # whatever can be wrong with the options is said before data are read and a model is trained
    recipe = Recipe(model, parse_settings(settings or []), epochs)
    build(recipe)
    check_destination(out, overwrite=overwrite)
    loaded = read_log(data) if data is not None else _demo()
    if not quiet:
        typer.echo(f"data: {loaded.layout}", err=True)
        for note in loaded.notes:
            typer.echo(f"  {note}", err=True)
    parts = split_of(loaded, split, seed, min_rating=min_rating, k_core=k_core)
    weights = None if user_weights is None else read_weights(user_weights, parts.train)
    metrics = train_and_save(out, recipe, parts, seed, weights, with_data, overwrite, device, quiet)
    typer.echo(f"{model}: ndcg@20 {metrics['ndcg@20']:.4f} on the test part; checkpoint: {out}")


def _demo() -> Any:
    from ..datasets.demo import load_demo

    return load_demo()


def split_of(loaded: Any, spec: str | None, seed: int, *, min_rating: float | None, k_core: int) -> Split:
    """Filter a loaded log and split it."""
    from dataclasses import replace

    from ..datasets import filters
    from ..datasets.errors import InputError
    from ..datasets.split import make_split

    if (min_rating is not None or k_core) and loaded.parts:
        raise InputError("--min-rating and --k-core would change given train and test parts; filter the files instead")
    log = loaded.log
    if min_rating is not None:
        log = filters.min_rating(log, min_rating)
    if k_core:
        log = filters.k_core(log, users=k_core, items=k_core)
    return make_split(replace(loaded, log=log), spec, seed)


def train_and_save(
    out: Path,
    recipe: Any,
    parts: Split,
    seed: int,
    weights: NDArray[np.float32] | None = None,
    with_data: bool = True,
    overwrite: bool = False,
    device: str = "cpu",
    quiet: bool = False,
) -> dict[str, float]:
    """Fit by early stopping (or exactly recipe.epochs), measure on the test part, save; returns the metrics."""
    import time

    from ..recommenders.base import Recipe
    from ..recommenders.catalogue import build
    from ..recommenders.checkpoint import save_checkpoint
    from ..recommenders.evaluate import evaluate

    model = build(recipe)
    started = time.process_time()
    with progress(f"training {recipe.model}", quiet) as step:
        model.fit(
            parts.train, seed, valid=parts if recipe.epochs is None and len(parts.valid) else None,
            weights=weights, epochs=recipe.epochs, report=step, device=device,
        )  # fmt: skip
    seconds = time.process_time() - started
    metrics = evaluate(model, parts.test, parts.history, cutoffs=(10, 20))
    final = Recipe(recipe.model, model.config.model_dump(mode="json"), model.epochs)
    save_checkpoint(
        out,
        model,
        final,
        parts,
        seed,
        metrics,
        include_data=with_data,
        overwrite=overwrite,
        fit_seconds=seconds,
    )
    return metrics


def parse_settings(settings: list[str]) -> dict[str, Any]:
    """key=value texts as YAML scalars."""
    import yaml

    from ..datasets.errors import InputError

    found: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"--set {text!r} is not key=value, for example --set dim=32")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise InputError(f"--set {text!r}: the value is no number, word or list") from None
    return found


def read_weights(path: Path, log: InteractionLog) -> NDArray[np.float32]:
    """User weights float32 [U] from a CSV with columns user, weight."""
    import numpy as np

    from ..datasets.errors import InputError
    from .tables import read_columns, rows_of

    user, weight = read_columns(path, ("user", "weight"))
    weights = np.ones(log.n_users, np.float32)
    try:
        values = weight.astype(np.float32)
    except ValueError:
        raise InputError(f"{path}: column weight holds text that is no number") from None
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError(f"{path}: column weight holds negative, NaN or infinite values; use numbers >= 0")
    weights[rows_of(user, log.user_ids, path, "user")] = values
    return weights
