"""Requests to forget the accounts of an attack: is what the attack gained gone with them?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from ..attacks.config import InjectionConfig
from ..attacks.design import Design, Trial, make_design
from ..attacks.reading import Reader, by_cluster
from ..audit.cell import Answer, Cell, Injection
from ..audit.evidence import Evidence, Unit
from ..audit.probe import Results
from ..datasets.log import InteractionLog
from ..datasets.seeding import derive
from ..recommenders.catalogue import fit
from ..recommenders.target import Target
from .base import Served
from .catalogue import build
from .exact.retrain import Retrain
from .request import Request

VERSION = 1


@dataclass(frozen=True)
class Undoing:
    """A victim that is trained on a log with injected accounts and made to forget them (audit.cell.Inquiry).

    Attributes:
        injection: the accounts.
        method: the unlearner, which is told whom to forget.
        settings: of the unlearner.
    """

    injection: Injection
    method: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    keeps_arrays: ClassVar[bool] = True
    trainings: ClassVar[float] = 1.0

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        own = build(self.method, self.settings)
        return {
            "inquiry": "undoing", "version": VERSION, "injection": self.injection.describe(), "method": own.name,
            "own": own.version, "settings": own.config.model_dump(mode="json"),
        }  # fmt: skip

    def answer(self, target: Target, seed: int) -> Answer:
        """The model that has forgotten, to be measured on the genuine users; costs `fit`, `prepare`, `forget`."""
        split, times = target.split, [time.process_time()]
        log = split.train.with_accounts(self.injection.profiles(split.train, target.model))
        request = Request.of(log, "injected accounts", users=np.arange(split.train.n_users, log.n_users))
        held = replace(split.valid, user_ids=log.user_ids, users=log.users) if len(split.valid) else None
        served = Served(target.recipe, log, fit(target.recipe, log, seed), held_out=held)
        times.append(time.process_time())
        unlearner = build(self.method, self.settings)
        prepared = unlearner.prepare(served, seed)
        times.append(time.process_time())
        # a seed of its own: a retrain with that of the control would be the control
        after = unlearner.forget(prepared, request, derive(seed, "forget"))
        times.append(time.process_time())
        costs = dict(zip(("fit", "prepare", "forget"), np.diff(times).round(3).tolist(), strict=True))
        return Answer({}, costs=costs, served=(after.model, split.history))


@dataclass(frozen=True, eq=False)
class UndoingDesign:
    """The experiment.

    Attributes:
        attacks: controls and attacked refits.
        trials: by method, attack and size; the attacked side has forgotten the accounts.
    """

    attacks: Design
    trials: Mapping[tuple[str, str, str], tuple[Trial, ...]]

    def cells(self) -> list[Cell]:
        """Controls, attacked refits, models that forgot."""
        plain = [trial.attacked for own in self.attacks.trials.values() for trial in own]
        return [*self.attacks.controls, *plain, *(trial.attacked for own in self.trials.values() for trial in own)]


def make_undoing_design(
    target: Target, config: InjectionConfig, methods: Mapping[str, Mapping[str, Any]], seed: int
) -> UndoingDesign:
    """Every trial of the attacks again, its accounts forgotten by each method.

    Args:
        target: what is audited.
        config: attacks, sizes, targets, as in the check "promotion".
        methods: settings of the unlearners by name.
        seed: the run seed.

    Raises:
        NotApplicable: as `make_design`.
    """
    design = make_design(target, config, "push", seed)

    def forgotten(trial: Trial, method: str, settings: Mapping[str, Any]) -> Trial:
        cell = trial.attacked
        assert cell.injection is not None, "an attacked refit has accounts"
        undone = Undoing(cell.injection, method, settings)
        label = f"{cell.label}, forgotten by {method}"
        return replace(trial, attacked=Cell("inquiry", label, cell.seed, watch=cell.watch, inquiry=undone))

    return UndoingDesign(
        design,
        {
            (method, attack, size): tuple(forgotten(trial, method, settings) for trial in own)
            for method, settings in methods.items()
            for (attack, size), own in design.trials.items()
        },
    )


def undone(
    made: Callable[..., Evidence], design: UndoingDesign, log: InteractionLog, results: Results
) -> Iterator[Evidence]:
    """What is left of each attack's rank shift once a method has forgotten the accounts, the whole shift beside it.

    The shift has a sign: above 0 part of the attack is left, below 0 the pushed items stand lower than without it,
    which a rule for large shifts passes. So "retrain" in the details says what a retrain leaves: far from it in either
    direction is no retrain. Both are told only where they are known for every target and seed that the estimate has.

    Args:
        made: `Probe.made`.
        design: the experiment.
        log: the training log.
        results: of its cells.
    """
    for (method, attack, size), trials in design.trials.items():
        own, plain = Reader(log, results, trials), Reader(log, results, design.attacks.trials[attack, size])
        head = f"{method}.injected.{attack}.{size}.log2_rank_shift"
        title = f"What is left of {attack} ({size} fake users) when {method} has forgotten the accounts"
        unit = "log2 of the rank, control less attacked, mean over users"
        units = own.units("log2_rank", -1, watched=True)
        if not units:
            why = "a model of this comparison could not be trained; see the failures"
            yield made(head, title, "log2_rank_shift", unit, "higher", missing=why)
            continue
        before, clean = _shift(plain, units), None
        if (again := design.trials.get((Retrain.name, attack, size))) is not None:
            clean = _shift(Reader(log, results, again), units)
        yield made(
            head, title, "log2_rank_shift", unit, "higher", estimate=by_cluster(units), n=len(units), units=units,
            baseline={} if before is None else {"not forgotten": before},
            details={"unlearner": method, "attack": attack, "size": size, "retrain": clean},
            cells=own.cells,
        )  # fmt: skip


def _shift(reader: Reader, units: Sequence[Unit]) -> float | None:
    """The mean shift for the same targets and seeds; None where one of them is not known."""
    found = reader.of_the_same(units, "log2_rank", -1)
    return by_cluster(found) if len(found) == len(units) else None
