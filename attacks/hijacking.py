"""What hijacked accounts are shown once events are planted in them, asked of the checkpoint as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..audit.cell import Answer
from ..datasets.seeding import derive, rng
from ..recommenders.consumed import consumed
from ..recommenders.target import Target
from .knowledge import Knowledge
from .pollution import pollution_shift
from .surrogate.sequence import SequenceConfig, SequenceSurrogate

VERSION = 1
"""Raise it when the events that are planted, or what is measured of them, change."""


@dataclass(frozen=True)
class Pollution:
    """Profile pollution of some target items (audit.cell.Inquiry).

    Attributes:
        items: item indices.
        events: planted events of each account.
        users: accounts per item at most.
        cutoff: K of HR@K.
        relists: whether consumed items are listed again, so that the target itself may be planted.
        knowledge: share of the genuine users whose profiles the surrogate is trained on.
        surrogate: its size and training.
    """

    items: tuple[int, ...]
    events: int
    users: int
    cutoff: int
    relists: bool
    knowledge: float
    surrogate: SequenceConfig
    keeps_arrays: ClassVar[bool] = False
    trainings: ClassVar[float] = 0.5

    def describe(self) -> dict[str, Any]:
        """Everything that determines the answer beside target and seed, as JSON."""
        return {
            "inquiry": "pollution", "version": VERSION, "items": list(self.items), "events": self.events,
            "users": self.users, "cutoff": self.cutoff, "relists": self.relists, "knowledge": self.knowledge,
            "surrogate": self.surrogate.model_dump(mode="json"),
        }  # fmt: skip

    def answer(self, target: Target, seed: int) -> Answer:
        """`target/ITEM/eligible`, the accounts taken over; `target/ITEM/SIDE/hr@K` and `.../log2_rank` of them.

        Sides are before, polluted and random, and alternated where the target itself may be planted. An item that
        nobody lacks has none of them.
        """
        history = target.split.history
        share = derive(seed, "takeover", "share")
        seen = Knowledge.of(target.split.train, {"log"}, share=self.knowledge, seed=share).log
        surrogate = SequenceSurrogate.fitted(seen, self.surrogate, rng(seed, "takeover", "surrogate"))
        found: dict[str, float | None] = {}
        for item in self.items:
            # each item has streams of its own, so that which others are tried does not change its numbers
            name = str(history.item_ids[item])
            lacking = consumed(history)[:, [item]].toarray().ravel() == 0
            free = np.flatnonzero(lacking & (history.user_counts > 0))
            users = np.sort(rng(seed, "takeover", "users", name).permutation(free)[: self.users])
            found[f"target/{name}/eligible"] = float(len(users))
            if not len(users):
                continue
            draw = rng(seed, "takeover", "events", name)
            shift = pollution_shift(
                target.model, history, surrogate, item, users, self.events, draw,
                k=self.cutoff, keep_target=self.relists,
            )  # fmt: skip
            for side in ("before", "polluted", "random", "alternated"):
                exposure = getattr(shift, side)
                if exposure is not None:
                    found[f"target/{name}/{side}/hr@{self.cutoff}"] = exposure.hit_rate
                    found[f"target/{name}/{side}/log2_rank"] = exposure.log2_rank
        return Answer(found)
