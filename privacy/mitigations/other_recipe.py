"""Another recipe: more regularisation, fewer epochs, or a model that is trained with differential privacy."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from ...datasets.errors import InputError
from ...datasets.log import InteractionLog
from ...recommenders.base import Recipe, Recommender
from ...recommenders.catalogue import build, fit, reads_order
from .base import Mitigation, MitigationConfig


class OtherRecipeConfig(MitigationConfig):
    """What differs from the audited recipe."""

    model: str = Field(default="", description="another model, with its own defaults; the same one if empty")
    set: dict[str, Any] = Field(default_factory=dict, description="hyper-parameters by name")
    epochs: float | None = Field(default=None, gt=0, description="of the recipe's epochs; .5 is half of them")


class OtherRecipe(Mitigation):
    """The audited recipe with some settings changed, or another model in its place.

    Up to the best regularisation it takes from attacks without reference models and costs no utility; who has
    reference models is hardly hindered by it (docs/privacy.md).

    Reference: Yeom, Giacomelli, Fredrikson, Jha 2018, Privacy Risk in Machine Learning, IEEE CSF (overfitting).
    """

    name = "other-recipe"
    title = "More regularisation, fewer epochs, or another model"
    reference = "Yeom, Giacomelli, Fredrikson, Jha 2018, IEEE CSF"
    trains = True
    config_type: ClassVar[type[MitigationConfig]] = OtherRecipeConfig

    def why_not(self, recipe: Recipe) -> str | None:
        """Settings that such a model does not have, or another kind of model: it would be read in another way."""
        config: Any = self.config
        if config.epochs is not None and recipe.epochs is None and not config.model:
            return f"{recipe.model} is not trained in epochs"
        try:
            other = self.recipe(recipe)
            build(other)
            if reads_order(other) != reads_order(recipe):
                return f"{other.model} and {recipe.model} read histories in different ways"
        except InputError as error:
            return str(error)
        return None

    def train(self, recipe: Recipe, log: InteractionLog, seed: int) -> Recommender:
        """Train the other recipe."""
        return fit(self.recipe(recipe), log, seed)

    def recipe(self, recipe: Recipe) -> Recipe:
        """The other recipe."""
        config: Any = self.config
        if config.model:
            return Recipe(config.model, dict(config.set), None)
        epochs = recipe.epochs
        if epochs is not None and config.epochs is not None:
            epochs = max(1, round(config.epochs * epochs))
        return Recipe(recipe.model, {**recipe.config, **config.set}, epochs)
