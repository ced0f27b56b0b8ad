"""Reading the values of paired trials out of the results of an audit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..audit.cell import Cell
from ..audit.evidence import Unit
from ..audit.probe import Results
from ..audit.statistics import cluster_means
from ..datasets.log import InteractionLog
from .design import Trial
from .visibility import PREFIX


class Reader:
    """Values of some trials, of those that were computed with their control."""

    def __init__(self, log: InteractionLog, results: Results, trials: Sequence[Trial]) -> None:
        """Keep the trials that can be compared; `complete` says whether those are all."""
        self.log = log
        self.results = results
        self.trials = [trial for trial in trials if trial.attacked in results and trial.control in results]
        self.complete = bool(self.trials) and len(self.trials) == len(trials)

    def keys(self, trial: Trial) -> list[str]:
        """Keys of the trial's computed cells."""
        cells = (trial.attacked, trial.control, trial.clones)
        return [self.results[cell].key for cell in cells if cell in self.results]

    @property
    def cells(self) -> list[str]:
        """Keys of all computed cells of the trials, each once."""
        return sorted({key for trial in self.trials for key in self.keys(trial)})

    def value(self, cell: Cell, item: int, name: str, watched: bool) -> float | None:
        """One value; None if it is undefined, was not measured or its cell failed."""
        if cell not in self.results:
            return None
        return self.results[cell].values.get(f"target/{self.log.item_ids[item]}/{name}" if watched else name)

    def values(self, side: str, name: str, watched: bool = True) -> list[float]:
        """A value of each trial on one side: "attacked", "control" or "clones"."""
        found = (self.value(getattr(trial, side), trial.item, name, watched) for trial in self.trials)
        return [value for value in found if value is not None]

    def changes(self, name: str, watched: bool = True, side: str = "attacked") -> list[float]:
        """One side less control, for each trial."""
        pairs = (
            (
                self.value(getattr(trial, side), trial.item, name, watched),
                self.value(trial.control, trial.item, name, watched),
            )
            for trial in self.trials
        )
        return [after - before for after, before in pairs if after is not None and before is not None]

    def units(self, name: str, sign: int, watched: bool) -> list[Unit]:
        """Paired differences, attacked less control times the sign."""
        found = []
        for trial in self.trials:
            after = self.value(trial.attacked, trial.item, name, watched)
            before = self.value(trial.control, trial.item, name, watched)
            if after is not None and before is not None:
                item = str(self.log.item_ids[trial.item])
                found.append(Unit(cluster=item, seed=trial.attacked.seed, value=sign * (after - before)))
        return found

    def of_the_same(self, units: Sequence[Unit], name: str, sign: int) -> list[Unit]:
        """`units` of these trials for the targets and seeds of other ones, as far as they are known."""
        there = {(unit.cluster, unit.seed) for unit in units}
        return [one for one in self.units(name, sign, watched=True) if (one.cluster, one.seed) in there]

    def observed(self) -> list[str]:
        """Names of what was observed of the accounts themselves."""
        names = {name for trial in self.trials for name in self.results[trial.attacked].values}
        return sorted(name for name in names if name.startswith(PREFIX))

    def alone(self, name: str) -> list[Unit]:
        """Values of the attacked side, one for each trial."""
        found = []
        for trial in self.trials:
            value = self.value(trial.attacked, trial.item, name, watched=False)
            if value is not None:
                item = str(self.log.item_ids[trial.item])
                found.append(Unit(cluster=item, seed=trial.attacked.seed, value=value))
        return found

    @property
    def resolution(self) -> float:
        """The largest step that one user makes in a hit rate."""
        eligible = [count for count in self.values("control", "eligible") if count > 0]
        return 1 / min(eligible) if eligible else 0.0


def mean(values: Sequence[float]) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean(values)) if values else None


def by_cluster(units: Sequence[Unit]) -> float:
    """The mean over clusters of their means."""
    return float(cluster_means([unit.value for unit in units], [unit.cluster for unit in units]).mean())
