"""A mitigation: another training, another way to serve, or both."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from ...datasets.log import InteractionLog
from ...recommenders.base import Recipe, Recommender
from ...recommenders.catalogue import fit


class MitigationConfig(BaseModel):
    """Base of every mitigation's settings; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Mitigation:
    """No mitigation: the recipe as it is, served as it is. Subclasses put something in the place of either step.

    Class attributes: `name`, `title`, `reference`, `config_type`; `trains`, whether models are trained in another way:
    where they are not, one training serves all that only serve in another way.
    """

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "The recipe as it is, served as it is"
    reference: ClassVar[str] = "the audited recipe"
    version: ClassVar[int] = 1
    trains: ClassVar[bool] = False
    config_type: ClassVar[type[MitigationConfig]] = MitigationConfig

    def __init__(self, config: Any = None) -> None:
        """Keep the settings; compute nothing."""
        self.config = self.config_type() if config is None else config

    def describe(self) -> dict[str, Any]:
        """Name and settings, as JSON; part of the cell's key."""
        return {"name": self.name, "version": self.version, **self.config.model_dump(mode="json")}

    def why_not(self, recipe: Recipe) -> str | None:
        """Why it cannot be used on such a model; None if it can."""
        return None

    def train(self, recipe: Recipe, log: InteractionLog, seed: int) -> Recommender:
        """Train a victim; deterministic."""
        return fit(recipe, log, seed)

    def serve(self, model: Recommender, seed: int) -> Recommender:
        """What an outsider sees of a model; deterministic."""
        return model
