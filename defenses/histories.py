"""The histories that the calibrator learns from: accounts of the log, and fraudsters simulated from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from scipy import sparse

from ..attacks.catalogue import build
from ..attacks.goal import Goal, Placement
from ..attacks.injection import crafted
from ..datasets.log import Int64, InteractionLog
from ..datasets.seeding import derive, rng
from ..recommenders.sequences import ordered

GROUPS = 20
"""Simulated fraudsters come in so many groups, each with an attack, a target, a length and a placement."""


@dataclass(frozen=True, eq=False)
class Histories:
    """Sequences of items, one after the other.

    Attributes:
        items: int64 [E].
        start: int64 [N], where each begins.
        length: int64 [N], at least 1.
    """

    items: Int64
    start: Int64
    length: Int64

    def __len__(self) -> int:
        """N."""
        return len(self.start)

    def matrix(self, n_items: int) -> sparse.csr_matrix:
        """How often each history holds each item, float32 CSR [N, I]."""
        row = np.repeat(np.arange(len(self)), self.length)
        before = np.cumsum(self.length) - self.length
        place = np.arange(len(row)) + np.repeat(self.start - before, self.length)
        ones = np.ones(len(row), np.float32)
        return sparse.csr_matrix((ones, (row, self.items[place])), shape=(len(self), n_items))

    def plus(self, other: Histories) -> Histories:
        """These, then the others."""
        return Histories(
            np.concatenate([self.items, other.items]),
            np.concatenate([self.start, other.start + len(self.items)]),
            np.concatenate([self.length, other.length]),
        )

    def shuffled(self, rng: np.random.Generator) -> Histories:
        """The same, each in random order."""
        row = np.repeat(np.arange(len(self)), self.length)
        before = np.cumsum(self.length) - self.length
        items = self.items[np.arange(len(row)) + np.repeat(self.start - before, self.length)]
        order = np.lexsort((rng.random(len(row)), row))
        return Histories(items[order], before, self.length)

    def last(self, longest: int) -> Histories:
        """The same without all but the last events of each."""
        length = np.minimum(self.length, longest)
        return Histories(self.items, self.start + self.length - length, length)

    @classmethod
    def of_accounts(cls, log: InteractionLog, accounts: Int64) -> Histories:
        """Those of some accounts, each with one event at least."""
        offsets, items = ordered(log)
        return cls(items, offsets[accounts], offsets[accounts + 1] - offsets[accounts])


def simulated(log: InteractionLog, accounts: Int64, count: int, attacks: Sequence[str], seed: int) -> Histories:
    """Histories of fraudsters that promote items of their own; crafted from the log alone, never from its labels.

    They come in groups. Attacks take turns; the rest is drawn: a target among items with events, a length among those
    of the accounts, where the target stands. One length and one target for all would be what the calibrator learns.

    Args:
        log: accounts to defend; it is not changed.
        accounts: int64 [N], those of them that the victim learns from; nothing else is seen.
        count: how many fraudsters.
        attacks: names of attacks that apply to sequences.
        seed: of target, length, placement and craft.
    """
    seen = log.take(np.isin(log.user, accounts))
    seen = replace(seen, value=None, users=None)  # sequences alone are read
    draw = rng(seed, "groups")
    found: list[Histories] = []
    for number, rows in enumerate(np.array_split(np.arange(count), min(count, GROUPS))):
        target = int(draw.choice(np.flatnonzero(seen.item_counts)))
        length = int(log.user_counts[draw.choice(accounts)])
        placement: Placement = get_args(Placement)[int(draw.integers(len(get_args(Placement))))]
        # a long profile of a small catalogue may need more fillers than there are items
        profile = int(np.clip(length, 2, max(2, log.n_items // 2)))
        goal = Goal((target,), len(rows), profile, "sequence", placement=placement)
        profiles = crafted(build(attacks[number % len(attacks)]), seen, goal, derive(seed, "craft", number))
        fakes = InteractionLog(
            profiles.account,
            profiles.item,
            np.arange(len(rows)).astype(str),
            log.item_ids,
            time=profiles.time,
        )
        found.append(Histories.of_accounts(fakes, np.arange(len(rows))))
    joined = found[0]
    for part in found[1:]:
        joined = joined.plus(part)
    return joined
