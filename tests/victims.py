"""Small audited systems for tests: generated data, an exact and cheap model."""

from __future__ import annotations

from recaudit.datasets.log import InteractionLog
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
