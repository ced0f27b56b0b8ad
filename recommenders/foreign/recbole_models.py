"""RecBole's models as ours: settings to a recipe, tensors to a state. The name decides, never the shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.errors import InputError
from ...datasets.log import InteractionLog
from ..base import Model, Recipe
from ..catalogue import build
from ..checkpoint_files import printable, refuse
from ..pairwise import PairwiseModel
from .recbole import RecBole

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Adapter:
    """How one of RecBole's models becomes one of ours.

    Attributes:
        model: the name of ours.
        settings: its settings from the configuration.
        state: its tensors from RecBole's; ids without the padding that RecBole puts first. Of models that propagate
            the base tables "user" and "item", and what else they have learned.
        draws: whether RecBole drops messages when it scores, too: its lists are those of the vectors that it keeps.
    """

    model: str
    settings: Callable[[RecBole], dict[str, Any]]
    state: Callable[[RecBole], Tensors]
    draws: bool = False


def recipe_of(file: RecBole) -> Recipe:
    """How its owner trained it, as far as our models can say it.

    Raises:
        CheckpointError: a model we have not, or a setting that ours does not have.
    """
    adapter = adapter_of(file)
    recipe = Recipe(adapter.model, adapter.settings(file), file.epoch + 1)
    try:
        build(recipe)
    except InputError as error:
        raise refuse(file.path, "settings that our model has", error, "audit it as a black box") from None
    return recipe


def adapter_of(file: RecBole) -> Adapter:
    """The adapter of its model.

    Raises:
        CheckpointError: there is none.
    """
    found = ADAPTERS.get(file.model.lower())
    if found is None:
        known = ", ".join(ADAPTERS)
        raise refuse(file.path, f"one of RecBole's models {known}", printable(file.model), "audit it as a black box")
    return found


def model_of(file: RecBole, recipe: Recipe, train: InteractionLog) -> Model:
    """The fitted model.

    Args:
        file: the checkpoint.
        recipe: of it.
        train: what it was trained on, users and items numbered as the checkpoint's.

    Raises:
        CheckpointError: tensors are missing, or of other shapes than the configuration and the data say.
    """
    model = build(recipe)
    state = adapter_of(file).state(file)
    if isinstance(model, PairwiseModel):
        dim = model.config.dim
        ours = model.shapes(train.n_users, train.n_items)
        learned = {name: tensor for name, tensor in state.items() if name not in ("user", "item")}
        shapes = {"user": (train.n_users, dim), "item": (train.n_items, dim)}
        _agree(file, state, shapes | {name: ours[name][0] for name in learned})
        model.adopt(train, state["user"], state["item"], learned)
        if adapter_of(file).draws and file.restored is not None:
            _serve(file, model, file.restored)
    else:
        _agree(file, state, {name: shape for name, (shape, _) in model.shapes(train.n_users, train.n_items).items()})
        model.load(state, train.n_users, train.n_items)
    model.epochs = recipe.epochs
    return model


def _serve(file: RecBole, model: Model, kept: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """Score with the final vectors that the file keeps."""
    served = {side: _put(array[1:]) for side, array in zip(("user", "item"), kept, strict=True)}
    _agree(file, served, {side: tuple(model.state()[side].shape) for side in served})
    model.load(model.state() | served, model.n_users, model.n_items)


def _agree(file: RecBole, state: Tensors, shapes: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in shapes.items():
        found = tuple(state[name].shape)
        if found != shape:
            remedy = "give the data file it was trained on, with all its rows"
            raise refuse(file.path, f"{name} of shape {shape}, as data and configuration say", f"{found}", remedy)


def table(file: RecBole, name: str) -> NDArray[Any]:
    """A tensor of the state dict.

    Raises:
        CheckpointError: there is none.
    """
    found = file.state.get(name)
    if found is None:
        expected = f"a tensor {name}, as RecBole's {file.model} has"
        raise refuse(file.path, expected, "none", "it was saved by another version, or its model was changed")
    return found


def _put(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _pairwise(file: RecBole) -> dict[str, Any]:
    # RecBole's EmbLoss is a norm without square unless require_pow: next to nothing at its weights
    l2 = file.number("reg_weight", 0.0) if file.settings.get("require_pow") is True else 0.0
    return {
        "dim": file.whole("embedding_size"), "loss": "bpr", "l2": l2, "min_steps": 1, "spread": None,
        "learning_rate": file.number("learning_rate"), "batch_size": file.whole("train_batch_size"),
        "max_epochs": max(1, file.whole("epochs")),
    }  # fmt: skip


def _graph(file: RecBole) -> dict[str, Any]:
    return _pairwise(file) | {"layers": file.whole("n_layers")}


def _sgl(file: RecBole) -> dict[str, Any]:
    if file.text("type", "ED") != "ED":
        raise file.lacks("type", "ED (edges left out)", file.text("type"))
    return _graph(file) | {
        "keep": 1.0 - file.number("drop_ratio"), "contrast": file.number("ssl_weight"),
        "contrast_temperature": file.number("ssl_tau"),
    }  # fmt: skip


def _simgcl(file: RecBole) -> dict[str, Any]:
    return _graph(file) | {
        "noise": file.number("eps"), "contrast": file.number("lambda"),
        "contrast_temperature": file.number("temperature"),
    }  # fmt: skip


def _xsimgcl(file: RecBole) -> dict[str, Any]:
    return _simgcl(file) | {"contrast_layer": file.whole("layer_cl")}


def _ncl(file: RecBole) -> dict[str, Any]:
    return _graph(file) | {
        "contrast": file.number("ssl_reg"), "contrast_layer": 2 * file.whole("hyper_layers"),
        "contrast_temperature": file.number("ssl_temp"), "items": file.number("alpha"),
        "clusters": file.whole("num_clusters"), "warm_up": file.whole("warm_up_step"),
        "refresh_every": file.whole("m_step"),
    }  # fmt: skip


def _ngcf(file: RecBole) -> dict[str, Any]:
    dim, widths = file.whole("embedding_size"), file.settings.get("hidden_size_list")
    if not isinstance(widths, list) or not widths or any(width != dim for width in widths):
        raise file.lacks("hidden_size_list", f"layers as wide as embedding_size ({dim})", widths)
    return _pairwise(file) | {
        "layers": len(widths), "dropout": file.number("message_dropout"), "bias": True, "unit": True,
    }  # fmt: skip


def _ngcf_state(file: RecBole) -> Tensors:
    layers = range(len(file.settings["hidden_size_list"]))
    both = [[f"GNNlayers.{n}.{part}" for part in ("linear", "interActTransform")] for n in layers]
    return _tables(file) | {
        "transforms": _put(np.stack([[table(file, f"{name}.weight").T for name in pair] for pair in both])),
        "biases": _put(np.stack([sum(table(file, f"{name}.bias") for name in pair) for pair in both])),
    }


def _tables(file: RecBole) -> Tensors:
    return {side: _put(table(file, f"{side}_embedding.weight")[1:]) for side in ("user", "item")}


def _sequential(file: RecBole) -> dict[str, Any]:
    if file.text("loss_type", "CE") != "CE":
        raise file.lacks("loss_type", "CE", file.text("loss_type"))
    return {
        "loss": "full", "max_length": file.whole("MAX_ITEM_LIST_LENGTH"),
        "learning_rate": file.number("learning_rate"), "batch_tokens": file.whole("train_batch_size"),
        "min_steps": 1, "max_epochs": max(1, file.whole("epochs")),
    }  # fmt: skip


def _attention(file: RecBole) -> dict[str, Any]:
    dim, inner = file.whole("hidden_size"), file.whole("inner_size")
    if dim < 1 or inner < 1 or inner % dim:
        raise file.lacks("inner_size", f"a multiple of hidden_size ({dim})", inner)
    if file.text("hidden_act") not in ("gelu", "relu"):
        raise file.lacks("hidden_act", "gelu or relu", file.text("hidden_act"))
    return _sequential(file) | {
        "dim": dim, "layers": file.whole("n_layers"), "heads": file.whole("n_heads"), "inner": inner // dim,
        "dropout": file.number("hidden_dropout_prob"), "activation": file.text("hidden_act"),
        "epsilon": file.number("layer_norm_eps"),
    }  # fmt: skip


def _sasrec(file: RecBole) -> dict[str, Any]:
    return _attention(file) | {"norm": "after"}


_NORMS = {
    "attention_norm": "multi_head_attention.LayerNorm",
    "attention_out": "multi_head_attention.dense",
    "forward_norm": "feed_forward.LayerNorm",
    "forward_in": "feed_forward.dense_1",
    "forward_out": "feed_forward.dense_2",
}


def _blocks(file: RecBole) -> Tensors:
    found = {"position": _put(table(file, "position_embedding.weight"))}
    for kind in ("weight", "bias"):
        found[f"last_norm.{kind}"] = _put(table(file, f"LayerNorm.{kind}"))
        for n in range(file.whole("n_layers")):
            theirs, ours = f"trm_encoder.layer.{n}", f"blocks.{n}"
            parts = [table(file, f"{theirs}.multi_head_attention.{name}.{kind}") for name in ("query", "key", "value")]
            found[f"{ours}.query_key_value.{kind}"] = _put(np.concatenate(parts))
            for name, other in _NORMS.items():
                found[f"{ours}.{name}.{kind}"] = _put(table(file, f"{theirs}.{other}.{kind}"))
    return found


def _sasrec_state(file: RecBole) -> Tensors:
    return _blocks(file) | {"item": _put(table(file, "item_embedding.weight")[1:])}


def _bert4rec(file: RecBole) -> dict[str, Any]:
    return _attention(file) | {
        "norm": "after", "skip_first": True, "masked": file.number("mask_ratio"), "last": file.number("ft_ratio"),
    }  # fmt: skip


def _bert4rec_state(file: RecBole) -> Tensors:
    found = _blocks(file)
    for kind in ("weight", "bias"):
        found[f"first_norm.{kind}"] = found.pop(f"last_norm.{kind}")
        found[f"head.{kind}"] = _put(table(file, f"output_ffn.{kind}"))
        found[f"head_norm.{kind}"] = _put(table(file, f"output_ln.{kind}"))
    items = table(file, "item_embedding.weight")
    return found | {
        "item": _put(items[1:-1]), "mask": _put(items[-1:]), "bias": _put(table(file, "output_bias")[1:])
    }  # fmt: skip


def _gru4rec(file: RecBole) -> dict[str, Any]:
    return _sequential(file) | {
        "dim": file.whole("embedding_size"), "hidden": file.whole("hidden_size"), "layers": file.whole("num_layers"),
        "dropout": file.number("dropout_prob"), "bias": False,
    }  # fmt: skip


def _gru4rec_state(file: RecBole) -> Tensors:
    found = {"item": _put(table(file, "item_embedding.weight")[1:])}
    for n in range(file.whole("num_layers")):
        for kind in ("ih", "hh"):
            found[f"gru.weight_{kind}_l{n}"] = _put(table(file, f"gru_layers.weight_{kind}_l{n}"))
    for kind in ("weight", "bias"):
        found[f"dense.{kind}"] = _put(table(file, f"dense.{kind}"))
    return found


ADAPTERS: dict[str, Adapter] = {
    "lightgcn": Adapter("lightgcn", _graph, _tables),
    "bpr": Adapter("mf", _pairwise, _tables),
    "sgl": Adapter("sgl", _sgl, _tables),
    "simgcl": Adapter("simgcl", _simgcl, _tables),
    "xsimgcl": Adapter("xsimgcl", _xsimgcl, _tables),
    "ncl": Adapter("ncl", _ncl, _tables),
    "ngcf": Adapter("ngcf", _ngcf, _ngcf_state, draws=True),
    "sasrec": Adapter("sasrec", _sasrec, _sasrec_state),
    "bert4rec": Adapter("bert4rec", _bert4rec, _bert4rec_state),
    "gru4rec": Adapter("gru4rec", _gru4rec, _gru4rec_state),
}
"""By RecBole's names in lower case."""
