"""`recaudit import`: another program's checkpoint, written once as one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options as opt

if TYPE_CHECKING:
    from ..datasets.log import InteractionLog
    from ..datasets.read import LoadedLog
    from ..datasets.split import Split


def import_(
    model: Annotated[Path, typer.Option(help="A .pth file of RecBole, or bare tensors of torch.save or safetensors.")],
    data: Annotated[Path, typer.Option(help="The data it was trained on, whole: ids are numbered by it.")],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
    train: Annotated[Path | None, typer.Option(help="Its training events, if it is not to be split again.")] = None,
    valid: Annotated[Path | None, typer.Option(help="Its validation events.")] = None,
    test: Annotated[Path | None, typer.Option(help="Its test events.")] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="YAML: what bare tensors do not say (model, settings, epochs, ids, metrics).")
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace a checkpoint that is there.")] = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Bring a checkpoint of another program; nothing in it is imported or run.

    RecBole's: ids are recovered from the data, the split from its configuration or from files, and both are proved by
    what the file keeps. All commands also take such a file as `--model FILE --data DATA`. Bare tensors of
    LightGCN-PyTorch, SSLRec, torch-geometric and RecBole are recognised by their names; what they do not say stands in
    a recipe, metrics that prove the rest among it.

    Examples:
    `recaudit import --model LightGCN.pth --data ml-100k.inter --out ckpt`

    `recaudit import --model lgn-gowalla-3-64.pth.tar --data gowalla --recipe recipe.yaml --out ckpt`
    """
    from ..datasets.errors import InputError
    from ..datasets.read import read_log
    from ..recommenders.checkpoint import check_destination, save_checkpoint
    from ..recommenders.evaluate import evaluate
    from ..recommenders.foreign.opening import open_foreign
    from ..recommenders.foreign.recipe import read_recipe

    check_destination(out, overwrite=overwrite)
    loaded = read_log(data)
    parts = None
    if train is not None or valid is not None or test is not None:
        if train is None or test is None:
            raise InputError("--train and --test go together (and --valid, if there was one)")
        parts = _parts(loaded, train, valid, test)
    target = open_foreign(model, loaded, parts, None if recipe is None else read_recipe(recipe))
    metrics = evaluate(target.model, target.split.test, target.split.history, cutoffs=(10, 20))
    save_checkpoint(
        out, target.model, target.recipe, target.split, target.seed, metrics, overwrite=overwrite,
        origin=target.origin,
    )  # fmt: skip
    assert target.origin is not None
    typer.echo(f"{out}: {target.origin.format}; {target.origin.proof}; ndcg@20 {metrics['ndcg@20']:.4f}")


def _parts(loaded: LoadedLog, train: Path, valid: Path | None, test: Path) -> Split:
    """The parts of these files, over the users and items of the data."""
    import numpy as np

    from ..datasets.split import Split

    none = loaded.log.take(np.empty(0, np.int64))
    return Split(_part(loaded, train), none if valid is None else _part(loaded, valid), _part(loaded, test), "given")


def _part(loaded: LoadedLog, path: Path) -> InteractionLog:
    from dataclasses import replace

    import numpy as np

    from ..datasets.read import read_log
    from .tables import rows_of

    part, log = read_log(path).log, loaded.log
    user = rows_of(part.user_ids, log.user_ids, path, "user")[part.user]
    item = rows_of(part.item_ids, log.item_ids, path, "item")[part.item]
    return replace(log, user=user.astype(np.int32), item=item.astype(np.int32), value=part.value, time=part.time)
