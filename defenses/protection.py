"""A defence as an audit runs it: described for the cell's key, and judged by what only the harness knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from ..attacks.visibility import auc, recall_at
from ..audit.cell import Defended
from ..datasets.log import InteractionLog
from ..recommenders.base import Recipe
from .base import Float64
from .catalogue import build

PREFIX = "defense/"
ACTIVITY = ("light", "middle", "heavy")
"""Thirds of the genuine users by number of events."""


@dataclass(frozen=True)
class Protection:
    """A defence by name and settings (audit.cell.Defense)."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def describe(self) -> dict[str, Any]:
        """Everything that determines the defence, as JSON."""
        own = build(self.name, self.settings)
        return {"name": self.name, "version": own.version, "settings": own.config.model_dump(mode="json")}

    def train(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """See audit.cell.Defense."""
        return build(self.name, self.settings).fit(recipe, log, seed)

    def observe(self, defended: Defended, log: InteractionLog, genuine: int) -> dict[str, float | None]:
        """The defence's own notes, `judged` and `weighed`, as far as it judges and weighs accounts.

        `defense/auc@N` is the AUC at the defence's N-th earlier judgement, from 0.
        """
        found: dict[str, float | None] = {PREFIX + name: value for name, value in defended.notes.items()}
        if defended.suspicion is not None:
            found |= judged(defended.suspicion, log, genuine)
        active = log.user_counts > 0
        fake = (np.arange(log.n_users) >= genuine)[active]
        for place, suspicion in enumerate(defended.history):
            found[f"{PREFIX}auc@{place}"] = auc(suspicion[active], fake)
        if defended.weights is not None:
            found |= weighed(defended.weights, log, genuine)
        return found


def judged(suspicion: Float64, log: InteractionLog, genuine: int) -> dict[str, float | None]:
    """How well suspicion tells injected accounts from genuine ones, over accounts with events.

    `defense/auc` (.5 by chance), `defense/ap` (average precision) beside `defense/ap_by_chance` (the share of
    fakes), `defense/precision` at the true number of fakes, which nobody knows in practice, and `defense/recall` at
    1 % false alarms. None without fakes.
    """
    active = log.user_counts > 0
    fake = (np.arange(log.n_users) >= genuine)[active]
    own = suspicion[active]
    count = int(fake.sum())
    found: dict[str, float | None] = {PREFIX + "auc": auc(own, fake), PREFIX + "recall": recall_at(own, fake)}
    both = 0 < count < len(fake)
    found[PREFIX + "ap"] = float(average_precision_score(fake, own)) if both else None
    found[PREFIX + "ap_by_chance"] = count / len(fake) if both else None
    found[PREFIX + "precision"] = _precision(own, fake, count) if both else None
    return found


def weighed(weights: NDArray[np.float32], log: InteractionLog, genuine: int) -> dict[str, float | None]:
    """What accounts with events count in training.

    `defense/caught` is the share of the fakes that count less than half, `defense/false_alarms` that of the genuine
    users, in all and by thirds of activity.
    """
    active = log.user_counts > 0
    less = weights < 0.5
    fake = np.arange(log.n_users) >= genuine
    found = {PREFIX + "caught": _share(less[active & fake]), PREFIX + "false_alarms": _share(less[active & ~fake])}
    users = np.flatnonzero(active & ~fake)
    users = users[np.argsort(log.user_counts[users], kind="stable")]
    for name, part in zip(ACTIVITY, np.array_split(users, 3), strict=True):
        found[f"{PREFIX}false_alarms/{name}"] = _share(less[part])
    return found


def _share(chosen: NDArray[np.bool_]) -> float | None:
    return float(chosen.mean()) if len(chosen) else None


def _precision(suspicion: Float64, fake: NDArray[np.bool_], count: int) -> float:
    """Expected share of fakes among the `count` most suspicious accounts, ties in random order."""
    level = np.sort(suspicion)[-count]
    above, tied = suspicion > level, suspicion == level
    left = count - int(above.sum())
    return float((fake[above].sum() + left * fake[tied].mean()) / count)
