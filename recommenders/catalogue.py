"""The models there are: one line each; outsiders add theirs by the entry-point group `recaudit.models`."""

from __future__ import annotations

import math
from typing import Any

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog
from ..datasets.plugins import Catalogue
from .base import Model, Recipe

MODELS = (
    "popularity: popularity:Popularity",
    "recent-popularity: popularity:RecentPopularity",
    "itemknn: knn:ItemKNN",
    "ease: ease:EASE",
    "ials: ials:IALS",
    "mf: mf:MF",
    "dp-als: dp_als:DPALS",
    "dp-mf: dp_mf:DPMF",
    "ncf: ncf:NCF",
    "lightgcn: lightgcn:LightGCN",
    "simgcl: simgcl:SimGCL",
    "sgl: sgl:SGL",
    "xsimgcl: xsimgcl:XSimGCL",
    "ncl: ncl:NCL",
    "ngcf: ngcf:NGCF",
    "feature-lightgcn: feature_lightgcn:FeatureLightGCN",
    "fm: fm:FM",
    "sasrec: sasrec:SASRec",
    "sasrec-left: sasrec_left:LeftSASRec",
    "gru4rec: gru4rec:GRU4Rec",
    "fmlp-rec: fmlp:FMLPRec",
    "bert4rec: bert4rec:BERT4Rec",
)
"""Name, module in this folder, class. Nothing is imported until a model is asked for."""

SYSTEMS = (
    "lists: blackbox.asked:Lists",
    "commands: blackbox.commands:Commands",
    "python: blackbox.python:Python",
    "endpoint: blackbox.endpoint:Served",
)
"""Systems of others that are asked, not trained by name: they are in no list of models."""

_MEMBERS = ("title", "family", "reference", "config_type", "fit", "scores", "state", "load", "shapes")


def _fault(found: Any) -> str | None:
    missing = [member for member in _MEMBERS if not hasattr(found, member)]
    if not missing and isinstance(found, type):
        return None
    lacks = f"lacks {', '.join(missing)}" if missing else "is no class"
    return f"{lacks}; see recommenders/base.py for `Model`"


CATALOGUE: Catalogue[Model] = Catalogue("model", "recaudit.models", MODELS, __package__, _fault)
_SYSTEMS: Catalogue[Model] = Catalogue("system", "recaudit.systems", SYSTEMS, __package__, _fault)


def names() -> tuple[str, ...]:
    """All model names: the built-in ones in the order of `MODELS`, then outsiders'."""
    return CATALOGUE.names()


def model_class(name: str) -> type[Model]:
    """The class of a model; InputError as for `Catalogue.find`."""
    return _SYSTEMS.find(name) if name in _SYSTEMS.own else CATALOGUE.find(name)


def reads_order(recipe: Recipe) -> bool:
    """Whether such a model reads what a user has done in order, and is taught what comes next."""
    return model_class(recipe.model).family == "sequential"


def why_no_refit(recipe: Recipe) -> str | None:
    """Why such a model cannot be trained again; None for all but some systems of others."""
    why = getattr(build(recipe), "why_no_refit", None)
    found: str | None = None if why is None else why()
    return found


def build(recipe: Recipe) -> Model:
    """An unfitted model with the recipe's hyper-parameters.

    Raises:
        InputError: unknown model, unknown field, or a value outside its range; the message names field and remedy.
    """
    kind = model_class(recipe.model)
    catalogue = _SYSTEMS if recipe.model in _SYSTEMS.own else CATALOGUE
    config = catalogue.settings(recipe.model, kind.config_type, recipe.config)
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
        options: the keyword arguments of `Model.fit`: valid, weights, epochs, report, device; and of the models that
            are trained row by row `harden`, by which a defence puts another training in place of theirs, and `start`,
            the state at which training begins.

    Raises:
        InputError: see `build`; or the model cannot be fitted on this log.
    """
    model = build(recipe)
    model.fit(log, seed, **({"epochs": recipe.epochs} | options))
    return model
