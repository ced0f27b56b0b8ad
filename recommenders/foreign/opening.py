"""A foreign checkpoint as a target: its model as ours, its data as it was split, and how far both are proved."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ...datasets.errors import CheckpointError
from ...datasets.log import InteractionLog
from ...datasets.read import LoadedLog
from ...datasets.split import Split, make_split
from ..base import Model, Recipe
from ..catalogue import reads_order
from ..checkpoint_files import open_regular, printable, refuse
from ..checkpoint_record import recipe_bytes
from ..evaluate import evaluate
from ..pairwise import PairwiseModel
from ..target import Origin, Target
from . import bare, recbole_models, sasrec_pytorch
from .archive import FILE_LIMIT, is_archive, open_archive
from .inert import read_torch
from .recbole import RecBole, is_recbole, recbole_of
from .recbole_data import rebuilt_split
from .recipe import OwnersRecipe
from .tensors import arrays

_DIGITS, _ABOVE = 3, 0.01  # decimals of a score, and the score, below which any numbering might give it
_NEAR = 1e-4  # of final vectors, in lengths of the largest one; float32 sums in another order stay far below


def is_foreign(path: Path) -> bool:
    """Whether it is a file of another program, by its first bytes or, of safetensors, by its name."""
    return is_archive(path) or (path.suffix == ".safetensors" and path.is_file())


def open_foreign(
    path: Path, data: LoadedLog | None, parts: Split | None = None, owner: OwnersRecipe | None = None
) -> Target:
    """Read a checkpoint file of another program; nothing in it is imported or run, nothing is written.

    Args:
        path: a .pth file of RecBole, or bare tensors of torch.save or safetensors (`bare.recognised`).
        data: the events it was trained on: ids are numbered by them, and RecBole's are split as its configuration says.
        parts: what it was trained, chosen and judged on, over the users and items of the data; if given, nothing is
            split.
        owner: what bare tensors do not say.

    Raises:
        CheckpointError: damaged, hostile, of a model we have not; of other data; ids or split are proved wrong; or
            something is needed that only its owner can say.
    """
    if data is None:
        raise refuse(
            path, "the data it was trained on", "none: such files hold no ids and no events", "give them by --data"
        )  # fmt: skip
    if path.suffix == ".safetensors":
        return _bare(path, _safetensors(path), data, parts, owner or OwnersRecipe())
    with open_archive(path) as archive:
        content = read_torch(archive)
        if not is_recbole(content):
            return _bare(path, arrays(archive, _state(content), "state dict"), data, parts, owner or OwnersRecipe())
        file = recbole_of(archive, content)
    if owner is not None:
        raise refuse(path, "no recipe: RecBole's files hold their own", "one", "leave --recipe out")
    split = rebuilt_split(file, data) if parts is None else parts
    recipe = recbole_models.recipe_of(file)
    model = recbole_models.model_of(file, recipe, split.train)
    origin = Origin(f"RecBole, {printable(file.model)}", *proof(file, model, recipe, split))
    return _target(path, model, recipe, split, file.whole("seed"), origin)


def _bare(path: Path, state: bare.Arrays, data: LoadedLog, parts: Split | None, owner: OwnersRecipe) -> Target:
    split = _split(data, owner) if parts is None else parts
    if sasrec_pytorch.is_sasrec(state):
        return _sasrec(path, state, split, owner)
    tables = bare.recognised(path, state, data.log.n_users)
    recipe = bare.recipe_of(path, tables, owner)
    model = bare.model_of(path, tables, owner, recipe, split.train)
    origin = Origin(tables.format, *_claimed(path, model, split, owner))
    return _target(path, model, recipe, split, owner.seed, origin)


def _sasrec(path: Path, state: bare.Arrays, split: Split, owner: OwnersRecipe) -> Target:
    """A target of the way to compute under which its owner's metrics come out, if there is more than one."""
    found, last = [], None
    recipes = sasrec_pytorch.recipes_of(path, state, owner, split.train)
    for recipe in recipes:
        model = sasrec_pytorch.model_of(path, state, owner, recipe, split.train)
        try:
            found.append((recipe, model, _claimed(path, model, split, owner)))
        except CheckpointError as error:
            last = error
    if not found:
        assert last is not None
        raise last
    if len(found) > 1:
        raise sasrec_pytorch.undecided(path)
    (recipe, model, told), *_ = found
    return _target(path, model, recipe, split, owner.seed, Origin(sasrec_pytorch.FORMAT, *told))


