"""Poisoned and clean arms side by side, by target and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..attacks.design import Design, make_design
from ..attacks.targets import Stratum
from ..audit.cell import Cell
from ..audit.evidence import Unit
from ..audit.probe import Results
from ..datasets.log import InteractionLog
from ..datasets.seeding import derive
from ..recommenders.target import Target
from .arm import Arm
from .config import SimulationConfig


@dataclass(frozen=True)
class Pair:
    """One target item under one seed: the arm with fake accounts, and the clean one with all targets."""

    item: int
    stratum: Stratum
    poisoned: Cell
    clean: Cell


@dataclass(frozen=True, eq=False)
class Simulations:
    """All arms of the check.

    Attributes:
        design: the trials of the check "promotion" with these settings, whose targets, seeds and accounts are used.
        pairs: by attack, size and user model.
    """

    design: Design
    pairs: Mapping[tuple[str, str, str], tuple[Pair, ...]]

    def cells(self) -> list[Cell]:
        """Clean arms first, each once."""
        every = [pair for pairs in self.pairs.values() for pair in pairs]
        return list(dict.fromkeys([*(pair.clean for pair in every), *(pair.poisoned for pair in every)]))


def make_simulations(target: Target, config: SimulationConfig, seed: int) -> Simulations:
    """Lay out the arms; deterministic, trains nothing.

    Raises:
        NotApplicable, InputError: as `make_design`.
    """
    design = make_design(target, config, "push", seed)
    tastes = derive(seed, "tastes")
    clean: dict[tuple[str, int], Cell] = {}
    pairs: dict[tuple[str, str, str], tuple[Pair, ...]] = {}
    for (attack, size), trials in design.trials.items():
        for name, people in config.people.items():
            found = []
            for trial in trials:
                own = trial.attacked.seed
                if (name, own) not in clean:
                    arm = Arm(None, people, config.course, design.targets.items, tastes)
                    label = f"simulation, no attack, users {name}, seed {design.controls.index(trial.control)}"
                    clean[name, own] = Cell("inquiry", label, own, watch=arm.watch, inquiry=arm)
                injection = trial.attacked.injection
                arm = Arm(injection, people, config.course, (trial.item,), tastes)
                label = f"simulation, users {name}: {trial.attacked.label}"
                poisoned = Cell("inquiry", label, own, watch=arm.watch, inquiry=arm)
                found.append(Pair(trial.item, trial.stratum, poisoned, clean[name, own]))
            pairs[attack, size, name] = tuple(found)
    return Simulations(design, pairs)


class Rounds:
    """Values of some pairs by round, of those whose two arms were computed."""

    def __init__(self, log: InteractionLog, results: Results, pairs: Sequence[Pair]) -> None:
        """Keep the pairs that can be compared; `complete` says whether those are all."""
        self.log = log
        self.results = results
        self.pairs = [pair for pair in pairs if pair.poisoned in results and pair.clean in results]
        self.complete = bool(self.pairs) and len(self.pairs) == len(pairs)

    def of(self, stratum: Stratum) -> Rounds:
        """Those on targets of one stratum."""
        return Rounds(self.log, self.results, [pair for pair in self.pairs if pair.stratum == stratum])

    @property
    def keys(self) -> list[str]:
        """Keys of their cells."""
        return sorted({self.results[cell].key for pair in self.pairs for cell in (pair.poisoned, pair.clean)})

    def units(self, measure: str, number: int, of_target: bool = True) -> list[Unit]:
        """Poisoned less clean, one for each pair in which both are defined."""
        found = []
        for pair in self.pairs:
            after = self._value(pair, pair.poisoned, measure, number, of_target)
            before = self._value(pair, pair.clean, measure, number, of_target)
            if after is not None and before is not None:
                unit = Unit(cluster=str(self.log.item_ids[pair.item]), seed=pair.poisoned.seed, value=after - before)
                found.append(unit)
        return found

    def means(self, measure: str, total: int, of_target: bool = True) -> dict[str, list[float | None]]:
        """Means over the pairs by round, of both arms: "clean", "poisoned"."""
        found: dict[str, list[float | None]] = {"clean": [], "poisoned": []}
        for number in range(1, total + 1):
            for side, series in found.items():
                values = [self._value(pair, getattr(pair, side), measure, number, of_target) for pair in self.pairs]
                there = [value for value in values if value is not None]
                series.append(float(np.mean(there)) if there else None)
        return found

    def _value(self, pair: Pair, cell: Cell, measure: str, number: int, of_target: bool) -> float | None:
        item = f"target/{self.log.item_ids[pair.item]}/" if of_target else ""
        return self.results[cell].values.get(f"{item}round/{number}/{measure}")


def effect(units: Sequence[Unit]) -> float | None:
    """The mean over targets of the mean over seeds; None of nothing."""
    by_target: dict[str, list[float]] = {}
    for unit in units:
        by_target.setdefault(unit.cluster, []).append(unit.value)
    return float(np.mean([np.mean(values) for values in by_target.values()])) if by_target else None
