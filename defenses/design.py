"""The experiment of the check "defense": every trial of the promotion check again, with each defence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..attacks.config import InjectionConfig
from ..attacks.design import Design, Trial, make_design
from ..audit.cell import Cell
from ..audit.probe import NotApplicable
from ..recommenders.target import Target
from .catalogue import build
from .protection import Protection


@dataclass(frozen=True, eq=False)
class DefenseDesign:
    """All refits of the experiment.

    Attributes:
        attacks: trials without a defence; cells that the check "promotion" asks for too are the same cells.
        controls: by defence, refits without an attack, one a seed, in the order of `attacks.controls`.
        trials: by defence, attack and size; attacked and control are defended, clones are not.
        inapplicable: by asked-for defence, why it does not fit the model.
    """

    attacks: Design
    controls: Mapping[str, tuple[Cell, ...]]
    trials: Mapping[tuple[str, str, str], tuple[Trial, ...]]
    inapplicable: Mapping[str, str]

    def cells(self) -> list[Cell]:
        """Undefended ones first."""
        found = [*self.attacks.controls]
        found += [trial.attacked for trials in self.attacks.trials.values() for trial in trials]
        found += [cell for cells in self.controls.values() for cell in cells]
        return found + [trial.attacked for trials in self.trials.values() for trial in trials]


def make_defense_design(
    target: Target,
    config: InjectionConfig,
    defenses: tuple[str, ...],
    settings: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> DefenseDesign:
    """Lay out the experiment; deterministic, computes no refit.

    Raises:
        NotApplicable: no attack or no defence fits the model and its data.
        InputError: a named item that the log does not have.
    """
    plain = make_design(target, config, "push", seed)
    inapplicable: dict[str, str] = {}
    controls: dict[str, tuple[Cell, ...]] = {}
    trials: dict[tuple[str, str, str], tuple[Trial, ...]] = {}
    for name in defenses:
        why = build(name, settings.get(name)).why_not(target.recipe, target.split.train)
        if why is not None:
            inapplicable[name] = why
            continue
        own = _Defended(name, settings.get(name, {}))
        controls[name] = tuple(own.cell(cell) for cell in plain.controls)
        for (attack, size), members in plain.trials.items():
            trials[name, attack, size] = tuple(own.trial(trial) for trial in members)
    if not controls:
        raise NotApplicable("; ".join(f"{name}: {why}" for name, why in inapplicable.items()))
    return DefenseDesign(plain, controls, trials, inapplicable)


class _Defended:
    """Cells with one defence."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.protection = Protection(name, settings)

    def cell(self, cell: Cell) -> Cell:
        return replace(cell, label=f"{cell.label}, {self.name}", defense=self.protection)

    def trial(self, trial: Trial) -> Trial:
        return replace(trial, attacked=self.cell(trial.attacked), control=self.cell(trial.control))
