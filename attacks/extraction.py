"""Extraction, then attack: gradient-guided sequences by an attacker who sees no data and asks the victim."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ..datasets.log import Int64
from ..recommenders.trainer import one_thread
from .base import Attack, Draft, Goal, Knowledge
from .finish import forced_places, target_slots
from .goal import Direction, Kind
from .gradient_sequences import least_expected
from .knowledge import Grant
from .surrogate.extracted import ExtractionConfig, extract, student
from .surrogate.sequence_attack import write


class ExtractedSequencesConfig(ExtractionConfig):
    """Settings of the attack on an extracted student."""

    pool: int = Field(default=10, ge=1, description="a filler is drawn from so many items of lowest cosine")


class ExtractedSequences(Attack):
    """Gradient-guided sequences whose surrogate is a student of the victim's answers, not of its data.

    The attacker grows sequences by the victim's own lists, trains a small SASRec to list the same in the same order,
    and writes accounts on it as `gradient-sequences` does. It costs `sequences` x `length` queries per craft.
    Fillers are items that occurred in a sequence or a list.

    Other than in the paper: 4,000 queries by default (there: thousands of sequences of full length); negatives are
    never listed items; the victim's lists leave out what the sequence holds; victims are retrained from scratch.
    """

    name = "extracted-sequences"
    title = "Gradient-guided sequences of an attacker who only asks the victim for lists"
    reference = (
        "Yue, He, Zeng, McAuley 2021, Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction, "
        "RecSys, arXiv 2109.01165, extraction and data poisoning"
    )
    grants: ClassVar[frozenset[Grant]] = frozenset({"catalogue", "query"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"sequence"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type: ClassVar[type[ExtractedSequencesConfig]] = ExtractedSequencesConfig

    def queries(self, goal: Goal) -> int:
        """One list after every event of every sequence that is grown."""
        config: ExtractedSequencesConfig = self.config
        return config.sequences * min(config.length, config.max_length) if goal.n_slots < goal.profile else 0

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Ask, learn, write; where all events are targets nothing is asked."""
        config: ExtractedSequencesConfig = self.config
        by_slot, by_query, by_fit, by_write = rng.spawn(4)
        slots = target_slots(goal, by_slot)
        nothing = Draft(np.empty((goal.accounts, 0), np.int32), ordered=True, slots=slots)
        if slots.shape[1] == goal.profile:
            return nothing
        length = min(config.length, config.max_length)
        found = extract(knowledge.query, knowledge.n_items, config.sequences, length, by_query)
        known = np.flatnonzero(found.known.numpy())
        allowed = known[~np.isin(known, goal.targets)]
        if not len(allowed):
            return nothing
        surrogate = student(found, config, by_fit)

        def choose(prefix: Int64, rows: Int64, target: Int64) -> Int64:
            return least_expected(surrogate, prefix, target, allowed, config.pool, by_write)

        with one_thread():
            sequence = write(goal, slots, choose)
        fillers = sequence[~forced_places(slots, goal.profile)].reshape(goal.accounts, -1)
        return Draft(fillers.astype(np.int32), ordered=True, slots=slots)
