"""The check "privacy": can an outsider tell what a model was trained on?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...audit.cell import Cell
from ...audit.evidence import Evidence
from ...audit.probe import NotApplicable, Probe, Results
from ...datasets.errors import DataError
from ...datasets.seeding import derive
from ...datasets.split import Split
from ...recommenders.catalogue import reads_order
from ...recommenders.target import Target
from ..extraction.copies import why_not as why_not_asked
from ..mitigations.base import Mitigation
from .candidates import Candidates, Unit
from .config import PrivacyConfig
from .findings import against_checkpoint, bound_of, caught_details, game_details
from .game import Game, play
from .reading import Access
from .shadow import NONE, Draw, Shadow, material
from .taste import AS_SERVED, FOLDED, LENGTH, TITLES, play_taste

_SEES = {
    "scores": "all scores", "ranks": "the ranks of all items", "lists": "the top {k} list alone",
    "weights": "the weights",
}  # fmt: skip
_AUC = "AUC of members against others, 0..1; .5 = no better than chance"
_TPR = "share of members told apart, 0..1, at the false alarms that the references allow"


@dataclass(frozen=True)
class Arm:
    """Models that are trained and served alike.

    Attributes:
        unit: what is guessed.
        name: of the mitigation, NONE without one.
        serving: under which name the answers stand.
        cells: a model each.
    """

    unit: Unit
    name: str
    serving: str
    cells: tuple[Cell, ...]


class PrivacyProbe(Probe):
    """Membership inference against models of the audited recipe, whose candidates fair coins chose.

    Evidence, ACCESS one of scores, ranks, lists, weights and ATTACK one of rmia, lira, plain:

    - `privacy.UNIT.ACCESS.ATTACK.auc` and `...tpr@1%`, the share of members above a threshold that lets one in a
      hundred others through; `privacy.UNIT.epsilon`, a lower bound on the epsilon of the training, by the first attack
      and the first access that all arms share;
    - `privacy.checkpoint.ACCESS.ATTACK.auc`: the checkpoint itself, its training pairs against held-out ones;
    - `privacy.mitigation.NAME.UNIT...` the same under a mitigation, and `privacy.mitigation.NAME.utility.ndcg@K`, the
      change against none (worse: lower; of all others higher);
    - `privacy.outsider.NAME.UNIT.ACCESS.ATTACK.auc`: references trained as under the mitigation, victims not;
    - of users seen by lists `privacy.users.lists.taste-folded.auc` and `...tpr@1%`, and `...taste-as-served.auc`,
      which tells who gets the fallback for unknown users, not what was learnt.
    """

    key = "privacy"
    title = "Can an outsider tell what the model was trained on?"
    reference = (
        "Carlini et al. 2022, Membership Inference Attacks From First Principles, IEEE S&P; Zarifzadeh, Liu, Shokri "
        "2024, ICML; Steinke, Nasr, Jagielski 2023, Privacy Auditing with One (1) Training Run, NeurIPS"
    )
    config_type = PrivacyConfig

    def __init__(self, config: Any, seed: int) -> None:
        """Keep settings and run seed."""
        super().__init__(config, seed)
        self._drawn: dict[Unit, tuple[Split, Candidates]] = {}

    def cells(self, target: Target) -> Sequence[Cell]:
        """The models of every arm, and the checkpoint."""
        why = [self.why_not(target, unit) for unit in self.config.units]
        if all(why):
            raise NotApplicable(str(why[0]))
        arms = self.arms(target)
        found = dict.fromkeys(cell for arm in arms for cell in arm.cells)
        if any(arm.unit == "interactions" for arm in arms):
            found[self._checkpoint()] = None
        return list(found)

    def arms(self, target: Target) -> list[Arm]:
        """What is trained: the recipe as it is with all that only serves in another way, then other trainings."""
        fitting = {name: own for name, own in self.config.built.items() if own.why_not(target.recipe) is None}
        served = {NONE: Mitigation()} | {name: own for name, own in fitting.items() if not own.trains}
        found = []
        for unit in self.config.units:
            if self.why_not(target, unit) is not None:
                continue
            plain = self._models(unit, Mitigation(), served, "")
            found += [Arm(unit, name, name, plain) for name in served]
            for name, own in fitting.items():
                if own.trains:
                    found.append(Arm(unit, name, NONE, self._models(unit, own, {NONE: Mitigation()}, f" {name}")))
        return found

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By unit, then by mitigation."""
        found: list[Evidence] = []
        plain: dict[Unit, Arm] = {}
        for arm in self.arms(target):
            asked = self._candidates(target, arm.unit)
            there = [cell for cell in arm.cells if cell in results]
            where = arm.unit if arm.name == NONE else f"mitigation.{arm.name}.{arm.unit}"
            if len(there) < 4:
                why = f"only {len(there)} of {len(arm.cells)} models could be trained and read; see the failures"
                found.append(self.made(f"{where}.auc", f"Members of {where}", "auc", _AUC, "higher", missing=why))
                continue
            answers = [results.arrays(cell) for cell in there]
            keys = [results[cell].key for cell in there]
            if arm.name == NONE:
                plain[arm.unit] = arm
            found += self._of_arm(arm, where, asked, answers, keys, results, there, target)
            if arm.name == NONE or arm.unit not in plain:
                continue
            if arm.serving == NONE:
                found += self._outsider(arm, plain[arm.unit], asked, results)
            if arm.unit == "interactions":
                found.append(self._price(arm, plain[arm.unit], results))
        for unit in self.config.units:
            if (refused := self.why_not(target, unit)) is not None:
                found.append(self.made(f"{unit}.auc", f"Members of {unit}", "auc", _AUC, "higher", missing=refused))
        for name, own in self.config.built.items():
            why_not = own.why_not(target.recipe)
            if why_not is not None:
                head = f"mitigation.{name}.none", f"Mitigation {name}", "none", "none"
                found.append(self.made(*head, "higher", missing=why_not))
        return found

    def _of_arm(
        self,
        arm: Arm,
        where: str,
        asked: Candidates,
        answers: Sequence[Mapping[str, NDArray[Any]]],
        keys: list[str],
        results: Results,
        there: Sequence[Cell],
        target: Target,
    ) -> Iterator[Evidence]:
        config: PrivacyConfig = self.config
        first: tuple[Access, Game, NDArray[np.bool_]] | None = None
        shared = [
            access for access in config.access if all(_reads(other, access, target) for other in self.arms(target))
        ]
        for access in config.access:
            if not _reads(arm, access, target):
                if arm.serving != NONE:
                    continue
                why = "a system that is only asked shows no weights"
                yield self.made(f"{where}.weights.auc", f"Members of {where}", "auc", _AUC, "higher", missing=why)
                continue
            stuff = material(asked, answers, f"{arm.serving}/{access}")
            for attack in config.attacks:
                game = play(stuff, attack, asked.user)
                details = self._details(arm, access, attack) | game_details(asked, game, stuff.included, config.cutoff)
                yield self._auc(f"{where}.{access}.{attack}", arm, access, attack, game, details, keys)
                yield self._tpr(f"{where}.{access}.{attack}", arm, access, attack, game, details, keys)
                # fixed before any number is seen: the first attack of the policy, and the first access of all arms
                if first is None and access in (shared or config.access):
                    first = access, game, stuff.included
            if arm.name == NONE and arm.unit == "interactions" and self._checkpoint() in results:
                yield from self._checkpoints(asked, answers, access, results, keys)
        if "lists" in config.access:
            yield from self._tastes(where, arm, asked, answers, keys)
        if first is not None:
            yield self._epsilon(where, arm, *first, keys)

    def _tastes(
        self, where: str, arm: Arm, asked: Candidates, answers: Sequence[Mapping[str, NDArray[Any]]], keys: list[str]
    ) -> Iterator[Evidence]:
        """The attack on lists by taste, of users."""
        included = np.stack([own["included"] for own in answers])
        for taste, title in TITLES.items():
            name = f"{arm.serving}/{taste}"
            if name not in answers[0]:
                continue
            found = [own[name] for own in answers]
            game = play_taste(found, included, asked.user, derive(self.seed, "privacy", arm.unit))
            details = self._details(arm, "lists", title) | game_details(asked, game, included, LENGTH)
            if taste == AS_SERVED:
                # no curve among those of what leaks, and no rate that a bound on leaks would judge
                details.pop("roc")
            yield self._auc(f"{where}.lists.{taste}", arm, "lists", title, game, details, keys)
            if taste == FOLDED:
                yield self._tpr(f"{where}.lists.{taste}", arm, "lists", title, game, details, keys)

    def _auc(
        self, name: str, arm: Arm, access: Access, attack: str, game: Game, details: Mapping[str, Any], keys: list[str]
    ) -> Evidence:
        title = f"How well members are told apart from {_sees(access, details)} ({attack}, {arm.unit}{_with(arm)})"
        return self.made(
            f"{name}.auc", title, "auc", _AUC, "higher", estimate=game.auc, n=game.users, standard_error=game.error,
            limits=(0.0, 1.0), baseline={"chance": 0.5}, details=details, cells=keys,
        )  # fmt: skip

    def _tpr(
        self, name: str, arm: Arm, access: Access, attack: str, game: Game, details: Mapping[str, Any], keys: list[str]
    ) -> Evidence:
        title = (
            f"Members told apart at 1 % false alarms from {_sees(access, details)} ({attack}, {arm.unit}{_with(arm)})"
        )
        first = game.caught[0]
        figures: dict[str, Any] = {"missing": first.why_not}
        if first.why_not is None:
            figures = {
                "estimate": first.tpr, "n": game.users, "standard_error": first.error, "limits": (0.0, 1.0),
                "baseline": {"chance": first.rate, "false alarms": first.fpr},
            }  # fmt: skip
        return self.made(
            f"{name}.tpr@1%", title, "tpr@1%", _TPR, "higher", **figures,
            details={**self._details(arm, access, attack), **caught_details(game)}, cells=keys,
        )  # fmt: skip

    def _epsilon(
        self, where: str, arm: Arm, access: Access, game: Game, included: NDArray[np.bool_], keys: list[str]
    ) -> Evidence:
        found = bound_of(game, included, self.config.delta)
        title = f"Least epsilon of the training that the guesses are compatible with ({arm.unit}{_with(arm)})"
        return self.made(
            f"{where}.epsilon", title, "epsilon", "lower bound on epsilon at 95 % confidence, 0 and above", "higher",
            estimate=found["epsilon"], n=game.users,
            baseline={"ceiling": found["ceiling"], "nothing leaks": 0.0},
            details=self._details(arm, access, self.config.attacks[0]) | found, cells=keys,
        )  # fmt: skip

    def _checkpoints(
        self,
        asked: Candidates,
        answers: Sequence[Mapping[str, NDArray[Any]]],
        access: Access,
        results: Results,
        keys: list[str],
    ) -> Iterator[Evidence]:
        own = self._checkpoint()
        stuff = material(asked, [*answers, results.arrays(own)], f"{NONE}/{access}")
        for attack in self.config.attacks:
            found = against_checkpoint(asked, stuff, attack)
            seen = _sees(access, {"cutoff": self.config.cutoff})
            title = f"How well the checkpoint's training pairs are told apart from {seen} ({attack})"
            yield self.made(
                f"checkpoint.{access}.{attack}.auc", title, "auc", _AUC, "higher", estimate=found["auc"],
                n=found["users"], standard_error=found["error"], limits=(0.0, 1.0),
                baseline={"the split alone": found["confound"]} if found["confound"] is not None else {"chance": 0.5},
                details=found | {"access": access, "attack": attack}, cells=[*keys, results[own].key],
            )  # fmt: skip

    def _outsider(self, arm: Arm, plain: Arm, asked: Candidates, results: Results) -> Iterator[Evidence]:
        """Attacks on the audited recipe by an outsider whose own models are those of another arm: a wrong recipe."""
        config: PrivacyConfig = self.config
        pairs = [pair for pair in zip(arm.cells, plain.cells, strict=True) if all(cell in results for cell in pair)]
        if len(pairs) < 4:
            return
        theirs, ours = ([results.arrays(cell) for cell in side] for side in zip(*pairs, strict=True))
        keys = [results[cell].key for pair in pairs for cell in pair]
        for access in config.access:
            stuff, others = (material(asked, side, f"{NONE}/{access}") for side in (ours, theirs))
            for attack in config.attacks:
                if attack == "plain":
                    continue
                game = play(stuff, attack, asked.user, outsider=others)
                details = self._details(plain, access, attack) | {"outsider": arm.name} | caught_details(game)
                seen = _sees(access, {"cutoff": config.cutoff})
                title = f"Members told apart from {seen} by references trained as {arm.name} ({attack}, {arm.unit})"
                yield self.made(
                    f"outsider.{arm.name}.{arm.unit}.{access}.{attack}.auc", title, "auc", _AUC, "higher",
                    estimate=game.auc, n=game.users, standard_error=game.error, limits=(0.0, 1.0),
                    baseline={"chance": 0.5}, details=details, cells=keys,
                )  # fmt: skip

    def _price(self, arm: Arm, plain: Arm, results: Results) -> Evidence:
        k = self.config.cutoff
        head = (
            f"mitigation.{arm.name}.utility.ndcg@{k}", f"Change of NDCG@{k} by the mitigation {arm.name}", f"ndcg@{k}",
            "difference to the same trainings without it, in -1..1",
        )  # fmt: skip
        pairs = [
            (results[own].values[f"{arm.serving}/ndcg@{k}"], results[other].values[f"{NONE}/ndcg@{k}"])
            for own, other in zip(arm.cells, plain.cells, strict=True)
            if own in results and other in results
        ]
        off = np.array([own - other for own, other in pairs if own is not None and other is not None])
        if len(off) < 2:
            return self.made(*head, "lower", missing="fewer than two pairs of trainings")
        units = [{"cluster": f"model {place}", "seed": place, "value": float(value)} for place, value in enumerate(off)]
        before = float(np.mean([other for _, other in pairs if other is not None]))
        return self.made(
            *head, "lower", estimate=float(off.mean()), n=len(off), units=units, limits=(-1.0, 1.0),
            baseline={"without it": before}, details={"mitigation": arm.name},
            cells=[results[cell].key for cell in arm.cells if cell in results],
        )  # fmt: skip

    def _details(self, arm: Arm, access: Access, attack: str) -> dict[str, Any]:
        return {
            "unit": arm.unit, "access": access, "attack": attack, "models": len(arm.cells),
            "mitigation": None if arm.name == NONE else arm.name,
        }  # fmt: skip

    def _draw(self, unit: Unit) -> Draw:
        config: PrivacyConfig = self.config
        planted = config.planted if unit == "interactions" else 0
        return Draw(unit, config.candidates, planted, derive(self.seed, "privacy", unit), config.cutoff, config.overlap)

    def why_not(self, target: Target, unit: Unit) -> str | None:
        """Why a unit cannot be guessed about; None if it can."""
        if unit == "users" and not reads_order(target.recipe) and not hasattr(target.model, "embeddings"):
            why = why_not_asked(target.model)
            if why is not None:  # who was never trained could be told by what the model has not kept of them
                return f"users cannot be folded in: {why}"
        try:
            self._candidates(target, unit)
        except DataError as error:
            return str(error)
        return None

    def _candidates(self, target: Target, unit: Unit) -> Candidates:
        """The candidates, drawn once for a split; DataError."""
        if unit not in self._drawn or self._drawn[unit][0] is not target.split:
            asked = self._draw(unit).candidates(target.split, reads_order(target.recipe))
            self._drawn[unit] = target.split, asked
        return self._drawn[unit][1]

    def _models(
        self, unit: Unit, training: Mitigation, servings: Mapping[str, Mitigation], label: str
    ) -> tuple[Cell, ...]:
        draw = self._draw(unit)
        return tuple(
            Cell(
                "inquiry", f"membership of {unit}, model {place + 1}{label}", derive(self.seed, "privacy", place),
                inquiry=Shadow(draw, place, training, servings),
            )
            for place in range(self.config.models)
        )  # fmt: skip

    def _checkpoint(self) -> Cell:
        shadow = Shadow(self._draw("interactions"), None)
        return Cell("inquiry", "membership in the checkpoint", inquiry=shadow)


def _reads(arm: Arm, access: Access, target: Target) -> bool:
    """Whether an arm is read by an access: another way to serve leaves the weights as they are, and some have none."""
    return access != "weights" or (arm.serving == NONE and target.model.family != "black box")


def _sees(access: Access, details: Mapping[str, Any]) -> str:
    return _SEES[access].format(k=details["cutoff"])


def _with(arm: Arm) -> str:
    return "" if arm.name == NONE else f", with {arm.name}"
