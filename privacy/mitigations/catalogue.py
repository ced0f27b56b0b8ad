"""The mitigations there are: one line each; outsiders add theirs by the entry-point group `recaudit.mitigations`."""

from __future__ import annotations

from typing import Any

from ...datasets.plugins import Catalogue
from .base import Mitigation

MITIGATIONS = (
    "none: base:Mitigation",
    "rounding: rounding:Rounded",
    "noise: noise:Noisy",
    "other-recipe: other_recipe:OtherRecipe",
)
"""Name, module in this folder, class."""


def _fault(found: Any) -> str | None:
    own = isinstance(found, type) and issubclass(found, Mitigation)
    return None if own else "must be a subclass of recaudit.privacy.mitigations.base.Mitigation"


CATALOGUE: Catalogue[Mitigation] = Catalogue("mitigation", "recaudit.mitigations", MITIGATIONS, __package__, _fault)

names, mitigation_class, build = CATALOGUE.names, CATALOGUE.find, CATALOGUE.build
