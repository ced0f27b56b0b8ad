"""The average attack."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from .base import Attack, Draft, Goal, Knowledge
from .draws import draw, pool


class Average(Attack):
    """Uniform fillers, each rated as its item usually is: agrees with everyone but on the target.

    Without ratings it is the random attack.
    """

    name = "average"
    title = "Random fillers rated like everyone does"
    reference = "Lam, Riedl 2004, Shilling Recommender Systems for Fun and Profit, WWW"
    grants = frozenset({"catalogue", "item_means"})
    aliases = MappingProxyType({"implicit": "random", "sequence": "random"})

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw uniform fillers, rated N(mu_i, sigma_i)."""
        items = draw(rng, pool(goal, knowledge.n_items), goal.accounts, goal.profile)
        if goal.kind != "rating":
            return Draft(items)
        known = knowledge.item_ratings
        return Draft(items, rng.normal(known.mean[items], known.deviation[items]))
