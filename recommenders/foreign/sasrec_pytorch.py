"""SASRec.pytorch's files: one set of tensor names, four ways to compute with them; a metric decides which."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.errors import CheckpointError
from ...datasets.log import InteractionLog
from ..base import Model, Recipe
from ..catalogue import build
from ..checkpoint_files import refuse
from .bare import rows_of
from .recipe import OwnersRecipe, needed

FORMAT = "SASRec.pytorch"

Arrays = Mapping[str, NDArray[Any]]

_MARKS = {"item_emb.weight", "pos_emb.weight", "last_layernorm.weight", "attention_layers.0.in_proj_weight"}
_NAME = re.compile(
    r"SASRec\.epoch=(\d{1,6})\.lr=([0-9.e-]{1,12})\.layer=(\d{1,3})\.head=(\d{1,3})\.hidden=(\d{1,5})\.maxlen=(\d{1,5})\.pth"
)
_PARTS = {
    "attention_norm": "attention_layernorms.{}",
    "attention_out": "attention_layers.{}.out_proj",
    "forward_norm": "forward_layernorms.{}",
    "forward_in": "forward_layers.{}.conv1",
    "forward_out": "forward_layers.{}.conv2",
}
_BATCH = 128  # its users a step


@dataclass(frozen=True)
class Named:
    """What its program writes into a file's name; None where the name says nothing."""

    epochs: int | None = None
    learning_rate: float | None = None
    heads: int | None = None
    max_length: int | None = None


def is_sasrec(state: Arrays) -> bool:
    """Whether the tensors are named as SASRec.pytorch names them."""
    return set(state) >= _MARKS


def recipes_of(path: Path, state: Arrays, owner: OwnersRecipe, train: InteractionLog) -> list[Recipe]:
    """The recipes that such a file can have been trained by, one for each way to compute that its shapes allow.

    Raises:
        CheckpointError: something that neither the file, its name nor its owner says.
        InputError: settings that the model does not have.
    """
    if owner.model not in (None, "sasrec-left"):
        raise refuse(path, "model sasrec-left, as its tensors say", f"{owner.model} in the recipe", "mend the recipe")
    named, said = _named(path), dict(owner.settings)
    epochs = named.epochs if owner.epochs is None else owner.epochs
    heads, most = said.pop("heads", named.heads), said.pop("max_length", named.max_length)
    for name, value, example in (
        ("how long it was trained", epochs, "a line `epochs: 200`"),
        ("the number of attention heads", heads, "`settings: {heads: 1}`"),
        ("the longest history", most, "`settings: {max_length: 200}`"),
    ):
        if value is None:
            raise needed(path, name, "the tensors do not show", example)
    pairs = np.maximum(np.bincount(train.user, minlength=train.n_users) - 1, 0)
    settings: dict[str, Any] = {
        "dim": _shape(path, state, "item_emb.weight")[1], "loss": "binary", "dropout": 0.2, "min_steps": 1,
        "layers": sum(re.fullmatch(r"attention_layers\.\d+\.in_proj_weight", name) is not None for name in state),
        "batch_tokens": max(1, round(_BATCH * float(pairs[pairs > 0].mean()))) if pairs.any() else _BATCH,
        "max_epochs": max(1, int(epochs or 0)), "heads": heads, "max_length": most,
    }  # fmt: skip
    if named.learning_rate is not None:
        settings["learning_rate"] = named.learning_rate
    wanted = said.get("norm")
    ways = [way for way in _ways(path, state, most) if wanted in (None, way["norm"])]
    if not ways:
        raise refuse(path, "a norm that its positions allow", f"{wanted}", "the first version has query alone")
    configs = [build(Recipe("sasrec-left", settings | way | said)).config.model_dump(mode="json") for way in ways]
    return [Recipe("sasrec-left", config, epochs) for config in configs]


