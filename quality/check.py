"""The check "quality": does the checkpoint reproduce its own metrics, and does it beat trivial baselines?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field
from scipy import stats

from ..audit.cell import CHECKPOINT, Cell
from ..audit.evidence import Evidence
from ..audit.probe import NotApplicable, Probe, ProbeConfig, Results
from ..audit.statistics import paired_standard_error
from ..datasets.seeding import derive
from ..recommenders.base import Recipe
from ..recommenders.catalogue import why_no_refit
from ..recommenders.target import Origin, Target


class QualityConfig(ProbeConfig):
    """Settings of the check "quality"."""

    references: tuple[str, ...] = ("popularity", "recent-popularity", "ease")
    """Models to stand beside the checkpoint, by their names in `recaudit list models`."""
    cutoff: int = Field(default=20, ge=1)
    """K of NDCG@K; one of the policy's cut-offs."""
    refits: int = Field(default=3, ge=0)
    """How often the recipe of a model that recaudit did not train is trained again, to see whether it reaches it."""
    ease_limit: int = Field(default=20_000, ge=1)
    """EASE inverts an I x I matrix: catalogues above this many items skip it."""


class QualityProbe(Probe):
    """Utility on the held-out test part, full ranking, paired by user with every reference."""

    key = "quality"
    title = "Is the model what it claims to be, and better than trivial ones?"
    reference = "Ferrari Dacrema, Cremonesi, Jannach: Are We Really Making Much Progress?, RecSys 2019"
    config_type = QualityConfig

    def cells(self, target: Target) -> Sequence[Cell]:
        """The checkpoint, and one cell for each reference that the data allow."""
        if not len(target.split.test):
            raise NotApplicable("the data have no held-out test events; give --test or a split with a test part")
        return [CHECKPOINT, *self._references(target).values(), *self._refits(target)]

    def _refits(self, target: Target) -> list[Cell]:
        """Of a model that recaudit did not train: its recipe trained again."""
        if target.origin is None or why_no_refit(target.recipe) is not None:
            return []
        return [
            Cell("refit", f"trained again, {n}", derive(self.seed, "fidelity", n)) for n in range(self.config.refits)
        ]

    def _references(self, target: Target) -> dict[str, Cell]:
        log = target.split.train
        cells = {}
        for name in self.config.references:
            if name == target.recipe.model or (name == "recent-popularity" and log.time is None):
                continue
            if name == "ease" and log.n_items > self.config.ease_limit:
                continue
            cells[name] = Cell("reference", name, recipe=Recipe(name, {}))
        return cells

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """Reproduction, NDCG@K, and NDCG@K less that of every reference."""
        metric = f"ndcg@{self.config.cutoff}"
        if CHECKPOINT not in results:
            return [self._evidence(metric, "Utility of the checkpoint", missing="the checkpoint could not be measured")]
        arrays = {"model": results.arrays(CHECKPOINT)}
        cells = {name: cell for name, cell in self._references(target).items() if cell in results}
        arrays |= {name: results.arrays(cell) for name, cell in cells.items()}
        if metric not in arrays["model"]:
            known = ", ".join(key for key in arrays["model"] if key.startswith("ndcg@"))
            return [self._evidence(metric, "Utility of the checkpoint", missing=f"the policy measures {known} only")]
        per_user = {name: a[metric] for name, a in arrays.items()}
        means = {name: float(values.mean()) for name, values in per_user.items()}
        own, key = per_user["model"], results[CHECKPOINT].key
        found = [*self._reproduction(target, results), *self._fidelity(target, results, metric)]
        found.append(
            self._evidence(
                metric,
                f"Utility of the checkpoint on held-out events (NDCG@{self.config.cutoff})",
                estimate=means["model"],
                n=len(own),
                standard_error=float(own.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else None,
                baseline={name: value for name, value in means.items() if name != "model"},
                details={"values": means, "metrics": self._table(results, cells)},
                cells=[key],
            )
        )
        for name, cell in cells.items():
            found.append(
                self._evidence(
                    f"{metric}.minus.{name}",
                    f"Utility of the checkpoint less that of {name}",
                    estimate=means["model"] - means[name],
                    n=len(own),
                    standard_error=paired_standard_error(own, per_user[name]),
                    baseline={"model": means["model"], name: means[name]},
                    cells=[key, results[cell].key],
                )
            )
        return found

    def _table(self, results: Results, cells: dict[str, Cell]) -> dict[str, dict[str, float | None]]:
        """All utility metrics of the checkpoint and its references, for the report's table."""
        rows = {"model": results[CHECKPOINT].values} | {name: results[cell].values for name, cell in cells.items()}
        return {name: {k: v for k, v in values.items() if "/" not in k} for name, values in rows.items()}

    def _reproduction(self, target: Target, results: Results) -> list[Evidence]:
        if target.origin is not None and not target.stored_metrics:
            return [self._proved(target.origin)]
        now = results[CHECKPOINT].values
        shared = [name for name in target.stored_metrics if now.get(name) is not None]
        title = "Largest difference between a metric stored in the checkpoint and the same metric computed now"
        if not shared:
            return [
                self._evidence("reproduction", title, missing="the checkpoint stores no metric that is measured here")
            ]
        pairs = {name: (target.stored_metrics[name], float(now[name] or 0.0)) for name in shared}
        evidence = self._evidence(
            "reproduction",
            title,
            estimate=max(abs(stored - value) for stored, value in pairs.values()),
            n=len(shared),
            standard_error=0.0,
            details={
                "stored": {n: p[0] for n, p in pairs.items()},
                "now": {n: p[1] for n, p in pairs.items()},
            },
            cells=[results[CHECKPOINT].key],
        )
        return [evidence.model_copy(update={"worse": "higher", "unit": "absolute difference of a metric in 0..1"})]

    def _proved(self, origin: Origin) -> Evidence:
        """Of a model that recaudit did not train: whether users, items and split are its own."""
        values: dict[str, Any] = {"missing": f"{origin.format}: {origin.proof}"}
        if origin.verified:
            values = {"estimate": 0.0, "n": 1, "standard_error": 0.0, "details": {"proof": origin.proof}}
        evidence = self._evidence("reproduction", "Whether what is stored in the checkpoint comes out again", **values)
        return evidence.model_copy(update={"worse": "higher", "unit": "0: it does"})

    def _fidelity(self, target: Target, results: Results, metric: str) -> list[Evidence]:
        """What the recipe reaches when it is trained again, less what the file does."""
        cells = [cell for cell in self._refits(target) if cell in results]
        if not cells:
            return []
        own = results[CHECKPOINT].values.get(metric)
        again = [value for cell in cells if (value := results[cell].values.get(metric)) is not None]
        title = f"{metric.upper()} of the recipe trained again, less that of the file"
        if own is None or len(again) < 2:
            return [self._evidence(f"fidelity.{metric}", title, missing="it was not trained again often enough")]
        spread = float(np.std(again, ddof=1)) * np.sqrt(1 + 1 / len(again))
        apart = float(np.mean(again)) - own
        reach = float(stats.t.ppf(0.975, len(again) - 1)) * spread
        said = (
            f"not to be told from one such training (within {reach:.4f})" if abs(apart) <= reach
            else "figures of robustness are for the architecture retrained, not for this file"
        )  # fmt: skip
        return [
            self._evidence(
                f"fidelity.{metric}", f"{title}: {said}", estimate=apart, n=len(again), standard_error=spread,
                baseline={"file": own}, details={"refits": again}, cells=[results[cell].key for cell in cells],
            )
        ]  # fmt: skip

    def _evidence(self, name: str, title: str, **values: Any) -> Evidence:
        return Evidence(
            id=f"quality.{name}",
            check=self.key,
            title=title,
            measure=name,
            unit="NDCG, 0..1, mean over users with test events",
            worse="lower",
            **({"estimate": None, "n": 0} | values),
        )
