"""When to stop: forgotten pairs should stand where held-out pairs stood once the edges had gone, and not below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ....recommenders.base import Recipe
from ....recommenders.catalogue import build
from ..watch import Watch


@dataclass(frozen=True, eq=False)
class Aim:
    """Pairs to watch, and where the held-out ones stood before anything was pushed.

    A fixed mark: a method that ruins the rows of the request's users drags their held-out pairs down with the
    forgotten ones, and would meet a mark that moves along.

    Attributes:
        watch: the pairs.
        recipe: the victim's.
        height: mean percentile of the held-out pairs after the edges were removed.
    """

    watch: Watch
    recipe: Recipe
    height: float

    @classmethod
    def at(cls, watch: Watch, recipe: Recipe, state: Mapping[str, torch.Tensor]) -> Aim:
        """The aim, from the state with the edges removed and nothing else changed."""
        return cls(watch, recipe, _look(watch, recipe, state)[1])

    def miss(self, state: Mapping[str, torch.Tensor]) -> tuple[float, float]:
        """How far the forgotten pairs stand above the mark (below 0: pushed too far), and the distance in all.

        The distance, at least 0, is the absolute value of the first plus what the held-out pairs have lost.
        """
        forgotten, held = _look(self.watch, self.recipe, state)
        over = forgotten - self.height
        return over, abs(over) + max(0.0, self.height - held)


def _look(watch: Watch, recipe: Recipe, state: Mapping[str, torch.Tensor]) -> tuple[float, float]:
    model = build(recipe)
    model.load(state, watch.history.n_users, watch.history.n_items)
    return watch.look(model)
