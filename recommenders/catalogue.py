"""The models there are: one line each; outsiders add theirs by the entry-point group `recaudit.models`."""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from ..datasets.errors import InputError, unknown_name
from ..datasets.log import InteractionLog
from .base import Model, ModelConfig, Recipe

GROUP = "recaudit.models"

MODELS = (
    "popularity: popularity:Popularity",
    "recent-popularity: popularity:RecentPopularity",
    "itemknn: knn:ItemKNN",
    "ease: ease:EASE",
    "ials: ials:IALS",
    "mf: mf:MF",
    "lightgcn: lightgcn:LightGCN",
    "simgcl: simgcl:SimGCL",
    "feature-lightgcn: feature_lightgcn:FeatureLightGCN",
    "fm: fm:FM",
    "sasrec: sasrec:SASRec",
    "gru4rec: gru4rec:GRU4Rec",
)
"""Name, module in this folder, class. Nothing is imported until a model is asked for."""

_MEMBERS = ("title", "family", "reference", "config_type", "fit", "scores", "state", "load", "shapes")


def names() -> tuple[str, ...]:
    """All model names: the built-in ones in the order of `MODELS`, then outsiders'."""
    return (*_built_in(), *sorted(_outsiders()))


def model_class(name: str) -> type[Model]:
    """The class of a model.

    Raises:
        InputError: there is no such model (the message names the nearest), or an outsider's cannot be imported
            or lacks a member of `Model`.
    """
    own = _built_in()
    if name in own:
        module, attribute = own[name]
        found: type[Model] = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return found
    if name not in _outsiders():
        raise unknown_name("model", name, names())
    return _outside_class(_outsiders()[name])


def build(recipe: Recipe) -> Model:
    """An unfitted model with the recipe's hyper-parameters.

    Raises:
        InputError: unknown model, unknown field, or a value outside its range; the message names field and remedy.
    """
    kind = model_class(recipe.model)
    try:
        config = kind.config_type.model_validate(dict(recipe.config))
    except ValidationError as error:
        raise _config_error(recipe.model, kind.config_type, error) from None
    for field, value in config:
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"model {recipe.model!r}: field {field!r} must be a finite number, got {value}")
    return kind(config)


def fit(recipe: Recipe, log: InteractionLog, seed: int, **options: Any) -> Model:
    """Build the recipe's model and fit it, for the recipe's epochs unless `epochs` is among the options.

    Args:
        recipe: what to build.
        log: training events.
        seed: seeds every random choice.
        options: the keyword arguments of `Model.fit`: valid, weights, epochs, report, device.

    Raises:
        InputError: see `build`; or the model cannot be fitted on this log.
    """
    model = build(recipe)
    model.fit(log, seed, **({"epochs": recipe.epochs} | options))
    return model


@cache
def _built_in() -> Mapping[str, tuple[str, str]]:
    found = {}
    for line in MODELS:
        name, _, path = line.partition(": ")
        module, _, attribute = path.partition(":")
        found[name] = (module, attribute)
    return found


@cache
def _outsiders() -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        taken = entry.name in _built_in() or (entry.name in found and found[entry.name].value != entry.value)
        if taken:
            raise InputError(
                f"{_package(entry)} offers a model named {entry.name!r}, which is taken; "
                "rename it there or uninstall that package"
            )
        found[entry.name] = entry
    return found


def _outside_class(entry: EntryPoint) -> type[Model]:
    try:
        found = entry.load()
    except Exception as error:  # an outsider's module may raise anything
        raise InputError(
            f"model {entry.name!r} of {_package(entry)} cannot be imported: {type(error).__name__}: {error}; "
            "mend or uninstall that package"
        ) from error
    missing = [member for member in _MEMBERS if not hasattr(found, member)]
    if missing or not isinstance(found, type):
        lacks = f"lacks {', '.join(missing)}" if missing else "is no class"
        raise InputError(f"model {entry.name!r} of {_package(entry)} {lacks}; see recommenders/base.py for `Model`")
    return found


def _package(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist is not None else f"{entry.value!r}"


def _config_error(model: str, config_type: type[ModelConfig], error: ValidationError) -> InputError:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "config"
    known = list(config_type.model_fields)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(where, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        return InputError(f"model {model!r} has no field {where!r}.{hint} Fields: {', '.join(known) or 'none'}.")
    got = repr(first["input"])
    got = got if len(got) <= 80 else got[:77] + "..."
    return InputError(
        f"model {model!r}, field {where!r}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {got}; "
        f"see `recaudit explain {model}` for its fields"
    )
