"""The unlearners there are: one line each; outsiders add theirs by the entry-point group `recaudit.unlearners`."""

from __future__ import annotations

from typing import Any

from ..datasets.plugins import Catalogue
from .base import Unlearner

UNLEARNERS = (
    "retrain: exact.retrain:Retrain",
    "downdate: exact.downdate:Downdate",
    "sisa: exact.sisa:SISA",
    "rec-eraser: exact.rec_eraser:RecEraser",
    "unlearn-rec: approximate.unlearn_rec.unlearner:UnlearnRec",
    "influence: approximate.influence:Influence",
    "ascent-repair: approximate.ascent:AscentRepair",
    "splice-and-settle: approximate.settle:SpliceSettle",
    "do-nothing: controls:DoNothing",
    "rows-only: controls:RowsOnly",
)
"""Name, module below this folder, class. Nothing is imported until an unlearner is asked for."""


def _fault(found: Any) -> str | None:
    own = isinstance(found, type) and issubclass(found, Unlearner)
    return None if own else "must be a subclass of recaudit.unlearn.base.Unlearner"


CATALOGUE: Catalogue[Unlearner] = Catalogue("unlearner", "recaudit.unlearners", UNLEARNERS, __package__, _fault)

names, unlearner_class, build = CATALOGUE.names, CATALOGUE.find, CATALOGUE.build
