"""What a check is: it names the cells it needs, then turns their values into evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ..recommenders.ranking import Slate
from ..recommenders.target import Target
from .cell import Cell
from .evidence import CellResult, Evidence, Worse


class NotApplicable(Exception):
    """The target lacks what the check needs; the text is the reason shown in the report."""


class ProbeConfig(BaseModel):
    """Base of a check's settings in the policy; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SideMeasure(Protocol):
    """A measure of top-k lists that the engine takes of every model it fits (architecture, rule 9)."""

    name: str

    def values(self, slate: Slate, n_items: int) -> dict[str, float | None]:
        """Named values of these lists; None where undefined."""
        ...


class Results(Protocol):
    """The values of computed cells."""

    def __getitem__(self, cell: Cell) -> CellResult:
        """The result; KeyError if the cell failed."""
        ...

    def __contains__(self, cell: object) -> bool:
        """Whether the cell was computed."""
        ...

    def arrays(self, cell: Cell) -> Mapping[str, NDArray[Any]]:
        """Arrays of a "model" or "reference" cell.

        "items" int32 [U, K] top-k lists of all genuine users, -1 for none; "users" int64 [T] the users with
        test items; for every utility metric its value per such user, float64 [T].
        """
        ...


class Probe(ABC):
    """A check. One instance per audit, built from its config in the policy.

    Class attributes: `key` (name in policies and evidence ids), `title`, `reference` (paper and section).
    """

    key: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    config_type: ClassVar[type[ProbeConfig]]

    def __init__(self, config: Any, seed: int) -> None:
        """Keep settings and run seed; compute nothing."""
        self.config = config
        self.seed = seed

    @abstractmethod
    def cells(self, target: Target) -> Sequence[Cell]:
        """The cells needed. Equal cells of several probes are computed once.

        Raises:
            NotApplicable: the target lacks what the check needs.
        """

    def made(self, name: str, title: str, measure: str, unit: str, worse: Worse, **values: Any) -> Evidence:
        """An evidence of this check, whose id is its key and the name; without an estimate unless `values` has one."""
        head = {"id": f"{self.key}.{name}", "check": self.key, "title": title, "measure": measure, "unit": unit}
        return Evidence.model_validate({**head, "worse": worse, "estimate": None, "n": 0, **values})

    @abstractmethod
    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """What the cells show. A missing cell becomes evidence with `missing` set, never an exception."""
