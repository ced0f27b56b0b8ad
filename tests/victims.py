"""Small audited systems for tests: generated data, an exact and cheap model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from recaudit.datasets.log import InteractionLog, Profiles
from recaudit.datasets.split import Split, leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.target import Target


def small_log(seed: int = 3, users: int = 120, items: int = 60, events: int = 1800) -> InteractionLog:
    """A generated log with times and titles."""
    made = generate(users=users, items=items, events=events, seed=seed)
    return getattr(made, "log", made)


def small_split(seed: int = 3) -> Split:
    """Its leave-last-out split."""
    return leave_last_out(small_log(seed))


def small_target(model: str = "ease", seed: int = 3, split: Split | None = None) -> Target:
    """A fitted model with its data, as a checkpoint gives it."""
    split = split or small_split(seed)
    recipe = Recipe(model, {})
    fitted = build(recipe)
    fitted.fit(split.train, seed)
    recipe = Recipe(model, fitted.config.model_dump(mode="json"), fitted.epochs)
    metrics = evaluate(fitted, split.test, split.history, (10, 20))
    return Target("small", fitted, recipe, split, seed, "0" * 64, metrics, fit_seconds=0.1)


@dataclass(frozen=True)
class Copies:
    """As many copies of the first user's events, with one item more."""

    accounts: int
    item: int = 0

    def describe(self) -> dict[str, Any]:
        return {"copies": self.accounts, "item": self.item}

    def observe(self, log: InteractionLog, profiles: Profiles) -> dict[str, float | None]:
        return {}

    asks = False

    def profiles(self, log: InteractionLog, model: object = None) -> Profiles:
        if not self.accounts:
            return Profiles.empty()
        own = np.append(log.item[log.user == 0], np.int32(self.item))
        items = np.tile(own, self.accounts)
        accounts = np.repeat(np.arange(self.accounts, dtype=np.int32), len(own))
        value = None if log.value is None else np.ones(len(items), np.float32)
        time = None if log.time is None else np.full(len(items), log.time.max())
        return Profiles(self.accounts, accounts, items, value, time)
