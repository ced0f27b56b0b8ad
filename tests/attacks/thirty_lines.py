"""An attack in 30 lines: fillers that few people know, drawn against their popularity."""

from __future__ import annotations

import numpy as np

from recaudit.attacks.base import Attack, Draft, Goal, Knowledge
from recaudit.attacks.draws import draw, pool


class Obscure(Attack):
    """Target among little-known items: the few genuine users who share one look much like the fakes."""

    name = "obscure"
    title = "Target among little-known items"
    reference = "The reverse of the popular attack of O'Mahony, Hurley, Silvestre 2005, AAAI"
    grants = frozenset({"catalogue", "popularity"})

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw fillers with chances that fall with popularity; the finish line does the rest."""
        chances = pool(goal, knowledge.n_items) / (1.0 + knowledge.popularity)
        return Draft(draw(rng, chances, goal.accounts, goal.profile))
