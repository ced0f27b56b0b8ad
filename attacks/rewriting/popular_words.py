"""Words of items that sell, without asking anybody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Rewriting, Shelf
from .words import climb, lifts

POOL = 60
"""Words of highest lift that are tried."""


class PopularWords(Rewriting):
    """The words whose items are most popular, as many as the limits allow.

    Reference: keyword stuffing with words of popular items, as in the trivial attacks of Zhang et al. 2024.
    """

    name: ClassVar[str] = "popular-words"
    title: ClassVar[str] = "Words of popular items, nobody asked"
    reference: ClassVar[str] = "Zhang et al. 2024, Stealthy Attack on LLM based Recommendation, ACL, arXiv 2402.14836"

    def craft(self, shelf: Shelf, rng: np.random.Generator) -> str:
        """See Rewriting."""
        lift = lifts(shelf.titles, shelf.counts)

        def value(titles: Sequence[str]) -> NDArray[np.float64]:
            return np.array([sum(lift.get(word, 1.0) - 1.0 for word in title.split()) for title in titles])

        return climb(shelf.title, list(lift)[:POOL], value, shelf.allowed, rng, rounds=4, tries=256)
