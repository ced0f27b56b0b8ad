"""Settings of LoRec, and when it acts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from ...language.encoder import CHOICES
from ..base import DefenseConfig, Folds
from ..texts import READINGS, Arm, Reading

EPOCHS = 300
"""What the published schedule is made for; taken where a recipe does not say how long it trains."""
ROUNDS = 50
"""Least rounds of a scaled schedule: it takes four flags to lower a weight, which short trainings lack epochs for."""


class LoRecConfig(DefenseConfig):
    """Settings of LoRec; the defaults are those of the authors' code where nothing else is said."""

    arm: Arm = Field(
        "real",
        description="real: texts as they are; permuted: over accounts; random-items: random vectors for the items' "
        "texts; none: no texts. Only what real does better than the others is the merit of the text",
    )
    encoder: str = Field("static", description=CHOICES)
    account: Reading = Field("mean", description=READINGS)
    fraudsters: float = Field(0.05, gt=0, le=1, description="simulated fraudsters, as a share of the accounts (ours)")
    attacks: tuple[Literal["random", "bandwagon", "popular"], ...] = Field(
        ("random", "bandwagon"), min_length=1, description="how they are simulated, in equal parts (ours)"
    )
    confidence: float = Field(0.5, ge=0, description="lambda 1, on the entropy of answers about accounts of the log")
    alignment: float = Field(1.0, ge=0, description="lambda 2, on the cosine to the text of the account")
    schedule: Literal["scaled", "published"] = Field(
        "scaled",
        description="published: updates every 5 epochs up to epoch 30, then every 10, weights from epoch 30, made for "
        "300 epochs; scaled (ours): by the shares below, several rounds to an epoch where there are few epochs",
    )
    start: float = Field(0.3, gt=0, description="weights count after so large a share of the training; above 1 never")
    every: float = Field(0.02, gt=0, description="share of the training between updates; twice that once weights count")
    weigh: Literal["loss", "edges", "both"] = Field(
        "loss",
        description="where weights count: in the loss; in the edges of a graph model's propagation; or in both. Edges "
        "are ours and for graph models",
    )
    cross_fit: Folds = Field(
        0, description="folds, each judged by a calibrator that has not learnt from it (ours); 0: all by one"
    )
    learning_rate: float = Field(0.01, gt=0, description="AdamW's")
    weight_decay: float = Field(5e-4, ge=0, description="AdamW's")
    passes: int = Field(2, ge=1, description="over accounts and fraudsters, to each epoch of the victim")
    batch: int = Field(128, ge=2, description="accounts a step at least; fraudsters come on top (ours)")

    @property
    def reads_text(self) -> bool:
        """Whether texts, or what stands for them, have any effect."""
        return self.arm != "none" and self.alignment > 0


@dataclass(frozen=True)
class Timing:
    """When weights are updated and used, in rounds from 1: the calibrator learns once a round.

    Attributes:
        start: the first round whose loss is weighed.
        every: rounds between updates up to `start`.
        later: and after it.
        rounds: to an epoch.
    """

    start: int
    every: int
    later: int
    rounds: int

    @classmethod
    def of(cls, config: LoRecConfig, epochs: int) -> Timing:
        """That of the settings for a training of so many epochs."""
        if config.schedule == "published":
            return cls(30, 5, 10, 1)
        rounds = math.ceil(ROUNDS / epochs)
        start, every, later = (
            max(1, round(share * epochs * rounds)) for share in (config.start, config.every, 2 * config.every)
        )
        return cls(start, every, later, rounds)

    def due(self, turn: int, last: int) -> bool:
        """Whether an update is due after a round, if the last one that was not refused came after round `last`."""
        return turn - last >= (self.every if turn <= self.start else self.later)
