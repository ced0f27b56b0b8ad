"""Checkpoints: a folder of safetensors, JSON and CSV that is verified whole and can run no code."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .. import __version__
from ..datasets.errors import InputError, RecauditError
from ..datasets.split import Split
from .base import Model, Recipe
from .catalogue import build, model_class
from .checkpoint_data import PARTS, encode_events, encode_ids, encode_table, match_split, read_ids, read_split
from .checkpoint_files import check_hash, printable, refuse, sha256
from .checkpoint_folder import check_destination, check_entries, check_folder, write_folder
from .checkpoint_record import (
    EVENTS,
    FORMAT,
    IDS,
    RECORD,
    WEIGHTS,
    OriginRecord,
    PartRecord,
    RecipeRecord,
    Record,
    SplitRecord,
    read_record,
    recipe_bytes,
)
from .checkpoint_tensors import encode_tensors, read_tensors
from .evaluate import evaluate
from .target import Origin, Target

if TYPE_CHECKING:
    from ..datasets.read import LoadedLog

__all__ = ["agree", "check_destination", "open_checkpoint", "reproduce", "save_checkpoint"]

TOLERANCE = 1e-6
LIBRARIES = ("torch", "torch-geometric", "numpy", "scipy", "pandas", "safetensors")
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.uint8: "U8",
}


def save_checkpoint(
    path: Path,
    model: Model,
    recipe: Recipe,
    split: Split,
    seed: int,
    metrics: Mapping[str, float],
    *,
    include_data: bool = True,
    overwrite: bool = False,
    fit_seconds: float | None = None,
    origin: Origin | None = None,
) -> None:
    """Write a fitted model with what it was trained and judged on; all of it or nothing.

    The folder is opened and verified before it gets its name, so what is written can be read.

    Args:
        path: the folder to make.
        model: the fitted model.
        recipe: how it was built; its epochs, or the model's where they are None, are what refits repeat.
        split: its train, validation and test events.
        seed: what it was fitted with.
        metrics: what it reached on the test part, by the names `evaluate` gives ("ndcg@20").
        include_data: store events and side tables; without them opening needs the data. Ids are always stored.
        overwrite: replace a checkpoint that is there (never anything else).
        fit_seconds: CPU seconds of the training.
        origin: where the model comes from if recaudit did not train it.

    Raises:
        InputError: model, recipe and split do not belong together, or something must not be replaced.
        UnfinishedError: a full disk or the like; what was there before is untouched.
    """
    check_destination(path, overwrite=overwrite)
    train = split.train
    if model_class(recipe.model) is not type(model):
        raise InputError(f"the recipe is one of {recipe.model!r}, the model a {type(model).__name__}")
    if (model.n_users, model.n_items) != (train.n_users, train.n_items):
        raise InputError(
            f"the model is fitted on {model.n_users:,} users and {model.n_items:,} items, "
            f"the split has {train.n_users:,} and {train.n_items:,}; save it with its own split"
        )
    files = {WEIGHTS: _encode_weights(model), IDS: encode_ids(train)}
    columns = {}
    if include_data:
        files[EVENTS] = encode_events(split)
        for name, table in (("users.csv", train.users), ("items.csv", train.items)):
            if table is not None and len(table.columns):
                files[name] = encode_table(name, table)
                columns[name] = [str(column) for column in table.columns]
    parts = {part: _part(split, part) for part in PARTS}
    try:
        record = Record(
            format_version=FORMAT,
            name=path.resolve().name,
            recipe=RecipeRecord(
                model=recipe.model,
                config=model.config.model_dump(mode="json"),
                epochs=model.epochs if recipe.epochs is None else recipe.epochs,
            ),
            seed=seed,
            split=SplitRecord(recipe=split.recipe, **parts),
            users=train.n_users,
            items=train.n_items,
            metrics={name: float(value) for name, value in metrics.items()},
            fit_seconds=fit_seconds,
            versions=_versions(),
            columns=columns,
            files={name: sha256(content) for name, content in files.items()},
            origin=None if origin is None else OriginRecord(**asdict(origin)),
            digest="",
        ).sealed()
    except ValueError as error:
        raise InputError(f"this cannot be saved as a checkpoint: {printable(error, 400)}") from None
    given = None if include_data else split
    write_folder(path, {**files, RECORD: record.encode()}, overwrite, check=lambda folder: _open(folder, given))


def _part(split: Split, name: str) -> PartRecord:
    log = getattr(split, name)
    return PartRecord(events=len(log), fingerprint=log.fingerprint)


def _versions() -> dict[str, str]:
    found = {"recaudit": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _encode_weights(model: Model) -> bytes:
    state = {name: tensor.detach().cpu() for name, tensor in model.state().items()}
    for name, tensor in state.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"tensor {name!r} of the model holds NaN or infinite values; the training diverged")
    return encode_tensors({name: tensor.numpy() for name, tensor in state.items()})


def open_checkpoint(path: Path, data: LoadedLog | Split | None = None) -> Target:
    """Read and verify a checkpoint folder; nothing in it is unpickled, imported or run, and nothing is written.

    Args:
        path: the folder.
        data: the data it was trained on: needed if they are not stored, else compared with what is.

    Raises:
        CheckpointError: damaged, truncated, hostile, of another format or version, or not of this data. One line:
            the file, what was expected, what came, how to mend.
    """
    path = Path(path)
    check_folder(path)
    return _open(path, data)


def _open(folder: Path, data: LoadedLog | Split | None) -> Target:
    record = read_record(folder)
    check_entries(folder, record.files)
    recipe = Recipe(record.recipe.model, record.recipe.config, record.recipe.epochs)
    try:
        model = build(recipe)
    except InputError as error:
        raise refuse(
            folder / RECORD,
            "a model and settings that this recaudit has",
            error,
            "upgrade recaudit, or install the package that adds the model",
        ) from None
    ids = read_ids(folder, record)
    state, fingerprint = _read_weights(folder, record, recipe, model)
    if EVENTS in record.files:
        split = read_split(folder, record, *ids)
        if data is not None:
            split = match_split(folder, record, ids, data)
    elif data is not None:
        split = match_split(folder, record, ids, data)
    else:
        raise refuse(folder, "its data", f"no {EVENTS}: saved without data", "give the data it was trained on (--data)")
    try:
        model.load(state, record.users, record.items)
    except (RecauditError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise refuse(folder / WEIGHTS, f"tensors that make a {recipe.model} model", error) from None
    return Target(
        name=printable(folder.resolve().name) or record.name,
        model=model,
        recipe=recipe,
        split=split,
        seed=record.seed,
        fingerprint=fingerprint,
        stored_metrics=dict(record.metrics),
        fit_seconds=record.fit_seconds,
        origin=None if record.origin is None else Origin(**record.origin.model_dump()),
    )


def _read_weights(folder: Path, record: Record, recipe: Recipe, model: Model) -> tuple[dict[str, torch.Tensor], str]:
    """The tensors, and the model's fingerprint: SHA-256 over the bytes of the file and the recipe."""
    path = folder / WEIGHTS
    shapes = model.shapes(record.users, record.items)
    expected = {name: (shape, _DTYPES[dtype]) for name, (shape, dtype) in shapes.items()}
    arrays, digest = read_tensors(path, expected)
    check_hash(path, record.files[WEIGHTS], digest.hexdigest())
    digest.update(recipe_bytes(recipe))
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, digest.hexdigest()


def reproduce(target: Target) -> dict[str, tuple[float, float]]:
    """The metrics that the checkpoint claims and the same ones computed now: name -> (stored, now).

    `now` is NaN for a stored metric that is not measured any more. Empty if nothing is stored; see `agree`.

    Raises:
        InputError: the test part holds nothing to measure.
    """
    stored = target.stored_metrics
    if not stored:
        return {}
    cutoffs = sorted({int(name.rpartition("@")[2]) for name in stored})
    now = evaluate(target.model, target.split.test, target.split.history, cutoffs=cutoffs)
    return {name: (value, now.get(name, math.nan)) for name, value in stored.items()}


def agree(pairs: Mapping[str, tuple[float, float]], tolerance: float = TOLERANCE) -> bool:
    """Does every metric of `reproduce` come out again? False if there is none."""
    return bool(pairs) and all(abs(stored - now) <= tolerance for stored, now in pairs.values())
