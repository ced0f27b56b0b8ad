"""The check "defense": does a defence take from an attack what it gains, and at what price?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import Field, field_validator, model_validator

from ..attacks.config import InjectionConfig
from ..attacks.reading import Reader, by_cluster, mean
from ..audit.cell import Cell
from ..audit.evidence import Evidence, Unit
from ..audit.probe import Probe, Results
from ..audit.statistics import interval
from ..datasets.log import InteractionLog
from ..recommenders.target import Target
from .asked import Asked, asked_for, sound
from .catalogue import names
from .choice import NONE, best, outcomes, trials_of
from .design import DefenseDesign, make_defense_design
from .protection import ACTIVITY, PREFIX
from .quiet import FAILED, quiet


class DefensesConfig(InjectionConfig):
    """Settings of the check "defense": those of the check "promotion", and the defences."""

    defenses: tuple[str, ...] = ("together", "near-copies", "t-ce", "vat")
    """Names from `recaudit list defenses`, or of your own with settings that `use` one, or `all`; those that do not fit
    the model are reported as not run."""
    defense_settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of single defences, by name; `use` says which one a name of your own stands for."""
    control_arms: bool = True
    """Whether defences that read texts are run again with other accounts' texts, random vectors, or none: what only
    the real texts bring is their merit. Each arm costs what the defence costs."""
    tolerance: float = Field(
        default=0.02, ge=0, le=1, description="largest share of NDCG@K without an attack that a chosen defence may cost"
    )

    @field_validator("defenses", mode="before")
    @classmethod
    def _all_defenses(cls, defenses: Any) -> Any:
        return names() if defenses == "all" else defenses

    @field_validator("defenses")
    @classmethod
    def _once(cls, defenses: tuple[str, ...]) -> tuple[str, ...]:
        if not defenses:
            raise ValueError("name at least one defence, see `recaudit list defenses`")
        return tuple(dict.fromkeys(defenses))

    @model_validator(mode="after")
    def _sound(self) -> DefensesConfig:
        sound(self.defenses, self.defense_settings)
        return self

    @property
    def asked(self) -> dict[str, Asked]:
        """The defences by label, control arms included."""
        return asked_for(self.defenses, self.defense_settings, self.control_arms)


