"""The audited system: a fitted model with the data it was trained and judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..datasets.split import Split
from .base import Model, Recipe


@dataclass(frozen=True)
class Origin:
    """Where a model comes from that recaudit did not train.

    Attributes:
        format: of its file, and the model's name there.
        proof: what shows that ids and split are its own.
        verified: whether anything does; None where nothing can, since there is no file.
    """

    format: str
    proof: str
    verified: bool | None


@dataclass(frozen=True, eq=False)
class Target:
    """A recommender under audit, as `open_checkpoint` and `foreign.open_foreign` give it.

    Attributes:
        name: for people, the checkpoint folder's name.
        model: the fitted model; `model.scores(users, history)`.
        recipe: how refits train it again.
        split: its train, validation and test events.
        seed: the seed it was trained with.
        fingerprint: SHA-256 (hex) of its weights and recipe.
        stored_metrics: what the checkpoint says it reached on the test part, by name ("ndcg@20").
        fit_seconds: CPU seconds the training took when it was saved, for planning; None if unknown.
        origin: where it comes from if recaudit did not train it.
    """

    name: str
    model: Model
    recipe: Recipe
    split: Split
    seed: int
    fingerprint: str
    stored_metrics: Mapping[str, float]
    fit_seconds: float | None = None
    origin: Origin | None = None
