"""When to stop: forgotten pairs should stand where held-out pairs stood once the edges had gone, and not below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ....recommenders.base import Model, Recipe
from ....recommenders.catalogue import build
from ..watch import Look, Watch


@dataclass(frozen=True, eq=False)
class Aim:
    """Pairs to watch, and where they stood before anything was pushed.

    Attributes:
        watch: the pairs.
        recipe: the victim's.
        start: the look after the edges were removed.
    """

    watch: Watch
    recipe: Recipe
    start: Look

    @classmethod
    def at(cls, watch: Watch, recipe: Recipe, state: Mapping[str, torch.Tensor]) -> Aim:
        """The aim, from the state with the edges removed and nothing else changed."""
        return cls(watch, recipe, watch.look(_model(watch, recipe, state)))

    def over(self, state: Mapping[str, torch.Tensor]) -> float:
        """How far the forgotten pairs stand above `Look.mark`."""
        return self._above(self.watch.stand(_model(self.watch, self.recipe, state)))

    def miss(self, state: Mapping[str, torch.Tensor]) -> tuple[float, float]:
        """How far the forgotten pairs stand above `Look.mark`, and the distance in all.

        The distance, at least 0, is the absolute value of the first plus what all held-out pairs have lost.
        """
        now = self.watch.look(_model(self.watch, self.recipe, state))
        over = self._above(now.forgotten)
        return over, abs(over) + max(0.0, self.start.held - now.held)

    def _above(self, level: float) -> float:
        return level - self.start.mark(self.watch.easier)


def _model(watch: Watch, recipe: Recipe, state: Mapping[str, torch.Tensor]) -> Model:
    model = build(recipe)
    model.load(state, watch.history.n_users, watch.history.n_items)
    return model