class DefenseProbe(Probe):
    """What attacks still gain when the victim is trained with a defence, and what the defence costs without them.

    Evidence: `defense.DEFENCE.ATTACK.SIZE.hr@K`, the gain that is left, defended attacked less defended control, with
    the undefended gain as baseline; `...log2_rank_shift`; `...taken`, undefended less defended gain, paired, where
    lower is worse; `defense.DEFENCE.utility.ndcg@K`, defended less undefended control, and `...exposure.gini`,
    `...exposure.qf` (fairness to items before and after; all side measures in the details of utility); for defences
    that judge accounts `...detection.auc`, with average precision, recall and false alarms by activity in its details;
    `defense.NAME.false_alarms`, the genuine users it counts less than half without an attack, by activity in the
    details; for defences that read texts `defense.NAME.over-ARM.ATTACK.SIZE.taken`, what real texts take more than a
    control arm; `defense.best.log2_rank_shift`, the worst case under the defence that leaves least within the
    tolerance, or undefended where none leaves less.
    """

    key = "defense"
    title = "Does a defence help, and what does it cost?"
    reference = "Zhang et al. 2023, Robust Recommender System: A Survey and Future Directions, arXiv 2309.02057"
    config_type = DefensesConfig

    def design(self, target: Target) -> DefenseDesign:
        """The experiment on this target."""
        config: DefensesConfig = self.config
        return make_defense_design(target, config, config.asked, self.seed)

    def cells(self, target: Target) -> Sequence[Cell]:
        """Controls and attacked refits, each undefended and with every defence."""
        return self.design(target).cells()

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By defence: utility; by defence, attack and size: what is left, what was taken, detection."""
        design = self.design(target)
        log = target.split.train
        found: list[Evidence] = []
        users, before = int((log.user_counts > 0).sum()), design.attacks.controls
        asked = self.config.asked
        for name, controls in design.controls.items():
            found += quiet(self.made, name, before, controls, users, results, self.config.cutoff)
        for (name, attack, size), trials in design.trials.items():
            plain, own = Reader(log, results, design.attacks.trials[attack, size]), Reader(log, results, trials)
            found += self._left(name, attack, size, own, plain, (name, attack) in design.known)
            real = design.trials.get((asked[name].control_of or "", attack, size))
            if real is not None:
                found.append(self._texts(asked[name], attack, size, Reader(log, results, real), own))
        if found:
            found.append(self._best(design, log, results))
        for name, why in design.inapplicable.items():
            text = f"defence {name} cannot protect this model: {why}"
            found.append(self.made(f"{name}.none", text, "none", "none", "higher", missing=text))
        return found

    def _left(
        self, name: str, attack: str, size: str, defended: Reader, plain: Reader, known: bool
    ) -> Iterator[Evidence]:
        k = self.config.cutoff
        head, under = f"{name}.{attack}.{size}", f"under {size} fake users ({attack}) with {name}{KNOWN * known}"
        cells = defended.cells
        details = {"defense": name, "attack": attack, "size": size, "attack_known": known, **_price(defended)}
        hits, rank = f"hr@{k}", "log2_rank"
        for value, measure, sign, title, unit, limits in (
            (hits, hits, 1, f"Gain in the share of users with a pushed item in their top {k}",
             "share of genuine users who lack the item, difference in -1..1", (-1.0, 1.0)),
            (rank, "log2_rank_shift", -1, "How often the rank of a pushed item halves",
             "log2 of the rank, control less attacked, mean over users", None),
        ):  # fmt: skip
            units = defended.units(value, sign, watched=True)
            if not units:
                yield self.made(f"{head}.{measure}", f"{title} {under}", measure, unit, "higher", missing=FAILED)
                continue
            before = mean([unit.value for unit in plain.of_the_same(units, value, sign)])
            yield self.made(
                f"{head}.{measure}", f"{title} {under}", measure, unit, "higher",
                estimate=by_cluster(units), n=len(units), units=units, limits=limits,
                resolution=defended.resolution if value == hits else 0.0,
                baseline={} if before is None else {"undefended": before}, details=details, cells=cells,
            )  # fmt: skip
        yield self._taken(head, name, attack, size, defended, plain, details, cells)
        seen = defended.alone(PREFIX + "auc")
        if seen:
            yield self.made(
                f"{head}.detection.auc",
                f"How well {name} tells {size} fake users ({attack}) from genuine ones{KNOWN * known}",
                "detector_auc", "AUC, 0..1, 0.5 = not at all", "lower", estimate=by_cluster(seen), n=len(seen),
                units=seen, limits=(0.0, 1.0), details=details, cells=cells,
            )  # fmt: skip

    def _taken(
        self,
        head: str,
        name: str,
        attack: str,
        size: str,
        defended: Reader,
        plain: Reader,
        details: dict[str, Any],
        cells: Sequence[str],
    ) -> Evidence:
        """How much of the shift in rank the defence takes away, paired by target and seed."""
        units = _paired(plain, defended)
        title = f"How much of the rank shift of {attack} ({size} fake users) {name} takes away"
        title += KNOWN * details["attack_known"]
        unit = "log2 of the rank, undefended less defended shift, mean over users"
        if not units:
            return self.made(f"{head}.taken", title, "taken", unit, "lower", missing=FAILED)
        if not _works(plain):
            title += ", an attack that is not shown to work undefended"
        return self.made(
            f"{head}.taken", title, "taken", unit, "lower",
            estimate=by_cluster(units), n=len(units), units=units, details=details, cells=cells,
        )  # fmt: skip

    def _texts(self, arm: Asked, attack: str, size: str, real: Reader, control: Reader) -> Evidence:
        """What a defence with real texts takes more than the same with something in their place."""
        name = f"{arm.control_of}.over-{arm.arm}.{attack}.{size}.taken"
        title = f"How much more {arm.control_of} takes of {attack} ({size} fake users) by real texts than by {arm.arm}"
        unit, units = "log2 of the rank, shift under the control arm less shift with real texts", _paired(control, real)
        if not units:
            return self.made(name, title, "text_gain", unit, "lower", missing=FAILED)
        return self.made(
            name, title, "text_gain", unit, "lower", estimate=by_cluster(units), n=len(units), units=units,
            details={"defense": arm.control_of, "arm": arm.arm, "attack": attack, "size": size},
            cells=sorted({*real.cells, *control.cells}),
        )  # fmt: skip

    def _best(self, design: DefenseDesign, log: InteractionLog, results: Results) -> Evidence:
        """The worst case under the defence that leaves least, of those within the tolerance.

        Chosen and measured on the same refits, so a little too good where defences are alike; the details say who was
        compared.
        """
        asked = self.config.asked
        found = outcomes(design, log, results, f"ndcg@{self.config.cutoff}")
        # a control arm is no defence that anybody would adopt
        compared = {name: own for name, own in found.items() if name == NONE or asked[name].control_of is None}
        title = f"What the worst attack leaves under the best defence that costs at most {self.config.tolerance:.1%}"
        unit = "log2 of the rank, control less attacked, mean over users"
        chosen = best(compared, self.config.tolerance)
        if chosen is None:
            dearest = ", ".join(f"{own} {outcome.price:.1%}" for own, outcome in compared.items() if own != NONE)
            why = f"no defence was measured whole at a cost of at most {self.config.tolerance:.1%} of NDCG ({dearest})"
            return self.made("best.log2_rank_shift", title, "log2_rank_shift", unit, "higher", missing=why)
        attack, size = compared[chosen].worst
        known = (chosen, attack) in design.known
        reader = Reader(log, results, trials_of(design, NONE if known else chosen, (attack, size)))
        title = f"{title}: {chosen}"
        if known:
            title += ", which has no credit for this attack, since it simulates it to learn from"
        if chosen == NONE:
            title = (
                f"What the worst attack does; no defence at a cost of at most {self.config.tolerance:.1%} leaves less"
            )
        units = reader.units("log2_rank", -1, watched=True)
        plain = Reader(log, results, design.attacks.trials[attack, size])
        before = mean([unit.value for unit in plain.of_the_same(units, "log2_rank", -1)])
        return self.made(
            "best.log2_rank_shift", title, "log2_rank_shift", unit, "higher",
            estimate=by_cluster(units), n=len(units), units=units,
            baseline={} if before is None else {"undefended": before},
            cells=reader.cells,
            details={"defense": chosen, "attack": attack, "size": size, "price": compared[chosen].price,
                     "attack_known": known, "compared": sorted(compared)},
        )  # fmt: skip


KNOWN = ", of an attack that it simulates to learn from"
"""What is said where a defence is tested on what it was taught."""
_ACCOUNTS = ("auc", "ap", "ap_by_chance", "precision", "recall", "caught", "false_alarms", "updates", "refused")
_UPDATES = 64
"""Most earlier judgements of a defence that are told."""


def _price(reader: Reader) -> dict[str, Any]:
    """What the defence made of the accounts, means over trials; nothing where it judges none."""
    wanted = (*_ACCOUNTS, *(f"false_alarms/{group}" for group in ACTIVITY))
    found = {name: mean(reader.values("attacked", PREFIX + name, watched=False)) for name in wanted}
    updates = [mean(reader.values("attacked", f"{PREFIX}auc@{place}", watched=False)) for place in range(_UPDATES)]
    by_update = [value for value in updates if value is not None]
    return {name: value for name, value in found.items() if value is not None} | (
        {"auc_by_update": by_update} if by_update else {}
    )


def _paired(first: Reader, second: Reader) -> list[Unit]:
    """Rank shifts of the first less those of the second, by target and seed."""
    other = {(unit.cluster, unit.seed): unit.value for unit in second.units("log2_rank", -1, watched=True)}
    return [
        unit.model_copy(update={"value": unit.value - other[unit.cluster, unit.seed]})
        for unit in first.units("log2_rank", -1, watched=True)
        if (unit.cluster, unit.seed) in other
    ]


def _works(plain: Reader) -> bool:
    """Whether the attack is shown to lift its targets undefended; a single target shows nothing."""
    units = plain.units("log2_rank", -1, watched=True)
    found = interval([unit.value for unit in units], [unit.cluster for unit in units], 0.95)
    return found is not None and found[0] > 0
