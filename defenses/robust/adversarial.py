"""Adversarial training: vectors are moved to raise the loss, as far for every user as the method says.

    loss + weight * ranking(vectors + delta),    delta = eps * g * length * gradient / |gradient|, row by row

The gradient is that of the ranking loss with respect to the compared vectors themselves (of users or states, positives,
negatives), not to what they were made from; delta is constant in the next gradient. Length is the mean length of the
vectors of that kind in the batch. It is ours: the papers give delta absolute, which means nothing to a victim that
compares cosines, whose vectors have no set length. APR, VAT and PamaCF differ in g alone.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, cast

import torch
from pydantic import Field

from ...datasets.log import InteractionLog
from ...recommenders.trainer import Compared, RankingTraining
from ..base import RobustTraining
from .base import Hardened, UserMeans, WarmUpConfig


class AdversarialConfig(WarmUpConfig):
    """Settings of adversarial training; nothing is moved during the warm-up."""

    weight: float = Field(default=1.0, ge=0, description="of the loss at the moved vectors; 0 changes nothing")
    eps: float = Field(default=0.2, ge=0, description="length of a move, as a share of the vectors' mean length")


class UserStrengthConfig(AdversarialConfig):
    """Settings of the trainings in which users are moved differently far."""

    scale: float = Field(default=2.0, ge=0, description="factor on the strength; 2 gives an average user 1")


class APRConfig(AdversarialConfig):
    """Settings of APR, which begins where a trained model is: after half of the epochs."""

    warm_up: int | None = Field(default=None, ge=0, description="epochs before the first move, at most; null: no limit")
    warm_up_share: float = Field(default=0.5, ge=0, le=1, description="and at most this share of all epochs")


class Adversarial(Hardened):
    """The victim's loss, and once more at vectors moved to raise it."""

    config: AdversarialConfig

    def compared(self, vectors: Compared, batch: Any) -> torch.Tensor:
        """See Hardened."""
        training, config = self.training, self.config
        weights = training.weights(batch)
        if config.weight == 0:
            return training.ranking(vectors, batch, weights)
        strength = self.strength(vectors, batch)
        if self.epoch <= self.warm_up(config):
            return training.ranking(vectors, batch, weights)
        # views have a gradient of their own: positives may be rows of the candidates, and states come from both
        own = cast(Compared, tuple(part.view_as(part) for part in vectors))
        value = training.ranking(own, batch, weights)
        gradients = torch.autograd.grad(value, own, retain_graph=True)
        moved = cast(
            Compared,
            tuple(
                part + delta(part, gradient, config.eps, strength)
                for part, gradient in zip(own, gradients, strict=True)
            ),
        )
        return value + config.weight * training.ranking(moved, batch, weights)

    @abstractmethod
    def strength(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        """How far each row is moved, float [B], without gradient; None for 1. Called in every step."""


def delta(
    vectors: torch.Tensor, gradient: torch.Tensor, eps: float, strength: torch.Tensor | None = None
) -> torch.Tensor:
    """The move of every vector, a constant; none where there is no gradient.

    Negatives that the rows of a batch share are moved by the mean strength: they belong to no user. (Where there happen
    to be as many of them as rows they are taken for the rows' own; the mean over them is the same.)

    Shapes: vectors, gradient float [n, d]; strength float [B] or None -> [n, d].
    """
    length = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    unit = torch.where(length > 0, gradient / length, 0.0)
    far = eps * torch.linalg.vector_norm(vectors.detach(), dim=-1).mean()
    move: torch.Tensor = far * unit
    if strength is None:
        return move
    return move * (strength[:, None] if len(strength) == len(vectors) else strength.mean())


class _APR(Adversarial):
    def strength(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        return None


class _VAT(Adversarial):
    config: UserStrengthConfig

    def __init__(
        self,
        training: RankingTraining[Any],
        log: InteractionLog,
        seed: int,
        epochs: int | None,
        config: UserStrengthConfig,
    ) -> None:
        super().__init__(training, log, seed, epochs, config)
        self.means = UserMeans(self.nodes, keep=0.5)  # one epoch's loss of a user with few rows is mostly noise

    def begin(self) -> None:
        self.means.close()

    def strength(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        users = self.training.users(batch)
        self.means.add(users, self.training.each(vectors, batch))
        return None if self.means.mean is None else by_loss(self.means.mean, users, self.config.scale)


class _PamaCF(Adversarial):
    config: UserStrengthConfig

    def strength(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        return by_length(vectors[0], self.config.scale)


def by_loss(means: torch.Tensor, users: torch.Tensor, scale: float) -> torch.Tensor:
    """VAT's g = scale * sigmoid(mean_v L_v / L_u - 1) of each row's user: who is fitted well is moved far.

    Shapes: means float [nodes], NaN where unknown; users int64 [B] -> float [B].
    """
    own = means[users]
    own = torch.where(own.isnan(), means.nanmean(), own)
    return scale * torch.sigmoid(means.nanmean() / own.clamp(min=1e-12) - 1)


def by_length(users: torch.Tensor, scale: float) -> torch.Tensor:
    """PamaCF's g = scale * sigmoid(|e_u|^2 / mean_v |e_v|^2 - 1), the mean being over the rows.

    Shapes: users float [B, d] -> float [B].
    """
    square = users.detach().square().sum(-1)
    return scale * torch.sigmoid(square / square.mean().clamp(min=1e-12) - 1)


class APR(RobustTraining):
    """All vectors are moved equally far. The paper starts from a trained model, this from half of the epochs."""

    name: ClassVar[str] = "apr"
    title: ClassVar[str] = "Adversarial personalised ranking"
    reference: ClassVar[str] = "He et al. 2018, Adversarial Personalized Ranking for Recommendation, SIGIR, section 3"
    config_type: ClassVar[type[APRConfig]] = APRConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _APR(training, log, seed, epochs, self.config)


class VAT(RobustTraining):
    """Users who are fitted well are moved further; their losses are means over epochs, in the paper over a batch."""

    name: ClassVar[str] = "vat"
    title: ClassVar[str] = "Vulnerability-aware adversarial training"
    reference: ClassVar[str] = "Zhang et al. 2024, Improving the Shortest Plank, RecSys, arXiv 2409.17476"
    config_type: ClassVar[type[UserStrengthConfig]] = UserStrengthConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _VAT(training, log, seed, epochs, self.config)


class PamaCF(RobustTraining):
    """Users with long vectors (in sequences: states) are moved further."""

    name: ClassVar[str] = "pama-cf"
    title: ClassVar[str] = "Personalised magnitudes of perturbation"
    reference: ClassVar[str] = (
        "Zhang et al. 2024, Understanding and Improving Adversarial CF, NeurIPS, arXiv 2410.22844"
    )
    config_type: ClassVar[type[UserStrengthConfig]] = UserStrengthConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _PamaCF(training, log, seed, epochs, self.config)
