"""The three parts of a log that a model is trained, chosen and judged on."""
from __future__ import annotations

from dataclasses import dataclass

from .log import InteractionLog


@dataclass(frozen=True, eq=False)
class Split:
    """Train, validation and test events over the same users and items; no event in two parts.

    Attributes:
        train: what the model is fitted on.
        valid: what its training is stopped by; may be empty.
        test: what it is judged on.
        recipe: how the split was made, as text a person can repeat ("leave-last-out").
    """

    train: InteractionLog
    valid: InteractionLog
    test: InteractionLog
    recipe: str

    @property
    def history(self) -> InteractionLog:
        """What is known of a user at test time: train and validation events."""
        return self.train.plus(self.valid)