def _claimed(path: Path, model: Model, split: Split, owner: OwnersRecipe) -> tuple[str, bool]:
    """What its owner's metrics prove; see `bare.claimed`."""
    cutoffs = sorted({int(name.rpartition("@")[2]) for name in owner.metrics if name.rpartition("@")[2].isdigit()})
    history = split.history
    mask = history.take(np.empty(0, np.int64)) if owner.consumed else history
    now = evaluate(model, split.test, history, cutoffs, mask=mask) if cutoffs else {}
    return bare.claimed(path, owner, now)


def _target(path: Path, model: Model, recipe: Recipe, split: Split, seed: int, origin: Origin) -> Target:
    return Target(
        name=printable(path.name.partition(".")[0]), model=model, recipe=recipe, split=split, seed=seed,
        fingerprint=_fingerprint(path, recipe), stored_metrics={}, origin=origin,
    )  # fmt: skip


def _split(data: LoadedLog, owner: OwnersRecipe) -> Split:
    """The data's own parts, without holding anything more out of the training part; else as its owner says."""
    if owner.split is None and {"train", "test"} <= set(data.parts) and "valid" not in data.parts:
        train = data.parts["train"]
        return Split(train, train.take(np.empty(0, np.int64)), data.parts["test"], "given")
    return make_split(data, owner.split, owner.seed)


def _state(content: Any) -> Any:
    """The state dict in what torch.save was given: the whole of it, or an entry with a usual name."""
    if isinstance(content, dict):
        for name in ("state_dict", "model_state_dict", "model"):
            if isinstance(content.get(name), dict):
                return content[name]
    return content


def _safetensors(path: Path) -> bare.Arrays:
    """Tensors of a safetensors file, as float32."""
    with open_regular(path, FILE_LIMIT):
        pass  # no link, no device, no pipe
    try:
        with safe_open(path, framework="pt") as file:
            found = {name: file.get_tensor(name).float().numpy() for name in file.keys()}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise refuse(path, "a safetensors file", error) from None
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise refuse(
                path, f"finite numbers in {printable(name)}", "NaN or infinite values", "give an earlier epoch"
            )
    return found


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
    if file.restored is not None and isinstance(model, PairwiseModel) and not recbole_models.adapter_of(file).draws:
        found = model.embeddings()
        for own, kept in zip(found, file.restored, strict=True):
            if kept.shape != (len(own) + 1, own.shape[1]):
                raise _mismatch(file, "final vectors", f"of shape {(len(own) + 1, own.shape[1])}", f"{kept.shape}")
        apart = max(float(np.abs(own - kept[1:]).max()) for own, kept in zip(found, file.restored, strict=True))
        most = max(float(np.abs(kept).max()) for kept in file.restored)
        if not apart <= _NEAR * most:
            raise _mismatch(file, "final vectors", f"largest difference 0 (of {most:.3g})", f"{apart:.3g}")
        return (
            f"ids and training part verified: its final vectors come out again (largest difference {apart:.1g})",
            True,
        )
    metric = file.text("valid_metric")
    name, _, cutoff = metric.lower().partition("@")
    name = {"hit": "hr"}.get(name, name)
    known = re.fullmatch(r"[1-9][0-9]{0,3}", cutoff) is not None and int(cutoff) <= split.train.n_items
    if file.best is None or not known or not len(split.valid):
        return "ids and split assumed: it keeps neither final vectors nor a validation score", False
    scores = evaluate(model, split.valid, split.train, (int(cutoff),), mask=consumed_before(recipe, split.train))
    value = scores.get(f"{name}@{cutoff}")
    if value is None:
        return f"ids and split assumed: its validation score {printable(metric)} is not measured here", False
    digits = file.settings.get("metric_decimal_place")
    digits = digits if type(digits) is int and 0 <= digits <= 15 else 4
    if digits < _DIGITS or not file.best > _ABOVE:
        return f"ids and split assumed: its validation score {file.best:.{digits}f} is too coarse to prove them", False
    if not abs(value - file.best) <= 0.51 * 10.0**-digits + 1e-9:
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
