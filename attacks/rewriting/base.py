"""What a rewriting of an item's title is: an author writes `craft`, limits and tripwires are shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...datasets.log import Float32, Int64, InteractionLog, ItemEdits
from ...language.cache import open_cached
from ...language.encoder import TextEncoder
from ...language.texts import normalised, texts_of
from ..goal import AttackError
from ..knowledge import KnowledgeError

Ask = Callable[[Sequence[str]], NDArray[np.float64]]
"""Mean log2 rank of the item, among some users, under each of these titles."""

SHORT = 12
"""Characters that any title may grow or shrink by, however short it is: about a word."""


@dataclass(frozen=True)
class Limits:
    """What keeps a rewritten title plausible.

    Attributes:
        length: largest change of the number of characters, as a share of the old title's; `SHORT` is always allowed.
        similarity: smallest cosine between the vectors of old and new text.
        encoder: by whose vectors.
    """

    length: float = 0.2
    similarity: float = 0.8
    encoder: str = "static"


class Shelf:
    """What the owner of an item has: all titles, popularity, an encoder of one's own, and maybe answers.

    Attributes:
        titles: of all items.
        counts: int64 [I], popularity.
        item: the item that is owned.
    """

    def __init__(self, log: InteractionLog, item: int, limits: Limits, ask: Ask | None = None) -> None:
        """Copy what may be seen of a training log; `ask` only for those who may ask the victim."""
        assert log.items is not None  # a model that reads texts has been fitted on it
        self.titles = [normalised(str(title)) if isinstance(title, str) else "" for title in log.items["title"]]
        self.counts: Int64 = log.item_counts.copy()
        self.item = item
        self._limits = limits
        self._encoder = open_cached(limits.encoder)
        self._row = log.items.iloc[[item]]
        self._ask = ask
        self.asked = 0

    @property
    def title(self) -> str:
        """The owned item's title today."""
        return self.titles[self.item]

    def ask(self, titles: Sequence[str]) -> NDArray[np.float64]:
        """See `Ask`.

        Raises:
            KnowledgeError: this attacker does not ask the victim.
        """
        if self._ask is None:
            raise KnowledgeError("the victim's answers are not granted to this rewriting")
        self.asked += len(titles)
        return self._ask(titles)

    def texts(self, titles: Sequence[str]) -> list[str]:
        """The item's whole text under each title."""
        return texts_of(retitled(self._row, titles))

    def vectors(self, titles: Sequence[str], encoder: TextEncoder | None = None) -> Float32:
        """Vectors of the item's text under each title, float32 [N, D]."""
        return (encoder or self._encoder).encode(self.texts(titles))

    def allowed(self, titles: Sequence[str]) -> NDArray[np.bool_]:
        """Which titles keep the limits and hold no word more often than the old one, bool [N]."""
        old = self.title
        room = max(SHORT, self._limits.length * len(old))
        near = self.vectors([old, *titles])
        kept = near[1:] @ near[0] >= self._limits.similarity
        return np.array(
            [
                bool(title.strip()) and abs(len(title) - len(old)) <= room and _repeats(title) <= _repeats(old)
                for title in titles
            ],
            bool,
        ) & (kept if titles else True)


class Rewriting(ABC):
    """Rewrites the title of one item. One file, one line in `catalogue.py`.

    Class attributes:
        name: in policies and evidence ids.
        title: one line for people.
        reference: where it comes from.
        asks: whether it asks the victim.
        version: raise it when titles change, so that stored results are not reused.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    asks: ClassVar[bool] = False
    version: ClassVar[int] = 1

    @abstractmethod
    def craft(self, shelf: Shelf, rng: np.random.Generator) -> str:
        """The new title; `shelf.allowed` says which are possible, the old one always is."""

    def edits(self, shelf: Shelf, rng: np.random.Generator) -> ItemEdits:
        """The edit of the one owned item.

        Raises:
            AttackError: the title breaks the limits.
        """
        title = normalised(self.craft(shelf, rng))
        if title != shelf.title and not shelf.allowed([title])[0]:
            raise AttackError(f"rewriting {self.name!r} made a title that breaks the limits: {title!r}")
        return ItemEdits(np.array([shelf.item], np.int32), pd.DataFrame({"title": [title]}))


def retitled(row: pd.DataFrame, titles: Sequence[str]) -> pd.DataFrame:
    """One row of an item table, once under each title."""
    return row.loc[row.index.repeat(len(titles))].assign(title=list(titles))


def _repeats(title: str) -> int:
    words = title.lower().split()
    return len(words) - len(set(words))
