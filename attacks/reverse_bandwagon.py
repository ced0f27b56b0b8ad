"""The reverse bandwagon attack."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw, head, merge, pool


class ReverseBandwagonConfig(AttackConfig):
    """Settings of the reverse bandwagon attack."""

    disliked_share: float = Field(0.5, ge=0, le=1, description="share of the fillers that are disliked items")
    head: float = Field(0.1, gt=0, le=1, description="well-known items: this share of the items with events")


class ReverseBandwagon(Attack):
    """The target beside well-known items that most people dislike; it needs ratings.

    Disliked items are the lower half of the well-known ones by mean rating and get r_min; the other fillers
    are uniform and rated N(mu, sigma). Made to bury an item; pushing, the target alone gets r_max.
    """

    name = "reverse-bandwagon"
    title = "Target next to well-known disliked items"
    reference = "Mobasher, Burke, Bhaumik, Williams 2007, Toward Trustworthy Recommender Systems, ACM TOIT 7(4)"
    grants = frozenset({"catalogue", "popularity", "item_means", "global_ratings"})
    kinds = frozenset({"rating"})
    config_type = ReverseBandwagonConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw disliked, then uniform fillers."""
        candidates = pool(goal, knowledge.n_items)
        known = np.flatnonzero(head(knowledge.popularity, self.config.head) & (candidates > 0))
        means = knowledge.item_ratings.mean[known]
        disliked = np.zeros(knowledge.n_items)
        disliked[known[np.argsort(means, kind="stable")[: max(1, len(known) // 2)]]] = 1
        n_disliked = int(np.floor(goal.fillers * self.config.disliked_share + 0.5))
        selected = draw(rng, disliked, goal.accounts, n_disliked)
        items = merge(selected, draw(rng, candidates, goal.accounts, goal.profile + n_disliked))
        ratings = rng.normal(knowledge.global_ratings.mean, knowledge.global_ratings.deviation, items.shape)
        ratings[:, :n_disliked] = knowledge.scale.lowest
        return Draft(items, ratings)
