"""The love/hate attack."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from .base import Attack, Draft, Goal, Knowledge
from .draws import draw, pool


class LoveHate(Attack):
    """Uniform fillers rated at the other end of the scale than the target. Needs to know nothing.

    Without ratings it is the random attack.
    """

    name = "love-hate"
    title = "Target loved, random fillers hated (or the reverse)"
    reference = "Mobasher, Burke, Bhaumik, Williams 2007, Toward Trustworthy Recommender Systems, ACM TOIT 7(4)"
    grants = frozenset({"catalogue"})
    aliases = MappingProxyType({"implicit": "random", "sequence": "random"})

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw uniform fillers, at r_min for a push and at r_max for a nuke."""
        items = draw(rng, pool(goal, knowledge.n_items), goal.accounts, goal.profile)
        if goal.kind != "rating":
            return Draft(items)
        scale = knowledge.scale
        return Draft(items, np.full(items.shape, scale.lowest if goal.direction == "push" else scale.highest))
