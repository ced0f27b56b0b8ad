"""What the attacks on sequential recommenders share: a surrogate, and sequences written event by event."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from ...datasets.log import Int64, InteractionLog
from ...recommenders.trainer import one_thread
from ..base import Attack, Draft, Goal, Knowledge
from ..finish import forced_places, target_slots
from ..goal import Direction, Kind
from ..knowledge import Grant
from .fillers import seen_items
from .sequence import SequenceConfig, SequenceSurrogate

Choose = Callable[[Int64, Int64, Int64], Int64]
"""From prefixes [B, L], their accounts [B] and the target [B] that each meets next: the next fillers [B]."""


class SequenceAttack(Attack):
    """An attack on models that read what follows what; a subclass writes the sequences.

    The surrogate is trained once per craft, on the visible log.
    """

    grants: ClassVar[frozenset[Grant]] = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type: ClassVar[type[SequenceConfig]] = SequenceConfig

    def slots(self, goal: Goal, rng: np.random.Generator) -> Int64:
        """Places of the target events, int64 [A, s], ascending: those of the goal."""
        return target_slots(goal, rng)

    @abstractmethod
    def sequences(
        self,
        surrogate: SequenceSurrogate,
        log: InteractionLog,
        goal: Goal,
        slots: Int64,
        allowed: Int64,
        rng: np.random.Generator,
    ) -> Int64:
        """The accounts' events.

        Args:
            surrogate: fitted to the visible log.
            log: the visible log.
            goal: targets and budget.
            slots: int64 [A, s], places of the targets, s below P.
            allowed: int64 [n], items that may be fillers, n at least 1.
            rng: the only source of randomness.

        Returns:
            int64 [A, P], as `write` makes it.
        """

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Place the targets, train the surrogate, write the fillers; nothing is trained where there are none."""
        by_slot, by_fit, by_write = rng.spawn(3)
        slots = self.slots(goal, by_slot)
        nothing = Draft(np.empty((goal.accounts, 0), np.int32), ordered=True, slots=slots)
        if slots.shape[1] == goal.profile:
            return nothing
        log = knowledge.log
        allowed = usable_fillers(log, goal.targets)
        if not len(allowed):
            return nothing
        surrogate = SequenceSurrogate.fitted(log, self.config, by_fit)
        with one_thread():
            sequence = self.sequences(surrogate, log, goal, slots, allowed, by_write)
        fillers = sequence[~forced_places(slots, goal.profile)].reshape(goal.accounts, -1)
        return Draft(fillers.astype(np.int32), ordered=True, slots=slots)


def usable_fillers(log: InteractionLog, targets: Sequence[int]) -> Int64:
    """Items with events, without the targets, int64 ascending; all but the targets if there is none.

    A surrogate's vector of an item without events is noise: gradients would choose such items by chance.
    """
    known = seen_items(log, targets)
    return known if len(known) else np.setdiff1d(np.arange(log.n_items), targets)


def write(goal: Goal, slots: Int64, choose: Choose) -> Int64:
    """Write accounts from the first event to the last; the targets take turns in their slots.

    Args:
        goal: targets and P; A is that of `slots`.
        slots: int64 [A, s], places of the targets, ascending, s at least 1.
        choose: asked for the fillers of one place at a time.

    Returns:
        int64 [A, P].
    """
    targets = np.array(goal.targets, np.int64)
    forced = forced_places(slots, goal.profile)
    # first at each place the target that is next, then the filler
    sequence: Int64 = targets[(np.cumsum(forced, axis=1) - forced) % len(targets)]
    for place in range(goal.profile):
        rows = np.flatnonzero(~forced[:, place])
        if len(rows):
            sequence[rows, place] = choose(sequence[rows, :place], rows, sequence[rows, place])
    return sequence
