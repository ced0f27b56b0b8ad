"""A foreign checkpoint as a target: its model as ours, its data as it was split, and how far both are proved."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ...datasets.errors import CheckpointError
from ...datasets.log import InteractionLog
from ...datasets.read import LoadedLog
from ...datasets.split import Split
from ..base import Model, Recipe
from ..catalogue import reads_order
from ..checkpoint_files import open_regular, printable, refuse
from ..checkpoint_record import recipe_bytes
from ..evaluate import evaluate
from ..pairwise import PairwiseModel
from ..target import Origin, Target
from .archive import FILE_LIMIT
from .recbole import RecBole, read_recbole
from .recbole_data import rebuilt_split
from .recbole_models import model_of, recipe_of

_NEAR = 1e-4  # of final vectors, in lengths of the largest one; float32 sums in another order stay far below


def open_foreign(path: Path, data: LoadedLog | None, parts: Split | None = None) -> Target:
    """Read a checkpoint file of another program; nothing in it is imported or run, nothing is written.

    Args:
        path: a .pth file of RecBole.
        data: the events it was trained on: ids are numbered by their first appearance in it, and it is split as the
            checkpoint's configuration says.
        parts: what it was trained, chosen and judged on, over the users and items of the data; if given, nothing is
            split.

    Raises:
        CheckpointError: damaged, hostile, of a model we have not; of other data; or ids or split are proved wrong.
    """
    file = read_recbole(path)
    if data is None:
        raise refuse(
            path, "the data it was trained on", "none: RecBole's files hold no ids and no events",
            "give the atomic file by --data",
        )  # fmt: skip
    split = rebuilt_split(file, data) if parts is None else parts
    recipe = recipe_of(file)
    model = model_of(file, recipe, split.train)
    origin = Origin(f"RecBole, {printable(file.model)}", *proof(file, model, recipe, split))
    return Target(
        name=printable(path.stem), model=model, recipe=recipe, split=split, seed=file.whole("seed"),
        fingerprint=_fingerprint(path, recipe), stored_metrics={}, origin=origin,
    )  # fmt: skip


def _fingerprint(path: Path, recipe: Recipe) -> str:
    digest = hashlib.sha256()
    with open_regular(path, FILE_LIMIT) as (file, _):
        while block := file.read(1 << 20):
            digest.update(block)
    digest.update(recipe_bytes(recipe))
    return digest.hexdigest()


def proof(file: RecBole, model: Model, recipe: Recipe, split: Split) -> tuple[str, bool]:
    """What shows that users, items and split are the checkpoint's own, and whether anything does.

    Final vectors that the file keeps are computed again from its base tables and the training part; or, without them,
    the best validation score is measured again. A wrong split reads *too good*, since events that it was trained on
    then lie among those it is judged by: equality is the test.

    Raises:
        CheckpointError: they come out otherwise.
    """
    if file.restored is not None and isinstance(model, PairwiseModel):
        found = model.embeddings()
        apart = max(float(np.abs(own - kept[1:]).max()) for own, kept in zip(found, file.restored, strict=True))
        most = max(float(np.abs(kept).max()) for kept in file.restored)
        if apart > _NEAR * most:
            raise _mismatch(file, "final vectors", f"largest difference 0 (of {most:.3g})", f"{apart:.3g}")
        return f"ids and split verified: its final vectors come out again (largest difference {apart:.1g})", True
    metric = file.text("valid_metric")
    name, _, cutoff = metric.lower().partition("@")
    name = {"hit": "hr"}.get(name, name)
    if file.best is None or not cutoff.isdigit() or not len(split.valid):
        return "ids and split assumed: it keeps neither final vectors nor a validation score", False
    scores = evaluate(model, split.valid, split.train, (int(cutoff),), mask=consumed_before(recipe, split.train))
    value = scores.get(f"{name}@{cutoff}")
    if value is None:
        return f"ids and split assumed: its validation score {printable(metric)} is not measured here", False
    digits = file.settings.get("metric_decimal_place")
    digits = digits if isinstance(digits, int) and 0 <= digits <= 15 else 4
    if abs(value - file.best) > 0.51 * 10.0**-digits + 1e-9:
        raise _mismatch(file, f"validation {metric}", f"{file.best:.{digits}f}", f"{value:.{digits + 1}f}")
    return f"ids and split verified: its validation {metric} comes out again ({file.best:.{digits}f})", True


def consumed_before(recipe: Recipe, history: InteractionLog) -> InteractionLog:
    """What RecBole leaves out of the lists: what the user has consumed, and of models of sequences nothing."""
    return history.take(np.empty(0, np.int64)) if reads_order(recipe) else history


def _mismatch(file: RecBole, what: str, expected: str, found: str) -> CheckpointError:
    remedy = (
        "these are other data, or it was split otherwise than its configuration says: give the data file with all its "
        "rows, and its parts by `recaudit import --train --valid --test`"
    )
    return refuse(file.path, f"{what} {expected}, as stored in it", found, remedy)
