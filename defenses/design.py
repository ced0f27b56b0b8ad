"""The experiment of the check "defense": every trial of the promotion check again, with each defence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..attacks.config import InjectionConfig
from ..attacks.design import Design, Trial, make_design
from ..audit.cell import Cell
from ..audit.probe import NotApplicable
from ..recommenders.target import Target
from .asked import Asked
from .catalogue import build


@dataclass(frozen=True, eq=False)
class DefenseDesign:
    """All refits of the experiment.

    Attributes:
        attacks: trials without a defence; cells that the check "promotion" asks for too are the same cells.
        controls: by defence, refits without an attack, one a seed, in the order of `attacks.controls`.
        trials: by defence, attack and size; attacked and control are defended, clones are not.
        inapplicable: by asked-for defence, why it does not fit the model.
        known: defences and attacks that they learn from simulations of, however the attack is called.
    """

    attacks: Design
    controls: Mapping[str, tuple[Cell, ...]]
    trials: Mapping[tuple[str, str, str], tuple[Trial, ...]]
    inapplicable: Mapping[str, str]
    known: frozenset[tuple[str, str]] = frozenset()

    def cells(self) -> list[Cell]:
        """Undefended ones first."""
        found = [*self.attacks.controls]
        found += [trial.attacked for trials in self.attacks.trials.values() for trial in trials]
        found += [cell for cells in self.controls.values() for cell in cells]
        return found + [trial.attacked for trials in self.trials.values() for trial in trials]


def make_defense_design(
    target: Target,
    config: InjectionConfig,
    asked: Mapping[str, Asked],
    seed: int,
) -> DefenseDesign:
    """Lay out the experiment; deterministic, computes no refit.

    A control arm that does not fit is left out without a word where the defence itself does not fit.

    Raises:
        NotApplicable: no attack or no defence fits the model and its data.
        InputError: a named item that the log does not have.
    """
    plain = make_design(target, config, "push", seed)
    inapplicable: dict[str, str] = {}
    controls: dict[str, tuple[Cell, ...]] = {}
    trials: dict[tuple[str, str, str], tuple[Trial, ...]] = {}
    for name, one in asked.items():
        if one.control_of in inapplicable:
            continue
        why = build(one.protection.name, one.protection.settings).why_not(target.recipe, target.split.train)
        if why is not None:
            inapplicable[name] = why
            continue
        own = _Defended(one)
        controls[name] = tuple(own.cell(cell) for cell in plain.controls)
        for (attack, size), members in plain.trials.items():
            trials[name, attack, size] = tuple(own.trial(trial) for trial in members)
    if not controls:
        raise NotApplicable("; ".join(f"{name}: {why}" for name, why in inapplicable.items()))
    known = frozenset(
        (name, attack)
        for name in controls
        for attack in dict.fromkeys(attack for attack, _ in plain.trials)
        if asked[name].knows((attack, *plain.aliases.get(attack, ())))
    )
    return DefenseDesign(plain, controls, trials, inapplicable, known)


class _Defended:
    """Cells with one defence."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked

    def cell(self, cell: Cell) -> Cell:
        return replace(cell, label=f"{cell.label}, {self.asked.label}", defense=self.asked.protection)

    def trial(self, trial: Trial) -> Trial:
        return replace(trial, attacked=self.cell(trial.attacked), control=self.cell(trial.control))
