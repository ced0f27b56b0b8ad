"""Whether an effect is the same under other models of the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..attacks.targets import Stratum
from ..audit.evidence import Unit
from ..audit.statistics import interval
from .config import BASE, SimulationConfig
from .pairs import Rounds, effect

CONFIDENCE = 0.95


def same(base: float, other: float, factor: float, negligible: float) -> bool:
    """Whether two effects have one sign and one size.

    Effects up to `negligible` in size are none, and none is the same as none. Others must have the same sign, and
    neither may be more than `factor` times the other.
    """
    small, large = sorted((abs(base), abs(other)))
    if large <= negligible:
        return True
    return small > negligible and base * other > 0 and large <= factor * small


def across(
    models: Mapping[str, Rounds], strata: Sequence[Stratum], config: SimulationConfig, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """By other user model: `by_variant` of what is claimed of target shares, STRATUM.final, STRATUM.after_removal."""
    course = config.course
    moments = {"final": course.rounds} | ({"after_removal": course.total} if course.recovery else {})
    found: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in models if name != BASE}
    for stratum in strata:
        for moment, number in moments.items():
            units = {name: rounds.of(stratum).units("share", number) for name, rounds in models.items()}
            base = units.pop(BASE)
            for name, own in by_variant(base, units, config.factor, config.negligible, seed).items():
                found[name][f"{stratum}.{moment}"] = own
    return found


def agrees(claims: Mapping[str, Mapping[str, Any]]) -> bool | None:
    """Whether a user model shows the same in all that is claimed; None where something is missing."""
    said = [own["same"] for own in claims.values()]
    return None if not said or None in said else all(said)


def by_variant(
    base: Sequence[Unit], others: Mapping[str, Sequence[Unit]], factor: float, negligible: float, seed: int
) -> dict[str, dict[str, Any]]:
    """What each user model shows beside the base: effect, interval, difference to the base, paired, and `same`.

    Intervals have 95 % for each alone and go over targets; None with fewer than two.
    """
    was = effect(base)
    known = {(unit.cluster, unit.seed): unit.value for unit in base}
    found: dict[str, dict[str, Any]] = {}
    for name, units in others.items():
        now = effect(units)
        off = [
            unit.model_copy(update={"value": unit.value - known[unit.cluster, unit.seed]})
            for unit in units
            if (unit.cluster, unit.seed) in known
        ]
        found[name] = {
            "effect": now, "interval": _interval(units, seed),
            "difference": effect(off), "difference_interval": _interval(off, seed),
            "ratio": now / was if now is not None and was else None,
            "same": None if was is None or now is None else same(was, now, factor, negligible),
        }  # fmt: skip
    return found


def _interval(units: Sequence[Unit], seed: int) -> list[float] | None:
    found = interval([unit.value for unit in units], [unit.cluster for unit in units], CONFIDENCE, seed)
    return None if found is None else list(found)
