"""Baselines for models that read sequences, as compared in LoRec's experiments: ADVTrain and StDenoise.

They, and CL4SRec in `contrastive`, leave the victim's batches, negatives, dropout and first values as they are; what
they draw themselves comes from the defence's seed.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ...datasets.errors import InputError
from ...datasets.log import InteractionLog
from ...datasets.seeding import derive
from ...recommenders.base import Recipe
from ...recommenders.catalogue import model_class
from ...recommenders.network import Dropout
from ...recommenders.sequential import SequenceBatch, SequenceTraining, SequentialModel
from ...recommenders.trainer import Compared, RankingTraining
from ..base import DefenseConfig, RobustTraining
from .adversarial import delta
from .base import Hardened
from .reweighed import Reweighed


class Drawing(Hardened):
    """A training that draws by itself; each epoch has a stream of its own, apart from the victim's."""

    training: SequenceTraining
    noise: torch.Generator

    def begin(self) -> None:
        """See Hardened."""
        seed = derive(self.seed, "noise", self.epoch)
        self.noise = torch.Generator(self.training.device).manual_seed(seed)

    def encoded(self, items: torch.Tensor, table: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """States under the victim's own rate of dropout: int64 [B, L], their lengths [B] -> float [B, L, d]."""
        return self.training.network.encode(items, table, Dropout(self.training.config.dropout, self.noise), length)


class SequenceHardening(RobustTraining):
    """A robust training of models that read sequences."""

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        if issubclass(model_class(recipe.model), SequentialModel):
            return None
        return f"{recipe.model} reads no sequences, which is what {self.name} changes"

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining.

        Raises:
            InputError: the model is not trained on sequences.
        """
        if not isinstance(training, SequenceTraining):
            raise InputError(f"{self.name} needs a model that is trained on sequences")
        return self.around(training, log, seed, epochs)

    @abstractmethod
    def around(self, training: SequenceTraining, log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See `harden`."""


class ADVTrainConfig(DefenseConfig):
    """Settings of ADVTrain; with either at 0 nothing changes."""

    eps: float = Field(default=0.1, ge=0, description="length of a move, as a share of the inputs' mean length")
    share: float = Field(default=0.5, ge=0, le=1, description="chance of a position to be moved")


@dataclass(frozen=True, eq=False)
class Again:
    """A batch once more, to be read with moved inputs."""

    batch: SequenceBatch


class AdversarialInputs(Drawing):
    """After the victim's step on a batch, a second one on the same batch with some of its inputs moved."""

    config: ADVTrainConfig

    def rows(self, rng: np.random.Generator) -> Iterator[SequenceBatch | Again]:
        """See Hardened."""
        for batch in super().rows(rng):
            yield batch
            if self.config.eps and self.config.share:
                yield Again(batch)

    def loss(self, batch: SequenceBatch | Again, rng: torch.Generator) -> torch.Tensor:
        """See Trainable."""
        return self.moved(batch.batch) if isinstance(batch, Again) else super().loss(batch, rng)

    def compared(self, vectors: Compared, batch: SequenceBatch) -> torch.Tensor:
        """See Hardened."""
        return self.training.ranking(vectors, batch, batch.weight)

    def moved(self, batch: SequenceBatch) -> torch.Tensor:
        """The ranking loss after the moves, which are constants to its gradient. Targets and candidates stay."""
        table = self.training.network.table()
        inputs = functional.embedding(batch.items.flatten()[batch.places], table)
        chosen = torch.rand(len(inputs), generator=self.noise, device=inputs.device) < self.config.share
        move = delta(inputs, self.gradient(inputs, table, batch), self.config.eps)
        return self.at(inputs + move * chosen[:, None], table, batch)

    def gradient(self, inputs: torch.Tensor, table: torch.Tensor, batch: SequenceBatch) -> torch.Tensor:
        """That of the ranking loss by the inputs at real positions: float [T, d] -> [T, d]."""
        own = inputs.detach().requires_grad_()
        return torch.autograd.grad(self.at(own, table.detach(), batch), own)[0]

    def at(self, inputs: torch.Tensor, table: torch.Tensor, batch: SequenceBatch) -> torch.Tensor:
        """The ranking loss with these vectors as inputs, float [T, d], one a real position."""
        # every position reads a row of its own; what fills rows up reads the first, and nothing sees that
        own = torch.zeros_like(batch.items).flatten()
        own[batch.places] = torch.arange(len(inputs), device=own.device)
        hidden = self.encoded(own.view_as(batch.items), inputs, batch.length).flatten(0, 1)[batch.places]
        candidates = table if batch.drawn is None else functional.embedding(batch.drawn, table)
        vectors = (hidden, functional.embedding(batch.target, table), candidates)
        return self.training.ranking(vectors, batch, batch.weight)


class ADVTrain(SequenceHardening):
    """Adversarial training of inputs: after each step another one, on inputs of which half are moved against it.

    After the form in LoRec's code: one gradient step on the input vectors, moved ones at a random half of the
    positions, an update of their own. So the victim makes twice its steps. Moves are relative to the mean length of the
    batch's inputs (as in our APR), and the norm of the update's gradient is not cut.
    """

    name: ClassVar[str] = "adv-train"
    title: ClassVar[str] = "Adversarial training of the inputs of sequences"
    reference: ClassVar[str] = (
        "Yue et al. 2022, Defending Substitution-Based Profile Pollution Attacks on Sequential Recommenders, RecSys, "
        "arXiv 2207.11237; as a baseline in Zhang et al. 2024, LoRec, arXiv 2401.17723"
    )
    config_type: ClassVar[type[ADVTrainConfig]] = ADVTrainConfig

    def around(self, training: SequenceTraining, log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See SequenceHardening."""
        return AdversarialInputs(training, log, seed, epochs, self.config)


class StDenoiseConfig(DefenseConfig):
    """Settings of StDenoise."""

    weight: float = Field(
        default=1.0, ge=0, le=1, description="between all positions alike (0, changes nothing) and the method (1)"
    )


def agreement(states: torch.Tensor, items: torch.Tensor, weight: float) -> torch.Tensor:
    """1 - weight (1 - sigmoid(cos(state, next item))), detached: float [T, d] twice -> float [T]."""
    cosine = functional.cosine_similarity(states.detach(), items.detach(), dim=-1)
    return 1 - weight * (1 - torch.sigmoid(cosine))


class _StDenoise(Reweighed):
    config: StDenoiseConfig

    def factor(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        return agreement(vectors[0], vectors[1], self.config.weight) if self.config.weight else None


class StDenoise(SequenceHardening):
    """A position counts the more, the nearer the next item is to what the state expects. Weights lie in .27 to .73."""

    name: ClassVar[str] = "st-denoise"
    title: ClassVar[str] = "Positions weighed by agreement of state and next item"
    reference: ClassVar[str] = (
        "A baseline in Zhang et al. 2024, LoRec: Large Language Model for Robust Sequential Recommendation against "
        "Poisoning Attacks, SIGIR, arXiv 2401.17723"
    )
    config_type: ClassVar[type[StDenoiseConfig]] = StDenoiseConfig

    def around(self, training: SequenceTraining, log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See SequenceHardening."""
        return _StDenoise(training, log, seed, epochs, self.config)
