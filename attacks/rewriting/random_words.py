"""Words of the catalogue at random: what any rewriting does."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from .base import Rewriting, Shelf
from .words import climb, lifts


class RandomWords(Rewriting):
    """Up to three words drawn from the catalogue's, put in or in place of others. The control of the others."""

    name: ClassVar[str] = "random-words"
    title: ClassVar[str] = "Words at random, the control"
    reference: ClassVar[str] = "recaudit, as a control"

    def craft(self, shelf: Shelf, rng: np.random.Generator) -> str:
        """See Rewriting."""
        by_word, by_place, by_value = rng.spawn(3)
        words = list(lifts(shelf.titles, shelf.counts))
        pool = [words[place] for place in by_word.permutation(len(words))[:60]]
        steps = iter(range(1 << 30))  # a title is worth what its turn is: every step is taken
        return climb(
            shelf.title,
            pool,
            lambda titles: next(steps) + by_value.random(len(titles)),
            shelf.allowed,
            by_place,
            rounds=3,
            tries=8,
        )
