"""Words that bring the text's vector near those of popular items: a transfer from one's own encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...language.cache import open_cached
from .base import Rewriting, Shelf
from .popular_words import POOL
from .words import climb, lifts

HEAD = 100
"""Popular items whose mean vector is sought."""


class SimilarWords(Rewriting):
    """Climbs the cosine between the item's text and the mean text of popular items, by the attacker's own encoder.

    Nobody is asked; whether it carries over depends on how much the victim's encoder resembles the attacker's.
    """

    name: ClassVar[str] = "similar-words"
    title: ClassVar[str] = "Text near that of popular items by one's own encoder"
    reference: ClassVar[str] = "recaudit; the embedding-space idea of Zhang et al. 2024, ACL, arXiv 2402.14836"
    encoder: ClassVar[str] = "static"

    def craft(self, shelf: Shelf, rng: np.random.Generator) -> str:
        """See Rewriting."""
        encoder = open_cached(self.encoder)
        head = np.argsort(-shelf.counts, kind="stable")[:HEAD]
        centre = encoder.encode([shelf.titles[item] for item in head if item != shelf.item]).mean(axis=0)

        def value(titles: Sequence[str]) -> NDArray[np.float64]:
            near: NDArray[np.float64] = (shelf.vectors(titles, encoder) @ centre).astype(np.float64)
            return near

        pool = list(lifts(shelf.titles, shelf.counts))[:POOL]
        return climb(shelf.title, pool, value, shelf.allowed, rng, rounds=4, tries=256)
