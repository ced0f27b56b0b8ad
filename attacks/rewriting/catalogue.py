"""The rewritings there are: one line each."""

from __future__ import annotations

from ...datasets.errors import unknown_name
from .base import Rewriting
from .popular_words import PopularWords
from .queried_words import QueriedWords
from .random_words import RandomWords
from .similar_words import SimilarWords

REWRITINGS: dict[str, type[Rewriting]] = {
    "random-words": RandomWords,
    "popular-words": PopularWords,
    "similar-words": SimilarWords,
    "queried-words": QueriedWords,
}


def rewriting(name: str) -> Rewriting:
    """A rewriting by name.

    Raises:
        InputError: there is none of this name; the message names the nearest.
    """
    if name not in REWRITINGS:
        raise unknown_name("rewriting", name, REWRITINGS)
    return REWRITINGS[name]()
