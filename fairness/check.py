"""The check "exposure": how evenly the model's lists share attention among the items of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from ..audit.cell import Cell
from ..audit.evidence import Evidence
from ..audit.probe import Probe, ProbeConfig, Results
from ..audit.statistics import bootstrap_over_users
from ..datasets.log import Int32
from ..datasets.seeding import rng
from ..recommenders.base import Recipe
from ..recommenders.target import Target
from .catalogue import ALL
from .counts import Counts, lorenz
from .measure import Measure

MODEL = Cell("model", "the checkpoint as it is")
POPULARITY = Cell("reference", "popularity", recipe=Recipe("popularity", {}))


class ExposureConfig(ProbeConfig):
    """Settings of the check "exposure"."""

    measures: tuple[str, ...] = ("qf", "gini", "jain", "entropy")
    named: int = Field(default=10, ge=0, le=100)
    """How many of the most and least shown items the report names."""


class ExposureProbe(Probe):
    """Exposure of items in the top-K lists of all genuine users, K the policy's largest cut-off."""

    key = "exposure"
    title = "Which items get shown, and how evenly?"
    reference = "Rampisela et al., ACM TORS 3(2):18, 2024 (arXiv 2311.01013)"
    config_type = ExposureConfig

    def cells(self, target: Target) -> Sequence[Cell]:
        """The checkpoint, and popularity beside it."""
        return [MODEL, POPULARITY]

    def evidence(self, target: Target, results: Results) -> Sequence[Evidence]:
        """One evidence per measure, with popularity and random lists of the same length as references."""
        chosen = [measure for measure in ALL if measure.slug in self.config.measures]
        n_items = target.split.train.n_items
        if MODEL not in results:
            return [self._evidence(measure, 0, missing="the checkpoint could not be measured") for measure in chosen]
        lists = {"model": results.arrays(MODEL)["items"]}
        if POPULARITY in results:
            lists["popularity"] = results.arrays(POPULARITY)["items"]
        lists["random"] = _random_lists(lists["model"].shape, n_items, self.seed)
        counts = {name: Counts.of(items, n_items) for name, items in lists.items()}
        found = []
        for measure in chosen:
            value = measure.corrected(counts["model"])
            k = counts["model"].k
            if value is None:
                found.append(self._evidence(measure, k, missing=_why_undefined(lists["model"], n_items)))
                continue
            baseline = {name: measure.corrected(c) for name, c in counts.items() if name != "model"}
            baseline["fairest reachable"] = 1.0 if measure.direction == "up" else 0.0
            found.append(
                self._evidence(
                    measure,
                    k,
                    estimate=value,
                    n=counts["model"].lists,
                    standard_error=self._standard_error(measure, lists["model"], n_items),
                    baseline={name: v for name, v in baseline.items() if v is not None},
                    details=self._details(target, counts) if measure.slug == "gini" else {},
                    cells=[results[MODEL].key],
                )
            )
        return found

    def _evidence(self, measure: Measure, k: int, **values: Any) -> Evidence:
        return Evidence(
            id=f"exposure.{measure.slug}@{k}" if k else f"exposure.{measure.slug}",
            check=self.key,
            title=measure.meaning,
            measure=measure.title,
            unit="0..1, " + ("higher is fairer" if measure.direction == "up" else "lower is fairer"),
            worse="lower" if measure.direction == "up" else "higher",
            **({"estimate": None, "n": 0} | values),
        )

    def _standard_error(self, measure: Measure, lists: Int32, n_items: int) -> float:
        def value(items: np.ndarray[Any, Any]) -> float:
            found = measure.corrected(Counts(items, lists.shape[0], lists.shape[1]))
            return np.nan if found is None else found

        return bootstrap_over_users(lists, n_items, value, seed=self.seed)

    def _details(self, target: Target, counts: dict[str, Counts]) -> dict[str, Any]:
        shown = counts["model"].items
        order = np.lexsort((np.arange(len(shown)), -shown))
        log = target.split.train

        def named(items: np.ndarray[Any, Any]) -> list[dict[str, Any]]:
            return [
                {"id": str(log.item_ids[item]), "title": log.title(item), "count": int(shown[item]),
                 "train_events": int(log.item_counts[item])}
                for item in items
            ]  # fmt: skip

        # of the many items that are never shown, those with most training events are the telling ones
        never = np.lexsort((np.arange(len(shown)), -log.item_counts, shown))
        return {
            "lorenz": {name: lorenz(c) for name, c in counts.items()},
            "most_exposed": named(order[: self.config.named]),
            "least_exposed": named(never[: self.config.named]),
            "never_shown": int((shown == 0).sum()),
            "items": len(shown),
        }


def _why_undefined(lists: Int32, n_items: int) -> str:
    users, k = lists.shape
    short = int((lists == -1).any(axis=1).sum())
    if k >= n_items:
        return f"lists of {k} hold the whole catalogue of {n_items} items: every model is equally fair"
    if short:
        return f"{short} of {users} lists are shorter than {k}, too few items are left to show; lower the cut-off"
    return f"{users} list of {k} items has only one possible distribution of exposure"


def _random_lists(shape: tuple[int, ...], n_items: int, seed: int) -> Int32:
    """Lists drawn uniformly without repeats, int32 [m, k]: the reference of no preference at all."""
    generator = rng(seed, "exposure", "random-lists")
    lists = np.empty(shape, np.int32)
    block = max(1, 4_000_000 // n_items)
    for start in range(0, shape[0], block):
        draw = generator.random((min(block, shape[0] - start), n_items), np.float32)
        lists[start : start + len(draw)] = np.argpartition(draw, shape[1] - 1, axis=1)[:, : shape[1]]
    return lists
