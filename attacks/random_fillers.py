"""The random attack."""

from __future__ import annotations

import numpy as np

from .base import Attack, Draft, Goal, Knowledge
from .draws import draw, pool


class RandomFillers(Attack):
    """Uniform fillers; their ratings come from the distribution of all ratings.

    Knows least and shows least: the floor that every other attack has to beat.
    """

    name = "random"
    title = "Random fillers around the target"
    reference = "Lam, Riedl 2004, Shilling Recommender Systems for Fun and Profit, WWW"
    grants = frozenset({"catalogue", "global_ratings"})

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw uniform fillers, rated N(mu, sigma)."""
        items = draw(rng, pool(goal, knowledge.n_items), goal.accounts, goal.profile)
        if goal.kind != "rating":
            return Draft(items)
        ratings = knowledge.global_ratings
        return Draft(items, rng.normal(ratings.mean, ratings.deviation, items.shape))
