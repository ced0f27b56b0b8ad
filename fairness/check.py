"""The check "exposure": how evenly the model's lists share attention among the items of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field, field_validator

from ..audit.cell import CHECKPOINT, Cell
from ..audit.evidence import Evidence
from ..audit.probe import Probe, ProbeConfig, Results
from ..datasets.errors import InputError, unknown_name
from ..datasets.log import Int64
from ..recommenders.target import Target
from .catalogue import ALL, BY_SLUG
from .details import against_popularity, named_items
from .measure import Measure
from .recommendations import Recommendations, lorenz
from .references import CELLS, judged_lists, lists_of
from .resample import standard_errors
from .value import Value


class ExposureConfig(ProbeConfig):
    """Settings of the check "exposure"."""

    measures: tuple[str, ...] = ("qf", "gini", "jain", "entropy", "ai_d", "ai_f", "ibo", "iwo", "dpfr")
    """Slugs as `recaudit list measures` prints them, or "all"."""
    named: int = Field(default=10, ge=0, le=100)
    """How many of the most and least shown items the report names."""

    @field_validator("measures")
    @classmethod
    def _known(cls, measures: tuple[str, ...]) -> tuple[str, ...]:
        if "all" in measures:
            return tuple(BY_SLUG)
        for slug in measures:
            if slug not in BY_SLUG:
                raise ValueError(str(unknown_name("measure", slug, BY_SLUG)))
        return measures


class ExposureProbe(Probe):
    """Exposure of items in the top-K lists, K the policy's largest cut-off.

    Measures of lists alone are taken over all genuine users; those that join relevance over the users with held-out
    items, which are what is relevant to them.
    """

    key = "exposure"
    title = "Which items get shown, and how evenly?"
    reference = "Rampisela et al., ACM TORS 3(2):18, 2024 (arXiv 2311.01013)"
    config_type = ExposureConfig

    def cells(self, target: Target) -> Sequence[Cell]:
        """The checkpoint, and popularity beside it."""
        return CELLS

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """One evidence per measure; popularity, random lists and the fairest reachable value as references."""
        chosen = [measure for measure in ALL if measure.slug in self.config.measures]
        if CHECKPOINT not in results:
            return [self._evidence(measure, 0, missing="the checkpoint could not be measured") for measure in chosen]
        alone = lists_of(target, results, self.seed)
        joint: dict[str, Recommendations] | None = None
        why = ""
        try:
            _, joint = judged_lists(target, alone)
        except InputError as error:
            why = str(error)
        key, k = results[CHECKPOINT].key, alone["model"].k
        found = []
        for data, of_lists in ((alone, True), (joint, False)):
            group = [measure for measure in chosen if (measure.needs == "lists") == of_lists]
            if data is None:
                found += [self._evidence(measure, k, missing=why) for measure in group]
                continue
            errors = standard_errors(data["model"], {measure.slug: measure.reported for measure in group}, self.seed)
            found += [self._measured(measure, data, errors[measure.slug], key) for measure in group]
        for evidence in found:
            if evidence.measure == BY_SLUG["gini"].title and evidence.estimate is not None:
                evidence.details.update(self._details(target, alone))
        return found

    def _measured(self, measure: Measure, data: dict[str, Recommendations], error: float, key: str) -> Evidence:
        model = data["model"]
        value = measure.reported(model)
        if value.value is None:
            return self._evidence(measure, model.k, missing=value.note)
        baseline = {name: measure.reported(lists).value for name, lists in data.items() if name != "model"}
        if measure.bounded:
            baseline["fairest reachable"] = 1.0 if measure.direction == "up" else 0.0
        return self._evidence(
            measure,
            model.k,
            estimate=value.value,
            n=model.n_users if value.users is None else value.users,
            standard_error=error if np.isfinite(error) else None,
            limits=(0.0, 1.0) if measure.bounded else None,
            baseline={name: v for name, v in baseline.items() if v is not None},
            details=_notes(measure, value),
            cells=[key],
        )

    def _evidence(self, measure: Measure, k: int, **values: Any) -> Evidence:
        span = "0..1, " if measure.bounded else ""
        return Evidence(
            id=f"exposure.{measure.slug}@{k}" if k else f"exposure.{measure.slug}",
            check=self.key,
            title=measure.meaning,
            measure=measure.title,
            unit=span + ("higher is fairer" if measure.direction == "up" else "lower is fairer"),
            worse="lower" if measure.direction == "up" else "higher",
            **({"estimate": None, "n": 0} | values),
        )

    def _details(self, target: Target, data: dict[str, Recommendations]) -> dict[str, Any]:
        shown: Int64 = data["model"].exposure.count
        log = target.split.train
        return {
            "lorenz": {name: lorenz(lists.exposure) for name, lists in data.items()},
            "exposure_by_popularity": {
                name: against_popularity(lists.exposure.count, log.item_counts) for name, lists in data.items()
            },
            **named_items(shown, log, self.config.named),
            "never_shown": int((shown == 0).sum()),
            "items": len(shown),
        }


def _notes(measure: Measure, value: Value) -> dict[str, Any]:
    """What has to be read beside the number."""
    own = "recaudit's own scaling to 0..1, not the paper's" if measure.own is not None else ""
    notes = [text for text in (own, measure.caution, value.note) if text]
    return {"notes": notes} if notes else {}
