"""The check "defense": does a defence take from an attack what it gains, and at what price?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from ..attacks.config import InjectionConfig
from ..attacks.reading import Reader, mean
from ..audit.cell import Cell
from ..audit.evidence import Evidence, Unit
from ..audit.probe import Probe, Results
from ..datasets.log import InteractionLog
from ..recommenders.target import Target
from .catalogue import CATALOGUE, names
from .choice import best, by_cluster, outcomes
from .design import DefenseDesign, make_defense_design
from .protection import ACTIVITY, PREFIX


class DefensesConfig(InjectionConfig):
    """Settings of the check "defense": those of the check "promotion", and the defences."""

    defenses: tuple[str, ...] = ("together", "near-copies", "t-ce", "vat")
    """Names from `recaudit list defenses`, or `all`; those that do not fit the model are reported as not run."""
    defense_settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of single defences, by name."""
    tolerance: float = Field(
        default=0.02, ge=0, le=1, description="largest share of NDCG@K without an attack that a chosen defence may cost"
    )

    @field_validator("defenses", mode="before")
    @classmethod
    def _all_defenses(cls, defenses: Any) -> Any:
        return names() if defenses == "all" else defenses

    @field_validator("defenses")
    @classmethod
    def _known_defenses(cls, defenses: tuple[str, ...]) -> tuple[str, ...]:
        if not defenses:
            raise ValueError("name at least one defence, see `recaudit list defenses`")
        return tuple(dict.fromkeys(CATALOGUE.sound(name) for name in defenses))

    @field_validator("defense_settings")
    @classmethod
    def _valid(cls, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {CATALOGUE.sound(name, own): own for name, own in settings.items()}


class DefenseProbe(Probe):
    """What attacks still gain when the victim is trained with a defence, and what the defence costs without them.

    Evidence: `defense.DEFENCE.ATTACK.SIZE.hr@K`, the gain that is left, defended attacked less defended control, with
    the undefended gain as baseline; `...log2_rank_shift`; `...taken`, undefended less defended gain, paired, where
    lower is worse; `defense.DEFENCE.utility.ndcg@K`, defended less undefended control; for defences that judge
    accounts `...detection.auc`, with average precision, recall and false alarms by activity in its details;
    `defense.NAME.false_alarms`, the genuine users it counts less than half without an attack, by activity in the
    details; `defense.best.log2_rank_shift`, the worst case under the defence that leaves least within the tolerance.
    """

    key = "defense"
    title = "Does a defence help, and what does it cost?"
    reference = "Zhang et al. 2023, Robust Recommender System: A Survey and Future Directions, arXiv 2309.02057"
    config_type = DefensesConfig

    def design(self, target: Target) -> DefenseDesign:
        """The experiment on this target."""
        config: DefensesConfig = self.config
        return make_defense_design(target, config, config.defenses, config.defense_settings, self.seed)

    def cells(self, target: Target) -> Sequence[Cell]:
        """Controls and attacked refits, each undefended and with every defence."""
        return self.design(target).cells()

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By defence: utility; by defence, attack and size: what is left, what was taken, detection."""
        design = self.design(target)
        log = target.split.train
        found: list[Evidence] = []
        for name, controls in design.controls.items():
            found.append(self._utility(name, design.attacks.controls, controls, results))
            found += self._alarms(name, controls, int((log.user_counts > 0).sum()), results)
        for (name, attack, size), trials in design.trials.items():
            plain = Reader(log, results, design.attacks.trials[attack, size])
            found += self._left(name, attack, size, Reader(log, results, trials), plain)
        if found:
            found.append(self._best(design, log, results))
        for name, why in design.inapplicable.items():
            text = f"defence {name} cannot protect this model: {why}"
            found.append(self.made(f"{name}.none", text, "none", "none", "higher", missing=text))
        return found

    def _left(self, name: str, attack: str, size: str, defended: Reader, plain: Reader) -> Iterator[Evidence]:
        k = self.config.cutoff
        head, under = f"{name}.{attack}.{size}", f"under {size} fake users ({attack}) with {name}"
        cells = sorted({key for trial in defended.trials for key in defended.keys(trial)})
        details = {"defense": name, "attack": attack, "size": size, **_price(defended)}
        hits, rank = f"hr@{k}", "log2_rank"
        for value, measure, sign, title, unit, limits in (
            (hits, hits, 1, f"Gain in the share of users with a pushed item in their top {k}",
             "share of genuine users who lack the item, difference in -1..1", (-1.0, 1.0)),
            (rank, "log2_rank_shift", -1, "How often the rank of a pushed item halves",
             "log2 of the rank, control less attacked, mean over users", None),
        ):  # fmt: skip
            units = defended.units(value, sign, watched=True)
            if not units:
                yield self.made(f"{head}.{measure}", f"{title} {under}", measure, unit, "higher", missing=_FAILED)
                continue
            before = mean([unit.value for unit in plain.units(value, sign, watched=True)])
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
                f"{head}.detection.auc", f"How well {name} tells {size} fake users ({attack}) from genuine ones",
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
        left = {(unit.cluster, unit.seed): unit.value for unit in defended.units("log2_rank", -1, watched=True)}
        units = [
            unit.model_copy(update={"value": unit.value - left[unit.cluster, unit.seed]})
            for unit in plain.units("log2_rank", -1, watched=True)
            if (unit.cluster, unit.seed) in left
        ]
        title = f"How much of the rank shift of {attack} ({size} fake users) {name} takes away"
        unit = "log2 of the rank, undefended less defended shift, mean over users"
        if not units:
            return self.made(f"{head}.taken", title, "taken", unit, "lower", missing=_FAILED)
        return self.made(
            f"{head}.taken", title, "taken", unit, "lower",
            estimate=by_cluster(units), n=len(units), units=units, details=details, cells=cells,
        )  # fmt: skip

    def _utility(self, name: str, before: Sequence[Cell], after: Sequence[Cell], results: Results) -> Evidence:
        """Change of utility for genuine users where nobody attacks: the price of the defence."""
        value = f"ndcg@{self.config.cutoff}"
        pairs = [(a, b) for a, b in zip(before, after, strict=True) if a in results and b in results]
        title, unit = f"Change of utility by {name} without an attack", "NDCG, defended less undefended, in -1..1"
        units = [
            Unit(cluster=f"seed {a.seed}", seed=a.seed, value=now - then)
            for a, b in pairs
            if (then := results[a].values.get(value)) is not None and (now := results[b].values.get(value)) is not None
        ]
        if not units:
            return self.made(f"{name}.utility.{value}", title, value, unit, "lower", missing=_FAILED)
        keys = [results[cell].key for pair in pairs for cell in pair]
        side = {
            measure: mean([shift for a, b in pairs if (shift := _change(results, a, b, measure)) is not None])
            for measure in ("exposure/gini", "exposure/qf", PREFIX + "false_alarms")
        }
        then = mean([level for a, _ in pairs if (level := results[a].values.get(value)) is not None])
        return self.made(
            f"{name}.utility.{value}", title, value, unit, "lower",
            estimate=by_cluster(units), n=len(units), units=units, limits=(-1.0, 1.0),
            baseline={} if then is None else {"undefended": then}, cells=keys,
            details={"defense": name, "changes": side},
        )  # fmt: skip

    def _alarms(self, name: str, controls: Sequence[Cell], users: int, results: Results) -> Iterator[Evidence]:
        """Genuine users who count less than half where nobody attacks, for defences that weigh accounts."""
        title, unit = f"Genuine users whom {name} takes for fake, without an attack", "share of the genuine users, 0..1"
        kept = [results[cell] for cell in controls if cell in results]
        groups = ("false_alarms", *(f"false_alarms/{group}" for group in ACTIVITY))
        found = {
            group: mean([v for own in kept if (v := own.values.get(PREFIX + group)) is not None]) for group in groups
        }
        share = found["false_alarms"]
        if share is None:
            return
        yield self.made(
            f"{name}.false_alarms", title, "false_alarms", unit, "higher", estimate=share, n=users, limits=(0.0, 1.0),
            standard_error=float(np.sqrt(share * (1 - share) / users)), cells=[own.key for own in kept],
            details={"defense": name, **{group: value for group, value in found.items() if value is not None}},
        )  # fmt: skip

    def _best(self, design: DefenseDesign, log: InteractionLog, results: Results) -> Evidence:
        """The worst case under the defence that leaves least, of those within the tolerance.

        Chosen and measured on the same refits, so a little too good where defences are alike; the details say who was
        compared.
        """
        compared = outcomes(design, log, results, f"ndcg@{self.config.cutoff}")
        title = f"What the worst attack leaves under the best defence that costs at most {self.config.tolerance:.1%}"
        unit = "log2 of the rank, control less attacked, mean over users"
        chosen = best(compared, self.config.tolerance)
        if chosen is None:
            dearest = ", ".join(f"{own} {outcome.price:.1%}" for own, outcome in compared.items())
            why = f"no defence was measured whole at a cost of at most {self.config.tolerance:.1%} of NDCG ({dearest})"
            return self.made("best.log2_rank_shift", title, "log2_rank_shift", unit, "higher", missing=why)
        attack, size = compared[chosen].worst
        reader = Reader(log, results, design.trials[chosen, attack, size])
        units = reader.units("log2_rank", -1, watched=True)
        plain = Reader(log, results, design.attacks.trials[attack, size])
        before = mean([unit.value for unit in plain.units("log2_rank", -1, watched=True)])
        return self.made(
            "best.log2_rank_shift", f"{title}: {chosen}", "log2_rank_shift", unit, "higher",
            estimate=by_cluster(units), n=len(units), units=units,
            baseline={} if before is None else {"undefended": before},
            cells=sorted({key for trial in reader.trials for key in reader.keys(trial)}),
            details={"defense": chosen, "attack": attack, "size": size, "price": compared[chosen].price,
                     "compared": sorted(compared)},
        )  # fmt: skip


_FAILED = "no refit with this defence and its control could be compared; see the failures"
_ACCOUNTS = ("auc", "ap", "ap_by_chance", "precision", "recall", "caught", "false_alarms", "updates", "refused")


def _price(reader: Reader) -> dict[str, Any]:
    """What the defence made of the accounts, means over trials; nothing where it judges none."""
    wanted = (*_ACCOUNTS, *(f"false_alarms/{group}" for group in ACTIVITY))
    found = {name: mean(reader.values("attacked", PREFIX + name, watched=False)) for name in wanted}
    return {name: value for name, value in found.items() if value is not None}


def _change(results: Results, before: Cell, after: Cell, name: str) -> float | None:
    now, then = results[after].values.get(name), results[before].values.get(name, 0.0)
    return None if now is None or then is None else now - then
