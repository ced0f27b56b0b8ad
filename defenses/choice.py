"""Which defence to take: the one that leaves least of the worst attack at a price the operator accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..attacks.design import Trial
from ..attacks.reading import Reader, by_cluster
from ..audit.cell import Cell
from ..audit.probe import Results
from ..datasets.log import InteractionLog
from .design import DefenseDesign

NONE = "none"
"""Doing nothing: costs nothing, and leaves what the undefended model suffers."""


@dataclass(frozen=True)
class Outcome:
    """What a defence came to.

    Attributes:
        left: by attack and size, what is left of the rank shift, log2; means over targets and seeds. Of an attack that
            the defence simulates to learn from it has no credit: what the undefended model suffers, if that is more.
        price: share of NDCG@K lost without an attack; negative if it gained.
    """

    left: Mapping[tuple[str, str], float]
    price: float

    @property
    def worst(self) -> tuple[str, str]:
        """The attack and size that leave most."""
        return max(self.left, key=lambda case: (self.left[case], case))


def best(outcomes: Mapping[str, Outcome], tolerance: float) -> str | None:
    """The defence whose worst case leaves least among those that cost no more than the tolerance; None if none does.

    `NONE` if it is among the outcomes and no such defence leaves less.

    Only defences that were measured against every case that any of them was measured against are compared: one with a
    failed cell would win by what it does not show.
    """
    cases = {case for outcome in outcomes.values() for case in outcome.left}
    fair = [name for name, own in outcomes.items() if own.price <= tolerance and set(own.left) == cases and cases]
    if not set(fair) - {NONE}:
        return None

    def order(name: str) -> tuple[float, bool, float]:
        own = outcomes[name]
        return own.left[own.worst], name != NONE, own.price

    return min(fair, key=order)


def outcomes(design: DefenseDesign, log: InteractionLog, results: Results, measure: str) -> dict[str, Outcome]:
    """What every defence came to where all of it was computed, and `NONE` in the cases any was measured against.

    `measure` is what the price is a share of.
    """
    plain = {case: _left(trials, log, results) for case, trials in design.attacks.trials.items()}
    found = {}
    for name, controls in design.controls.items():
        left = {
            (attack, size): max(shift, plain[attack, size] or shift) if (name, attack) in design.known else shift
            for (defense, attack, size), trials in design.trials.items()
            if defense == name and (shift := _left(trials, log, results)) is not None
        }
        prices = _prices(design.attacks.controls, controls, results, measure)
        if left and prices:
            found[name] = Outcome(left, float(np.mean(prices)))
    cases = {case for own in found.values() for case in own.left}
    undefended = {case: shift for case, shift in sorted(plain.items()) if shift is not None and case in cases}
    return found | ({NONE: Outcome(undefended, 0.0)} if undefended else {})


def trials_of(design: DefenseDesign, name: str, case: tuple[str, str]) -> Sequence[Trial]:
    """The trials of a defence, or of `NONE`, against an attack and size."""
    return design.attacks.trials[case] if name == NONE else design.trials[name, *case]


def _left(trials: Sequence[Trial], log: InteractionLog, results: Results) -> float | None:
    """What is left of the rank shift, log2, mean over targets and seeds; None if a trial failed."""
    reader = Reader(log, results, trials)
    units = reader.units("log2_rank", -1, watched=True)
    return by_cluster(units) if units and reader.complete else None


def _prices(before: Sequence[Cell], after: Sequence[Cell], results: Results, measure: str) -> list[float]:
    """Shares of a measure lost without an attack, one a seed."""
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a in results and b in results]
    levels = [(results[a].values.get(measure), results[b].values.get(measure)) for a, b in pairs]
    return [1 - now / then for then, now in levels if now is not None and then]
