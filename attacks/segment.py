"""The segment attack."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw, head, merge, pool
from .similarity import cosine, ranked


class SegmentConfig(AttackConfig):
    """Settings of the segment attack."""

    segment_share: float = Field(
        0.5, ge=0, le=1, description="with ratings: share of the fillers that the audience likes; without: all are"
    )
    head: float = Field(0.1, ge=0, le=1, description="the most popular share of the items, left out of the segment")
    choice: float = Field(2.0, ge=1, description="each account draws its n segment items from choice * n")


class Segment(Attack):
    """Fillers that the users of the target (or a given audience) consume: aimed at those most likely to follow.

    The segment is made of the items with the highest cosine co-occurrence, without the head. With ratings they
    get r_max, the other fillers are uniform at r_min; without ratings all fillers are of the segment. Each
    account draws its own from twice as many, so that the fakes are not copies of each other.
    """

    name = "segment"
    title = "Target next to what its audience consumes"
    reference = "Burke, Mobasher, Bhaumik, Williams 2005, Segment-Based Injection Attacks, ICDM"
    grants = frozenset({"catalogue", "log"})
    config_type = SegmentConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw segment items, then uniform fillers."""
        candidates = pool(goal, knowledge.n_items)
        popularity = knowledge.log.item_counts
        if self.config.head > 0:
            usual = candidates * ~head(popularity, self.config.head)
        else:
            usual = candidates
        similarity = cosine(knowledge.log, goal) * usual
        share = self.config.segment_share if goal.kind == "rating" else 1.0
        wanted = goal.profile if share == 1.0 else int(np.floor(goal.fillers * share + 0.5))
        order = ranked(similarity, popularity)[: int(np.ceil(self.config.choice * wanted))]
        segment = np.zeros(knowledge.n_items)
        segment[order] = similarity[order] > 0
        selected = draw(rng, segment, goal.accounts, wanted)
        items = merge(selected, draw(rng, candidates, goal.accounts, goal.profile + wanted))
        if goal.kind != "rating":
            return Draft(items)
        ratings = np.full(items.shape, knowledge.scale.lowest)
        ratings[:, :wanted] = knowledge.scale.highest
        return Draft(items, ratings)
