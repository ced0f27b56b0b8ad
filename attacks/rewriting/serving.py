"""What a rewritten title does at once, asked of the checkpoint as it is: the service reads its catalogue again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...audit.cell import Answer
from ...datasets.errors import InputError
from ...datasets.log import Int64, InteractionLog
from ...datasets.seeding import rng
from ...recommenders.base import ReadsText
from ...recommenders.consumed import consumed
from ...recommenders.ranking import rank
from ...recommenders.target import Target
from .base import Limits, Shelf
from .catalogue import rewriting

VERSION = 1
"""Raise it when what is measured of a rewritten title changes."""


@dataclass(frozen=True)
class Rewritten:
    """One rewriting of one item's title (audit.cell.Inquiry).

    Attributes:
        rewriting: its name.
        item: item index.
        watchers: users through whose lists the owner sees the item's rank, if the rewriting asks; they are not judged.
        cutoff: K of HR@K.
        limits: what the title must keep.
    """

    rewriting: str
    item: int
    watchers: int
    cutoff: int
    limits: Limits
    keeps_arrays: ClassVar[bool] = False
    trainings: ClassVar[float] = 0.5

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {"inquiry": "rewriting", "version": [VERSION, rewriting(self.rewriting).version], **asdict(self)}

    def answer(self, target: Target, seed: int) -> Answer:
        """`target/ITEM/eligible`, the users judged; `target/ITEM/SIDE/hr@K` and `.../log2_rank` before and after.

        Beside them the titles tried on the victim. Texts: the title before and after. An item that nobody lacks has
        no values. Users are the genuine ones with events who lack the item; half of them at most are watchers.
        """
        model, history = target.model, target.split.history
        if not (isinstance(model, ReadsText) and model.reads_text):
            raise InputError("the model reads no texts")
        name = str(history.item_ids[self.item])
        lacking = consumed(history)[:, [self.item]].toarray().ravel() == 0
        free = rng(seed, "rewriting", "users", name).permutation(np.flatnonzero(lacking & (history.user_counts > 0)))
        watchers, judged = np.split(free, [min(self.watchers, len(free) // 2)])
        if not len(judged):
            return Answer({f"target/{name}/eligible": 0.0})
        attack = rewriting(self.rewriting)
        ranks = Ranks(model, history, self.item, np.sort(watchers)) if attack.asks else None
        shelf = Shelf(
            target.split.train, self.item, self.limits, None if ranks is None else lambda t: ranks(shelf.texts(t))
        )
        edits = attack.edits(shelf, rng(seed, "rewriting", self.rewriting, name))
        edited = history.with_edits(edits)
        judged = np.sort(judged)
        values: dict[str, float | None] = {
            f"target/{name}/eligible": float(len(judged)), f"target/{name}/asked": float(shelf.asked)
        }  # fmt: skip
        for side, log, served in (("before", history, model), ("after", edited, model.reading(edited))):
            found = rank(served, judged, log, 0, watch=np.array([self.item], np.int32)).watched[0].astype(np.float64)
            values[f"target/{name}/{side}/hr@{self.cutoff}"] = float((found <= self.cutoff).mean())
            values[f"target/{name}/{side}/log2_rank"] = float(np.log2(found).mean())
        return Answer(values, {"before": shelf.title, "after": edited.title(self.item)})


class Ranks:
    """Mean log2 rank of an item under other texts, exactly as ranking anew would give it."""

    def __init__(self, model: ReadsText, history: InteractionLog, item: int, users: Int64) -> None:
        """Score all other items once; users lack the item, so its text is in no history."""
        self._model, self._history, self._users = model, history, users
        scores = model.scores(users, history)
        scores[consumed(history)[users].toarray() > 0] = np.nan  # sorted behind all numbers
        scores[:, item] = np.nan
        self._left = (~np.isnan(scores)).sum(axis=1)
        self._others = np.sort(scores, axis=1)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One value for each text, float64 [N]; half of the ties stand above."""
        own = self._model.text_scores(self._users, self._history, texts)
        found = np.empty(own.shape)
        for row, (others, left) in enumerate(zip(self._others, self._left, strict=True)):
            below = np.searchsorted(others[:left], own[row], "left")
            upto = np.searchsorted(others[:left], own[row], "right")
            found[row] = 1 + (left - upto) + (upto - below) / 2
        means: NDArray[np.float64] = np.log2(found).mean(axis=0)
        return means
