"""Words that the victim itself rewards: its answers are asked for title by title."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .base import Rewriting, Shelf
from .popular_words import POOL
from .words import climb, lifts

ROUNDS, TRIES = 4, 64


class QueriedWords(Rewriting):
    """Greedy search over words by the item's mean rank, which the owner reads off the service under every title.

    At most 257 titles are tried. Knowing exact ranks is a generous assumption: lists show only their first places.
    Other than in the paper: words of popular items take the place of synonyms, because what promotes is sought, and
    limits are on length, repeats and similarity instead of a language model's fluency.
    """

    name: ClassVar[str] = "queried-words"
    title: ClassVar[str] = "Greedy words by the victim's own answers"
    reference: ClassVar[str] = "Zhang et al. 2024, Stealthy Attack on LLM based Recommendation, ACL, arXiv 2402.14836"
    asks: ClassVar[bool] = True

    def craft(self, shelf: Shelf, rng: np.random.Generator) -> str:
        """See Rewriting."""
        pool = list(lifts(shelf.titles, shelf.counts))[: 4 * POOL]
        return climb(
            shelf.title, pool, lambda titles: -shelf.ask(titles), shelf.allowed, rng, rounds=ROUNDS, tries=TRIES
        )
