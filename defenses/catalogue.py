"""The defences there are: one line each; outsiders add theirs by the entry-point group `recaudit.defenses`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from ..datasets.errors import InputError, unknown_name
from .base import Defense

GROUP = "recaudit.defenses"

DEFENSES = (
    "pca-varselect: detectors.structure:PCAVarSelect",
    "fap: detectors.structure:FAP",
    "rdma: detectors.ratings:RDMA",
    "wdma: detectors.ratings:WDMA",
    "wda: detectors.ratings:WDA",
    "length-var: detectors.ratings:LengthVar",
    "unrap: detectors.ratings:UnRAP",
    "deg-sim: detectors.neighbours:DegSim",
    "near-copies: detectors.neighbours:NearCopies",
    "reconstruction: detectors.reconstruction:Reconstruction",
    "dense-block: detectors.reconstruction:DenseBlock",
    "surprise: detectors.sequence:Surprise",
    "together: detectors.sequence:Together",
    "t-ce: robust.reweighed:TCE",
    "r-ce: robust.reweighed:RCE",
    "pld: robust.by_user:PLD",
    "trimmed-users: robust.by_user:TrimmedUsers",
    "apr: robust.adversarial:APR",
    "vat: robust.adversarial:VAT",
    "pama-cf: robust.adversarial:PamaCF",
    "lorec: lorec.defense:LoRec",
)
"""Name, module below this folder, class. Nothing is imported until a defence is asked for."""


def names() -> tuple[str, ...]:
    """All defence names: the built-in ones in the order of `DEFENSES`, then outsiders'."""
    return (*_built_in(), *sorted(_outsiders()))


def defense_class(name: str) -> type[Defense]:
    """The class of a defence.

    Raises:
        InputError: there is no such defence (the message names the nearest), or an outsider's is none.
    """
    if name in _built_in():
        module, attribute = _built_in()[name]
        found: type[Defense] = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return found
    if name not in _outsiders():
        raise unknown_name("defence", name, names())
    outside = _outsiders()[name].load()
    if not (isinstance(outside, type) and issubclass(outside, Defense)):
        raise InputError(f"defence {name!r} of {_outsiders()[name].value} must be a subclass of recaudit's Defense")
    return outside


def build(name: str, settings: Mapping[str, Any] | None = None) -> Defense:
    """A defence with its settings.

    Raises:
        InputError: unknown defence, unknown field, or a value outside its range.
    """
    kind = defense_class(name)
    try:
        config = kind.config_type.model_validate(dict(settings or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.config_type.model_fields) or "none"
        raise InputError(f"defence {name!r}, field {place!r}: {first['msg']}. Fields: {known}.") from None
    return kind(config)


@cache
def _built_in() -> Mapping[str, tuple[str, str]]:
    found = {}
    for line in DEFENSES:
        name, _, path = line.partition(": ")
        module, _, attribute = path.partition(":")
        found[name] = (module, attribute)
    return found


@cache
def _outsiders() -> Mapping[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _built_in()}
