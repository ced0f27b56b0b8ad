"""Bare tables of users and items, recognised by their names: LightGCN-PyTorch, SSLRec, torch-geometric, RecBole's."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.log import Int64, InteractionLog, Text
from ..base import Model, Recipe
from ..catalogue import build
from ..checkpoint_files import printable, refuse
from ..pairwise import PairwiseModel
from .recipe import OwnersRecipe, needed

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Tables:
    """Tables of a file and what its program is known for.

    Attributes:
        format: of the file, for people.
        user: [U + padding, d].
        item: [I + padding, d].
        model: the name of ours that it must be, or None if several programs name their tensors so.
        layers: propagations, where the file or its name says it.
        padding: rows before the first user and item.
        ids: how rows are numbered, see `OwnersRecipe`.
    """

    format: str
    user: NDArray[Any]
    item: NDArray[Any]
    model: str | None
    layers: int | None = None
    padding: int = 0
    ids: str = "numbers"


def recognised(path: Path, state: Arrays, n_users: int) -> Tables:
    """The tables among some tensors.

    Args:
        path: of the file; LightGCN-PyTorch writes the number of layers into its name.
        state: tensors by name.
        n_users: of the data: torch-geometric keeps users and items in one table and does not say where users end.

    Raises:
        CheckpointError: other tensors, or layers that do not count alike.
    """
    names = set(state)
    if {"embedding_user.weight", "embedding_item.weight"} <= names:
        found = re.fullmatch(r"lgn-.+-(\d{1,2})-(\d{1,4})\.pth(?:\.tar)?", path.name)
        layers = None if found is None else int(found[1])
        return Tables("LightGCN-PyTorch", *_pair(path, state, "embedding_{}.weight"), "lightgcn", layers)
    if {"user_embeds", "item_embeds"} <= names:
        return Tables("SSLRec", *_pair(path, state, "{}_embeds"), None)
    if {"user_embedding.weight", "item_embedding.weight"} <= names:
        pair = _pair(path, state, "{}_embedding.weight")
        return Tables("RecBole, without its configuration", *pair, None, padding=1, ids="appearance")
    if {"alpha", "embedding.weight"} <= names:
        return _geometric(path, state, n_users)
    known = "LightGCN-PyTorch, SSLRec, SASRec.pytorch, torch-geometric's LightGCN or RecBole"
    found_names = ", ".join(printable(name, 40) for name in sorted(names)[:4])
    raise refuse(path, f"tensors as {known} name them", found_names, "audit it as a black box (docs/foreign.md)")


def _pair(path: Path, state: Arrays, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    user, item = (_matrix(path, state, name.format(side)) for side in ("user", "item"))
    if user.shape[1] != item.shape[1]:
        raise refuse(path, "users and items of one width", f"{user.shape[1]} and {item.shape[1]}")
    return user, item


def _matrix(path: Path, state: Arrays, name: str) -> NDArray[Any]:
    found = state[name]
    if found.ndim != 2 or found.dtype.kind != "f" or 0 in found.shape:
        raise refuse(path, f"a table of numbers as {name}", f"shape {found.shape}, {found.dtype}")
    return found


def _geometric(path: Path, state: Arrays, n_users: int) -> Tables:
    table, alpha = _matrix(path, state, "embedding.weight"), state["alpha"]
    if alpha.ndim != 1 or not len(alpha) or not np.allclose(alpha, alpha[0], rtol=1e-4) or alpha[0] <= 0:
        remedy = "audit it as a black box (docs/foreign.md)"
        raise refuse(path, "layers that count alike (alpha)", "layers with weights of their own", remedy)
    if not 0 < n_users < len(table):
        raise refuse(
            path, f"a table of more rows than the data's {n_users:,} users", f"{len(table):,}", "give its data"
        )
    return Tables(
        "torch-geometric, LightGCN", table[:n_users], table[n_users:], "lightgcn", len(alpha) - 1, ids="appearance"
    )  # fmt: skip


def recipe_of(path: Path, tables: Tables, owner: OwnersRecipe) -> Recipe:
    """How to train such a model again.

    Raises:
        CheckpointError: something that neither the file nor its owner says.
        InputError: settings that the model does not have.
    """
    name = owner.model or tables.model
    if name is None:
        why = "several models share with these names of tensors"
        raise needed(path, "the model's name", why, "a line `model: lightgcn`")
    if tables.model is not None and name != tables.model:
        raise refuse(path, f"model {tables.model}, as its tensors say", f"{name} in the recipe", "mend the recipe")
    settings = {"dim": tables.user.shape[1], "loss": "bpr"} | dict(owner.settings)
    kind = type(build(Recipe(name, {})))
    if not issubclass(kind, PairwiseModel):
        raise refuse(path, "a model of two tables of vectors", name, "name the model that these tensors belong to")
    if "layers" in kind.config_type.model_fields and "layers" not in settings:
        if tables.layers is None:
            raise needed(path, "the number of layers", "the tensors do not show", "`settings: {layers: 3}`")
        settings["layers"] = tables.layers
    if owner.epochs is None:
        raise needed(path, "how long it was trained", "a retraining needs", "a line `epochs: 100`")
    return Recipe(name, build(Recipe(name, settings)).config.model_dump(mode="json"), owner.epochs)


def model_of(path: Path, tables: Tables, owner: OwnersRecipe, recipe: Recipe, train: InteractionLog) -> Model:
    """The model, its rows in the order of the log's users and items.

    Raises:
        CheckpointError: the tables have other numbers of rows than the data have users and items, or ids that are no
            numbers of rows.
    """
    model = build(recipe)
    assert isinstance(model, PairwiseModel)
    padding = tables.padding if owner.padding is None else owner.padding
    numbered = (owner.ids or tables.ids) == "numbers"
    sides = []
    for what, table, ids in (("user", tables.user, train.user_ids), ("item", tables.item, train.item_ids)):
        rows = rows_of(path, what, ids, len(table) - padding) if numbered else np.arange(len(ids))
        if not numbered and len(table) - padding != len(ids):
            remedy = "give the data it was trained on, with all its rows"
            raise refuse(path, f"data of {len(table) - padding:,} {what}s", f"{len(ids):,}", remedy)
        sides.append(torch.from_numpy(np.ascontiguousarray(table[rows + padding], np.float32)))
    model.adopt(train, sides[0], sides[1])
    model.epochs = recipe.epochs
    return model


def rows_of(path: Path, what: str, ids: Text, rows: int, first: int = 0) -> Int64:
    """The rows of ids that are numbers of rows, the first of which has this number.

    Raises:
        CheckpointError: other ids.
    """
    remedy = "give the data with the numbers it was trained on, or a recipe with `ids: appearance`"
    try:
        found: Int64 = ids.astype(np.int64) - first
    except (ValueError, OverflowError):
        raise refuse(path, f"{what} ids that are numbers of rows", "other text", remedy) from None
    if len(found) and (found.min() < 0 or found.max() >= rows):
        said = f"{what} {int(found.min() if found.min() < 0 else found.max()) + first}"
        raise refuse(path, f"{what} ids from {first} to {rows - 1 + first:,}", said, remedy)
    return found


_PROVES = re.compile(r"(ndcg|recall|hr|mrr)@\d+$")  # what a wrong numbering does not reach by chance


def claimed(path: Path, owner: OwnersRecipe, now: Mapping[str, float]) -> tuple[str, bool]:
    """What the owner's metrics prove.

    Raises:
        CheckpointError: one of them comes out otherwise, or is not measured here.
    """
    told = {name for name, value in owner.metrics.items() if _PROVES.match(name) and value > 0.01}
    if not told:
        return "ids and split assumed: neither file nor recipe says what it reached (ndcg, recall, hr, mrr)", False
    for name, value in owner.metrics.items():
        found = now.get(name, math.nan)
        if not abs(found - value) <= owner.tolerance:
            remedy = "these are other data, another split, numbering or number of layers, or it was measured otherwise"
            expected = f"{printable(name)} {value:.4f} on the test part, as the recipe says"
            raise refuse(path, expected, f"{found:.4f}", remedy)
    return f"ids and split verified: {', '.join(owner.metrics)} of its recipe come out again", True
