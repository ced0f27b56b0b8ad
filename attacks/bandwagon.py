"""The bandwagon attack."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw, head, merge, pool


class BandwagonConfig(AttackConfig):
    """Settings of the bandwagon attack."""

    popular_share: float = Field(0.5, ge=0, le=1, description="share of the fillers that are popular items")
    head: float = Field(0.05, gt=0, le=1, description="the popular items: this share of the items with events")


class Bandwagon(Attack):
    """Half of the fillers from the most popular items, so that many genuine users resemble the fakes.

    Popular items are drawn in proportion to their popularity and rated r_max; the other fillers are uniform
    and rated N(mu, sigma). Popularity is public on most services, which makes this the usual first attack.
    """

    name = "bandwagon"
    title = "Target next to popular items"
    reference = (
        "Mobasher, Burke, Bhaumik, Williams 2007, Toward Trustworthy Recommender Systems, ACM TOIT 7(4); "
        "without ratings half popular, half uniform"
    )
    grants = frozenset({"catalogue", "popularity", "global_ratings"})
    config_type = BandwagonConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw popular, then uniform fillers."""
        candidates = pool(goal, knowledge.n_items)
        popular = candidates * knowledge.popularity * head(knowledge.popularity, self.config.head)
        n_popular = int(np.floor(goal.fillers * self.config.popular_share + 0.5))
        selected = draw(rng, popular, goal.accounts, n_popular)
        fillers = draw(rng, candidates, goal.accounts, goal.profile + n_popular)
        items = merge(selected, fillers)
        if goal.kind != "rating":
            return Draft(items)
        known = knowledge.global_ratings
        ratings = rng.normal(known.mean, known.deviation, items.shape)
        ratings[:, :n_popular] = knowledge.scale.highest
        return Draft(items, ratings)
