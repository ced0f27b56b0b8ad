"""A system that is no checkpoint as a target: what it shows now, and how it would be trained again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.read import LoadedLog
from ...datasets.split import Split, make_split
from ..base import Model, Recipe
from ..catalogue import build
from ..checkpoint_record import recipe_bytes
from ..ranking import rank
from ..target import Origin, Target
from .asked import Asked, Lists, read_lists

_LOOKED_AT = 100  # places of a list that its fingerprint covers


def open_lists(path: Path, data: LoadedLog, spec: str | None = None, seed: int = 0) -> Target:
    """Ranked lists from a file (`asked.read_lists`); nothing that needs a training can be audited.

    Raises:
        DataError: what the file holds are no lists of the data's users and items.
    """
    split = make_split(data, spec, seed)
    model = Lists(items=read_lists(path, split.train))
    model.n_users, model.n_items = split.train.n_users, split.train.n_items
    return _target(path.stem, model, Recipe("lists", {}), split, seed)


def open_system(
    kind: str, settings: Mapping[str, Any], data: LoadedLog, spec: str | None = None, seed: int = 0
) -> Target:
    """A system behind commands or a Python object.

    Code of the owner's runs here, and only because the owner named it. Lists are asked for once and kept: the audit is
    one of that moment.

    Args:
        kind: "commands" or "python".
        settings: of it, see `commands.CommandsConfig` and `python.PythonConfig`.
        data: what it was trained on, and is judged on.
        spec: of the split; chosen by the data if None.
        seed: of the split.

    Raises:
        InputError: it cannot be asked.
        DataError: its answers are no lists or scores.
    """
    split = make_split(data, spec, seed)
    model = build(Recipe(kind, dict(settings)))
    model.load({}, split.train.n_users, split.train.n_items)
    recipe = Recipe(kind, model.config.model_dump(mode="json"))
    if hasattr(model, "code"):  # what it runs is part of what is audited: cells of another version are not reused
        recipe = Recipe(kind, {**recipe.config, "code": model.code()})
    if isinstance(model, Asked):
        kept = Lists(items=model.lists(split.history))
        kept.n_users, kept.n_items = model.n_users, model.n_items
        return _target(kind, kept, recipe, split, seed)
    return _target(kind, model, recipe, split, seed)


def _target(name: str, model: Model, recipe: Recipe, split: Split, seed: int) -> Target:
    digest = hashlib.sha256(recipe_bytes(recipe))
    if isinstance(model, Lists):
        digest.update(np.ascontiguousarray(model.items).tobytes())
    else:
        shown = rank(model, None, split.history, min(_LOOKED_AT, split.train.n_items)).slate
        digest.update(shown.items.tobytes())
    proof = "there is no file to prove; what it was trained on, and so its utility, is its owner's word"
    return Target(
        name=name, model=model, recipe=recipe, split=split, seed=seed, fingerprint=digest.hexdigest(),
        stored_metrics={}, origin=Origin(f"black box, {model.title.lower()}", proof, None),
    )  # fmt: skip
