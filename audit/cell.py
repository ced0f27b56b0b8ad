"""Cells: the units an audit is computed in, each named by the hash of all that determines its values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import InteractionLog, Profiles
from ..language.opening import fingerprints
from ..recommenders.base import Recipe, Recommender
from ..recommenders.target import Target

PROTOCOL = 3
"""Raise when the meaning of any measured value changes: cached cells of older protocols are not reused."""


class Injection(Protocol):
    """Accounts to add to the training log before a refit. Implementations are picklable."""

    def describe(self) -> dict[str, Any]:
        """Everything that determines the accounts, as JSON; part of the cell's key."""
        ...

    @property
    def asks(self) -> bool:
        """Whether the accounts depend on the model under audit, which the attacker asks for lists."""
        ...

    def profiles(self, log: InteractionLog, model: Recommender) -> Profiles:
        """The accounts, made from the training log, or from what the model lists; deterministic."""
        ...

    def observe(self, log: InteractionLog, profiles: Profiles) -> dict[str, float | None]:
        """What the accounts look like beside the genuine users: named values, kept with the cell."""
        ...


@dataclass(frozen=True, eq=False)
class Defended:
    """A victim trained with a defence.

    Attributes:
        model: the victim.
        suspicion: float64 [accounts], higher is more suspicious, or None if the defence judges no accounts.
        weights: float32 [accounts], what each account counted in training, or None.
        notes: what else is worth keeping, by name.
        history: suspicion as it was at earlier times, oldest first.
    """

    model: Recommender
    suspicion: NDArray[np.float64] | None = None
    weights: NDArray[np.float32] | None = None
    notes: Mapping[str, float] = field(default_factory=dict)
    history: Sequence[NDArray[np.float64]] = ()


class Defense(Protocol):
    """How a refit is protected. Implementations are picklable."""

    def describe(self) -> dict[str, Any]:
        """Everything that determines the defence, as JSON; part of the cell's key."""
        ...

    def train(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """Train on a log with whatever was injected; which accounts that is is not said. Deterministic."""
        ...

    def observe(self, defended: Defended, log: InteractionLog, genuine: int) -> dict[str, float | None]:
        """How well it knew the accounts apart, once it is done: those from `genuine` on were injected."""
        ...


@dataclass(frozen=True)
class Answer:
    """What an inquiry found.

    Attributes:
        values: named values, None where undefined.
        texts: texts worth showing.
        arrays: kept beside the values if the inquiry says so.
        costs: CPU seconds by name.
        served: a model and what it may read of the users' past, to be measured as every model is; or None.
    """

    values: Mapping[str, float | None]
    texts: Mapping[str, str] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    served: tuple[Recommender, InteractionLog] | None = None


class Inquiry(Protocol):
    """What is asked of the checkpoint as it is, or of what becomes of it. Implementations are picklable."""

    keeps_arrays: ClassVar[bool]
    """Whether its answers have arrays, or a model."""

    @property
    def trainings(self) -> float:
        """How many trainings of the victim an answer costs, about; for planning."""
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON; part of the cell's key."""
        ...

    def answer(self, target: Target, seed: int) -> Answer:
        """Ask; deterministic."""
        ...


@dataclass(frozen=True)
class Cell:
    """What to compute: the checkpoint as it is, a reference model, a refit of the target's recipe, or an inquiry.

    Attributes:
        kind: "model", "reference", "refit" or "inquiry".
        label: for people.
        seed: of the refit.
        recipe: of a reference model; None means the target's own.
        injection: accounts added to the training log; None for a control.
        watch: item indices whose ranks are measured over the genuine users who lack them; of an inquiry, its items.
        inquiry: what an "inquiry" asks.
        defense: how a refit is protected; None trains as the owner did.
    """

    kind: Literal["model", "reference", "refit", "inquiry"]
    label: str
    seed: int = 0
    recipe: Recipe | None = None
    injection: Injection | None = None
    watch: tuple[int, ...] = ()
    inquiry: Inquiry | None = None
    defense: Defense | None = None

    @property
    def keeps_arrays(self) -> bool:
        """Whether arrays are kept beside the values: refits are many and judged by their units."""
        return self.kind in ("model", "reference") or (self.inquiry is not None and self.inquiry.keeps_arrays)

    @property
    def trains(self) -> bool:
        """Whether the target's own recipe is trained for it."""
        if self.inquiry is not None:
            return self.inquiry.trainings > 0
        return self.kind == "refit" and self.recipe is None

    @cached_property
    def params(self) -> dict[str, Any]:
        """What distinguishes this cell from others of the same target, as JSON."""
        if self.inquiry is not None:
            return self.inquiry.describe()
        found: dict[str, Any] = {
            "recipe": None if self.recipe is None else recipe_json(self.recipe),
            "injection": None if self.injection is None else self.injection.describe(),
            "watch": list(self.watch),
        }
        return found if self.defense is None else found | {"defense": self.defense.describe()}

    def key(self, target: Target, measured: Mapping[str, Any]) -> str:
        """The cell's content hash (hex, 32 characters) for a target.

        Args:
            target: what is audited.
            measured: what is measured of every model (cut-offs, names of side measures), as JSON.
        """
        # a refit never looks at the checkpoint's weights, so two checkpoints of one recipe share refits, unless an
        # attacker asks the checkpoint
        recipe = recipe_json(target.recipe)
        asks = self.injection is not None and self.injection.asks
        as_it_is = self.kind in ("model", "inquiry")
        subject = target.fingerprint if as_it_is else f"{recipe} {target.fingerprint}" if asks else recipe
        split = target.split
        data = [part.fingerprint for part in (split.train, split.valid, split.test)]
        data.append(split.train.features_fingerprint)  # some models read them
        content = [PROTOCOL, self.kind, self.seed, self.params, subject, data, measured]
        if folders := fingerprints([self.params, recipe]):
            content.append(folders)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


CHECKPOINT = Cell("model", "the checkpoint as it is")
"""What several checks look at; computed once."""


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """A recipe as plain JSON."""
    return {"model": recipe.model, "config": dict(recipe.config), "epochs": recipe.epochs}
