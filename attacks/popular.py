"""The popular attack."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw, head, merge, pool


class PopularConfig(AttackConfig):
    """Settings of the popular attack."""

    head: float = Field(0.05, gt=0, le=1, description="without ratings: fillers come from this share of the items")


class Popular(Attack):
    """Only popular fillers.

    With ratings they are the most popular ones, rated r_min where the item's mean is below the overall mean and
    one step above it elsewhere (from the top downwards for a nuke). Without ratings they are drawn from the
    head in proportion to popularity.
    """

    name = "popular"
    title = "Target among popular items only"
    reference = "O'Mahony, Hurley, Silvestre 2005, Recommender Systems: Attack Types and Strategies, AAAI"
    grants = frozenset({"catalogue", "popularity", "item_means", "global_ratings"})
    config_type = PopularConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Take popular fillers."""
        weights = pool(goal, knowledge.n_items) * knowledge.popularity
        order = np.argsort(-weights, kind="stable").astype(np.int32)[: goal.profile]
        top = np.tile(order, (goal.accounts, 1))
        if goal.kind != "rating":
            inside = weights * head(knowledge.popularity, self.config.head)
            return Draft(merge(draw(rng, inside, goal.accounts, goal.profile), top))
        scale, liked = knowledge.scale, knowledge.item_ratings.mean[top] >= knowledge.global_ratings.mean
        if goal.direction == "push":
            return Draft(top, np.where(liked, scale.lowest + 1, scale.lowest))
        return Draft(top, np.where(liked, scale.highest, scale.highest - 1))