def _ways(path: Path, state: Arrays, most: Any) -> list[dict[str, Any]]:
    """How its versions compute, as settings: those with a row for what fills up have three ways, the first had one."""
    rows = _shape(path, state, "pos_emb.weight")[0]
    if rows == most:
        return [{"norm": "query", "carried": False}]
    if rows - 1 == most:
        return [{"norm": norm, "carried": True} for norm in ("after", "before", "query")]
    raise refuse(path, f"{most} or {int(most) + 1} positions, as max_length says", f"{rows}", "mend max_length")


def model_of(path: Path, state: Arrays, owner: OwnersRecipe, recipe: Recipe, train: InteractionLog) -> Model:
    """The model, its items in the order of the log's.

    Raises:
        CheckpointError: tensors are missing or of other shapes, item ids are no numbers of rows, or what fills rows up
            is not zero.
    """
    table = _tensor(path, state, "item_emb.weight", 2)
    position = _tensor(path, state, "pos_emb.weight", 2)
    if recipe.config["carried"]:
        if table[0].any() or position[0].any():
            remedy = "a version between two of its releases wrote it: audit it as a black box (docs/foreign.md)"
            raise refuse(path, "zeros in the first rows of items and positions", "other numbers", remedy)
        position = position[1:]
    found = {"item": table[1 + _places(path, owner, train, len(table) - 1)], "position": position}
    for kind in ("weight", "bias"):
        found[f"last_norm.{kind}"] = _tensor(path, state, f"last_layernorm.{kind}", 1)
        for n in range(recipe.config["layers"]):
            own = f"attention_layers.{n}.in_proj_{kind}"
            found[f"blocks.{n}.query_key_value.{kind}"] = _tensor(path, state, own, 2 if kind == "weight" else 1)
            for ours, theirs in _PARTS.items():
                name = f"{theirs.format(n)}.{kind}"
                array = _tensor(path, state, name, None)
                found[f"blocks.{n}.{ours}.{kind}"] = array[:, :, 0] if array.ndim == 3 else array  # a convolution of 1
    model = build(recipe)
    for name, (shape, _) in model.shapes(train.n_users, train.n_items).items():
        if found[name].shape != shape:
            raise refuse(path, f"{name} of shape {shape}", f"{found[name].shape}", "it is none of SASRec.pytorch's")
    tensors = {name: torch.from_numpy(np.ascontiguousarray(array, np.float32)) for name, array in found.items()}
    model.load(tensors, train.n_users, train.n_items)
    model.epochs = recipe.epochs
    return model


def _places(path: Path, owner: OwnersRecipe, train: InteractionLog, rows: int) -> NDArray[np.int64]:
    """The row of each item, after the one that fills up."""
    if owner.ids == "appearance":
        if rows != train.n_items:
            remedy = "give the data it was trained on, with all its rows"
            raise refuse(path, f"data of {rows:,} items", f"{train.n_items:,}", remedy)
        return np.arange(rows)
    return rows_of(path, "item", train.item_ids, rows, first=1)


def _named(path: Path) -> Named:
    found = _NAME.fullmatch(path.name)
    if found is None:
        return Named()
    try:
        rate = float(found[2])
    except ValueError:
        rate = 0.0
    return Named(int(found[1]), rate if 0 < rate < 1 else None, int(found[4]), int(found[6]))


def _shape(path: Path, state: Arrays, name: str) -> tuple[int, ...]:
    return _tensor(path, state, name, 2).shape


def _tensor(path: Path, state: Arrays, name: str, dimensions: int | None) -> NDArray[Any]:
    found = state.get(name)
    if found is None or found.dtype.kind != "f" or 0 in found.shape or dimensions not in (None, found.ndim):
        said = "none" if found is None else f"shape {found.shape}, {found.dtype}"
        raise refuse(path, f"a tensor of numbers {name}", said, "it is none of SASRec.pytorch's")
    return found


def undecided(path: Path) -> CheckpointError:
    """An error about several ways to compute and nothing that says which."""
    return needed(
        path, "how it normalises", "versions that name their tensors alike do differently",
        "`settings: {norm: after}` (or before, with --norm_first, or query, before May 2025), or with `metrics`",
    )  # fmt: skip
