"""The check "simulate": what does a poisoning do over rounds of retraining on what users click, and does it go away?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..attacks.targets import WORDS, Stratum
from ..audit.cell import Cell
from ..audit.evidence import Evidence, Unit
from ..audit.probe import NotApplicable, Probe, Results
from ..recommenders.target import Target
from .config import BASE, SimulationConfig
from .feedback import examination
from .pairs import Rounds, Simulations, effect, make_simulations
from .stability import across, agrees
from .truth import FEWEST

_TITLES = {
    "final": "Gain in what {item} gets of users' attention after {rounds} rounds under {size} fake users ({attack})",
    "peak": "Largest gain of a round in what {item} gets of users' attention under {size} fake users ({attack})",
    "after_removal": "What {item} keeps of it {recovery} rounds after the removal of {size} fake users ({attack})",
}
_LOOKED = "share of what users look at in their lists (places weighted by r^-eta), difference in -1..1"


class SimulationProbe(Probe):
    """Poisoned less clean arms of retraining on simulated clicks, paired by target and seed.

    Evidence: `simulate.ATTACK.SIZE.STRATUM.target_share.final`, gain of the target's share of exposure in the last
    round with the fake accounts; `...peak`, in the round of the largest mean gain; `...after_removal`, what is left in
    the last round without them; `simulate.ATTACK.SIZE.concentration`, change of the Gini index of exposure, final;
    `simulate.ATTACK.SIZE.stability`, share of the other user models under which a final gain or one after the removal
    has another sign or size. Higher is worse throughout. Units are (target, seed) pairs; stability has none and is not
    uncertain: it says what was found. All rounds and user models are in the details.
    """

    key = "simulate"
    title = "What does a poisoning do over rounds of retraining on clicks?"
    reference = (
        "our design (docs/methods/simulate.md); Dean, Dong, Jagadeesan, Liu 2024, Accounting for AI and Users Shaping "
        "One Another, arXiv 2404.12366"
    )
    config_type = SimulationConfig

    def simulations(self, target: Target) -> Simulations:
        """The arms on this target.

        Raises:
            NotApplicable: the log is too small to fit preferences to, or no attack or target fits.
            InputError: a named item that the log does not have.
        """
        events = len(target.split.history) + len(target.split.test)
        if events < FEWEST:
            raise NotApplicable(f"the log has {events} events, fewer than the {FEWEST} that preferences are fitted to")
        return make_simulations(target, self.config, self.seed)

    def cells(self, target: Target) -> Sequence[Cell]:
        """For each user model a clean arm a seed, and an arm for each attack, size, target and seed."""
        return self.simulations(target).cells()

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By attack and size: the target's share by stratum, concentration, stability."""
        simulations = self.simulations(target)
        design, log = simulations.design, target.split.train
        found: list[Evidence] = []
        for attack, size in design.trials:
            models = {name: Rounds(log, results, simulations.pairs[attack, size, name]) for name in self.config.people}
            strata = tuple(dict.fromkeys(design.targets.strata))
            judged = across(models, strata, self.config, self.seed)
            details = self._details(simulations, attack, size) | {"stable": _stable(judged)}
            for stratum in strata:
                found += self._shares(attack, size, stratum, models[BASE].of(stratum), details, log.n_users)
            found.append(self._concentration(attack, size, models[BASE], details))
            if self.config.variants:
                found.append(self._stability(attack, size, models, judged, details))
        for name in design.inapplicable:
            why = f"attack {name} cannot push an item on {design.kind} data"
            found.append(self.made(f"{name}.none", why, "none", "none", "higher", missing=why))
        return found

    def _shares(
        self, attack: str, size: str, stratum: Stratum, rounds: Rounds, details: Mapping[str, Any], n_users: int
    ) -> Iterator[Evidence]:
        config: SimulationConfig = self.config
        course = config.course
        gains = {number: effect(rounds.units("share", number)) for number in range(1, course.total + 1)}
        there = {number: gain for number, gain in gains.items() if gain is not None}
        moments = {"final": course.rounds, "peak": max(there, key=lambda n: there[n], default=course.rounds)}
        if course.recovery:
            moments["after_removal"] = course.total
        weights = examination(course.cutoff, course.eta)
        shown: dict[str, Any] = {
            **details, "stratum": stratum, "gain_by_round": list(gains.values()), "first": gains[1],
            "by_round": {name: rounds.means(name, course.total) for name in self._of_targets()},
        }  # fmt: skip
        final, last = gains[course.rounds], gains[course.total]
        if course.recovery and final is not None and last is not None and final > config.negligible:
            shown["left"] = last / final
        for moment, number in moments.items():
            series = shown["by_round"]["share"]
            words = {"item": WORDS[stratum] + " item", "rounds": course.rounds, "recovery": course.recovery}
            yield self._paired(
                f"{attack}.{size}.{stratum}.target_share.{moment}",
                _TITLES[moment].format(size=size, attack=attack, **words),
                "target_share",
                _LOOKED,
                rounds,
                rounds.units("share", number),
                resolution=float(weights[-1] / weights.sum()) / max(n_users, 1),
                baseline={
                    name: value
                    for name, value in (("clean", series["clean"][number - 1]), ("gain in the first round", gains[1]))
                    if value is not None
                },
                details=shown | {"moment": moment, "round": number, "poisoned": series["poisoned"][number - 1]},
            )

    def _concentration(self, attack: str, size: str, rounds: Rounds, details: Mapping[str, Any]) -> Evidence:
        course = self.config.course
        series = {name: rounds.means(name, course.total, of_target=False) for name in self._of_systems()}
        clean = series["gini"]["clean"][course.rounds - 1]
        last = effect(rounds.units("gini", course.total, of_target=False))
        return self._paired(
            f"{attack}.{size}.concentration",
            f"Change in how unevenly items are shown after {course.rounds} rounds, under {size} fake users ({attack})",
            "gini",
            "Gini index of exposure, poisoned less clean, difference in -1..1",
            rounds,
            rounds.units("gini", course.rounds, of_target=False),
            baseline={} if clean is None else {"clean": clean},
            details={**details, "by_round": series, "after_removal": last if course.recovery else None},
        )

    def _stability(
        self,
        attack: str,
        size: str,
        models: Mapping[str, Rounds],
        judged: Mapping[str, Any],
        details: Mapping[str, Any],
    ) -> Evidence:
        config: SimulationConfig = self.config
        head = (
            f"{attack}.{size}.stability",
            f"How often gains are others under other models of the user, {size} fake users ({attack})",
            "unstable_share",
            "share of the other user models, 0..1; 0 = the same sign and size under all",
        )
        details = {**details, "variants": dict(judged), "factor": config.factor, "negligible": config.negligible}
        keys = sorted({key for rounds in models.values() for key in rounds.keys})
        lacking = [name for name, rounds in models.items() if not rounds.complete]
        if lacking or _stable(judged) is None:
            why = f"arms of the user models {', '.join(lacking or judged)} are missing; see the failures"
            return self.made(*head, "higher", missing=why, details=details, cells=keys)
        off = [name for name, claims in judged.items() if not agrees(claims)]
        return self.made(
            *head, "higher", estimate=len(off) / len(judged), n=len(judged), standard_error=0.0, limits=(0.0, 1.0),
            details=details | {"differs": off}, cells=keys,
        )  # fmt: skip

    def _paired(
        self, name: str, title: str, measure: str, unit: str, rounds: Rounds, units: Sequence[Unit], **values: Any
    ) -> Evidence:
        if not units:
            why = "no pair of a poisoned and a clean arm was computed; see the failures"
            kept = {"details": values["details"], "cells": rounds.keys}
            return self.made(name, title, measure, unit, "higher", missing=why, **kept)
        return self.made(
            name, title, measure, unit, "higher", estimate=effect(units), n=len(units), units=list(units),
            limits=(-1.0, 1.0), cells=rounds.keys, **values,
        )  # fmt: skip

    def _details(self, simulations: Simulations, attack: str, size: str) -> dict[str, Any]:
        config: SimulationConfig = self.config
        design = simulations.design
        accounts = design.trials[attack, size][0].attacked.params["injection"]["accounts"]
        return {
            "attack": attack, "size": size, "size_share": accounts / design.genuine, "accounts": accounts,
            "profile": design.profile, "kind": design.kind, "knowledge": config.knowledge, "rounds": config.rounds,
            "recovery": config.recovery, "users": config.users.model_dump(mode="json"),
        }  # fmt: skip

    def _of_targets(self) -> tuple[str, ...]:
        return "share", "holders", f"hr@{self.config.cutoff}", "log2_rank"

    def _of_systems(self) -> tuple[str, ...]:
        return "gini", f"ndcg@{self.config.cutoff}", "clicks", "events"


def _stable(judged: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bool | None:
    """Whether all other user models show the same; None where none was tried or something is missing."""
    said = [agrees(claims) for claims in judged.values()]
    return None if not said or None in said else all(said)
