"""The checks "promotion" and "demotion": can fake users push an item up or bury it, by retraining from scratch?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from ..audit.cell import Cell
from ..audit.evidence import Evidence, Worse
from ..audit.probe import Probe, Results
from ..recommenders.target import Target
from .catalogue import attack_class
from .config import InjectionConfig
from .design import Design, by_stratum, make_design
from .goal import Direction
from .reading import Reader, mean
from .targets import WORDS, Stratum


class _InjectionProbe(Probe):
    """Shared by both directions: paired refits with, without, and with cloned accounts."""

    config_type = InjectionConfig
    direction: ClassVar[Direction]

    def design(self, target: Target) -> Design:
        """The experiment on this target."""
        return make_design(target, self.config, self.direction, self.seed)

    def cells(self, target: Target) -> Sequence[Cell]:
        """Controls, clone controls, and one attacked refit per attack, size, target and seed."""
        return self.design(target).cells()

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """By attack, size and stratum: change of HR@K and of log2 rank; by attack and size: change of utility."""
        design = self.design(target)
        log = target.split.train
        found: list[Evidence] = []
        for (attack, size), trials in design.trials.items():
            for stratum in dict.fromkeys(design.targets.strata):
                reader = Reader(log, results, by_stratum(trials, stratum))
                found += self._of_stratum(design, attack, size, stratum, reader)
            found.append(self._utility(design, attack, size, Reader(log, results, trials)))
            found.append(self._visibility(design, attack, size, Reader(log, results, trials)))
        for name in design.inapplicable:
            why = f"attack {name} cannot {self.direction} an item on {design.kind} data"
            found.append(self.made(f"{name}.none", why, "none", "none", "higher", missing=why))
        return found

    def _of_stratum(
        self, design: Design, attack: str, size: str, stratum: Stratum, reader: Reader
    ) -> Iterable[Evidence]:
        k = self.config.cutoff
        push = self.direction == "push"
        item, under = f"{WORDS[stratum]} item", f"under {size} fake users ({attack})"
        details = self._details(design, attack, size) | {"stratum": stratum}
        details |= {
            "utility_change": mean(reader.changes(f"ndcg@{k}", watched=False)),
            "exposure_change": mean(reader.changes("exposure/gini", watched=False)),
            # of predicted ratings where the model predicts any, else in deviations of a user's scores
            "prediction_shift": mean(reader.changes("score" if design.kind == "rating" else "standard_score")),
        }
        hits = f"hr@{k}"
        # where nobody is shown the item, there is nothing to lose
        if push or not reader.complete or (mean(reader.values("control", hits)) or 0) > 0:
            sign = 1 if push else -1
            yield self._paired(
                f"{attack}.{size}.{stratum}.{hits}",
                f"{'Gain' if push else 'Loss'} in the share of users with {item} in their top {k} {under}",
                hits,
                "share of genuine users who lack the item, difference in -1..1",
                "higher",
                reader,
                sign,
                details,
                resolution=reader.resolution,
            )
        yield self._paired(
            f"{attack}.{size}.{stratum}.log2_rank_shift",
            f"How often the rank of {item} halves {under} (positive = pushed up)",
            "log2_rank",
            "log2 of the rank, control less attacked, mean over users",
            "higher" if push else "lower",
            reader,
            -1,
            details,
            measure="log2_rank_shift",
        )

    def _utility(self, design: Design, attack: str, size: str, reader: Reader) -> Evidence:
        name = f"ndcg@{self.config.cutoff}"
        return self._paired(
            f"{attack}.{size}.utility.{name}",
            f"Change of utility for genuine users under {size} fake users ({attack})",
            name,
            "NDCG on held-out events, attacked less control, difference in -1..1",
            "lower",
            reader,
            1,
            self._details(design, attack, size),
            watched=False,
        )

    def _details(self, design: Design, attack: str, size: str) -> dict[str, Any]:
        goal = design.trials[attack, size][0].attacked.params["injection"]
        found = {
            "attack": attack, "size": size, "size_share": goal["accounts"] / design.genuine,
            "accounts": goal["accounts"], "profile": design.profile,
            "kind": design.kind, "knowledge": self.config.knowledge, "direction": self.direction,
            "queries": design.queries[attack],
        }  # fmt: skip
        if design.kind == "sequence":
            own = attack_class(attack).own_places
            found["placement"] = "the attack's own" if own else self.config.placement
        also = [name for name in design.aliases[attack] if name != attack]
        return found | ({"also": also} if also else {})

    def _visibility(self, design: Design, attack: str, size: str, reader: Reader) -> Evidence:
        """AUC of the detector that sees the accounts best; distances and the other detectors in the details."""
        found = {name: mean(reader.values("attacked", name, watched=False)) for name in reader.observed()}
        clones = {name: mean(reader.values("clones", name, watched=False)) for name in found}
        aucs = {name: value for name, value in found.items() if name.endswith("/auc") and value is not None}
        details = self._details(design, attack, size) | {"stealth": found, "stealth_of_clones": clones}
        head: tuple[str, str, str, str, Worse] = (
            f"{attack}.{size}.visibility.detector_auc",
            f"How well a detector without labels tells {size} fake users ({attack}) from genuine ones",
            "detector_auc",
            "AUC, 0..1, 0.5 = not at all; the best of the detectors",
            "lower",
        )
        if not aucs:
            return self.made(*head, missing="the accounts of this attack were not observed", details=details)
        best = max(aucs, key=lambda name: aucs[name])
        units = reader.alone(best)
        return self.made(
            *head,
            estimate=aucs[best],
            n=len(units),
            units=units,
            limits=(0.0, 1.0),
            baseline={} if clones[best] is None else {"clones": clones[best]},
            details=details | {"detector": best.split("/")[1]},
            cells=reader.cells,
        )

    def _paired(
        self,
        name: str,
        title: str,
        value: str,
        unit: str,
        worse: Literal["higher", "lower"],
        reader: Reader,
        sign: int,
        details: dict[str, Any],
        *,
        measure: str | None = None,
        watched: bool = True,
        resolution: float = 0.0,
    ) -> Evidence:
        units = reader.units(value, sign, watched)
        cells = reader.cells
        if not units:
            why = f"no refit of this attack and its control gave {value}; see the failures, or the policy's cut-offs"
            return self.made(name, title, measure or value, unit, worse, missing=why, details=details, cells=cells)
        sides = {"control": "control", "clone_control": "clones", "attacked": "attacked"}
        means = {name: mean(reader.values(side, value, watched)) for name, side in sides.items()}
        by_target: dict[str, list[float]] = {}
        for one in units:
            by_target.setdefault(one.cluster, []).append(one.value)
        targets = {item: float(np.mean(values)) for item, values in by_target.items()}
        more_data = mean([sign * change for change in reader.changes(value, watched, side="clones")])
        return self.made(
            name,
            title,
            measure or value,
            unit,
            worse,
            estimate=float(np.mean(list(targets.values()))),
            n=len(units),
            units=units,
            resolution=resolution,
            limits=None if value == "log2_rank" else (-1.0, 1.0),
            baseline={side: mean for side, mean in means.items() if mean is not None and side != "attacked"},
            details=details | means | {"targets": targets, "change_by_clones": more_data},
            cells=cells,
        )


class PromotionProbe(_InjectionProbe):
    """Gain in HR@K and rank of target items when fake users push them; retrained from scratch, paired by seed.

    Evidence: `promotion.ATTACK.SIZE.STRATUM.hr@K`, share of users, higher is worse; `...log2_rank_shift`;
    `promotion.ATTACK.SIZE.utility.ndcg@K`, lower is worse. Units are (target, seed) pairs.
    """

    key = "promotion"
    title = "Can fake users push an item?"
    reference = "Lam, Riedl 2004, Shilling Recommender Systems for Fun and Profit, WWW; HR@K of Lin et al. 2022, TNNLS"
    direction = "push"


class DemotionProbe(_InjectionProbe):
    """Loss in HR@K and rank of target items when fake users bury them; retrained from scratch, paired by seed.

    Without ratings, fake users bury an item by promoting its rivals. Evidence: `demotion.ATTACK.SIZE.STRATUM.hr@K`,
    a loss, higher is worse, only for strata whose items are recommended at all; `...log2_rank_shift`, lower is
    worse; `demotion.ATTACK.SIZE.utility.ndcg@K`.
    """

    key = "demotion"
    title = "Can fake users bury an item?"
    reference = "Lam, Riedl 2004, Shilling Recommender Systems for Fun and Profit, WWW, nuke attacks"
    direction = "nuke"
