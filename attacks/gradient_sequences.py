"""The gradient-guided sequence attack."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from ..datasets.log import Int64, InteractionLog
from .base import Goal
from .surrogate.sequence import SequenceConfig, SequenceSurrogate, cosines
from .surrogate.sequence_attack import SequenceAttack, write


class GradientSequencesConfig(SequenceConfig):
    """Settings of the gradient-guided attack."""

    pool: int = Field(default=10, ge=1, description="a filler is drawn from so many items of lowest cosine")


class GradientSequences(SequenceAttack):
    """Target events, each behind an item after which a surrogate expects the target least.

    To fit such a sequence, a victim has to raise the target most. Each filler starts as a random item; the sign of
    the gradient of -log p(target) at its embedding tells a direction; the filler is drawn from the items that point
    the other way (lowest cosine).

    Other than in the paper: the surrogate is trained on the visible log (there: extracted by queries, or the victim
    itself); the target's places follow the goal (there: every second one, first event included); several targets
    take turns; items without visible events are no fillers; victims are trained from scratch (there: from their
    checkpoint).
    """

    name = "gradient-sequences"
    title = "Sequences in which the target follows where it is least expected"
    reference = (
        "Yue, He, Zeng, McAuley 2021, Black-Box Attacks on Sequential Recommenders via Data-Free Model Extraction, "
        "RecSys, arXiv 2109.01165, data poisoning"
    )
    config_type: ClassVar[type[SequenceConfig]] = GradientSequencesConfig

    def sequences(
        self,
        surrogate: SequenceSurrogate,
        log: InteractionLog,
        goal: Goal,
        slots: Int64,
        allowed: Int64,
        rng: np.random.Generator,
    ) -> Int64:
        """Write all accounts side by side."""

        def choose(prefix: Int64, rows: Int64, target: Int64) -> Int64:
            return least_expected(surrogate, prefix, target, allowed, self.config.pool, rng)

        return write(goal, slots, choose)


def least_expected(
    surrogate: SequenceSurrogate, prefix: Int64, target: Int64, allowed: Int64, pool: int, rng: np.random.Generator
) -> Int64:
    """Items to append to each prefix so that the target is expected less than after a random item.

    Args:
        surrogate: gives the gradients.
        prefix: int64 [B, L], L at least 0.
        target: int64 [B].
        allowed: int64 [n], items to choose from, n at least 1.
        pool: one of so many items of lowest cosine is drawn.
        rng: draws the random item that is replaced, then one of the pool.

    Returns:
        int64 [B].
    """
    start = rng.choice(allowed, len(prefix))
    gradient = surrogate.gradients(np.concatenate([prefix, start[:, None]], axis=1), target)[:, -1]
    cosine = cosines(start, gradient, surrogate.table)[:, torch.from_numpy(allowed)].numpy()
    lowest = np.argsort(cosine, axis=1, kind="stable")[:, :pool]
    picked = rng.integers(lowest.shape[1], size=len(lowest))
    found: Int64 = allowed[lowest[np.arange(len(lowest)), picked]]
    return found
