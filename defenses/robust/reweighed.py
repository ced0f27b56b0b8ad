"""Trainings in which a row counts by its own loss: T-CE and R-CE.

The loss of a row is that of the victim's own objective, detached: -log of the probability of the positive, in bpr
against one negative, in the softmax losses against all of them. A row is judged by how badly it is fitted, so fakes
that are fitted well are kept.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import Field

from ...datasets.log import InteractionLog
from ...recommenders.trainer import Compared, RankingTraining
from ..base import DefenseConfig, RobustTraining
from .base import Hardened, WarmUpConfig, weighed


class Reweighed(Hardened):
    """The victim's loss with a factor on every row."""

    def compared(self, vectors: Compared, batch: Any) -> torch.Tensor:
        """See Hardened; where no row is changed, the very sum of the victim."""
        weights = self.training.weights(batch)
        return self.training.ranking(vectors, batch, weighed(weights, self.factor(vectors, batch)))

    @abstractmethod
    def factor(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        """Float [B], without gradient; None for all ones."""


def mean_over(kept: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """Factors that turn a mean over rows into the mean over the kept ones; rows of weight 0 are no rows.

    Shapes: kept bool [B], weights float [B] or None -> float [B].
    """
    live = torch.ones_like(kept) if weights is None else weights > 0
    left = (kept & live).sum().clamp(min=1)
    return kept * (live.sum() / left)


_ROUNDING = 1e-9  # 0.29 of 100 rows are 29, whatever their product in binary


class TCEConfig(WarmUpConfig):
    """Settings of T-CE; over the warm-up the dropped share rises linearly from 0."""

    eps_max: float = Field(
        default=0.2, ge=0, lt=1, description="share of the rows of a batch that is dropped in the end"
    )


class _TCE(Reweighed):
    config: TCEConfig

    def share(self) -> float:
        """What is dropped in this epoch."""
        rise = self.warm_up(self.config)
        return self.config.eps_max * min(1.0, (self.epoch - 1) / rise if rise else 1.0)

    def factor(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        share = self.share()
        if share == 0:
            return None
        losses, weights = self.training.each(vectors, batch), self.training.weights(batch)
        if weights is not None:
            losses = torch.where(weights > 0, losses, -torch.inf)
        live = len(losses) if weights is None else int((weights > 0).sum())
        kept = torch.ones_like(losses, dtype=torch.bool)
        kept[torch.argsort(losses, descending=True, stable=True)[: int(share * live + _ROUNDING)]] = False
        return mean_over(kept, weights)


class TCE(RobustTraining):
    """Truncated loss: of every batch the rows with the largest loss are dropped, a share that rises at first."""

    name: ClassVar[str] = "t-ce"
    title: ClassVar[str] = "Truncated loss of adaptive denoising"
    reference: ClassVar[str] = "Wang et al. 2021, Denoising Implicit Feedback for Recommendation, WSDM, section 3.2"
    config_type: ClassVar[type[TCEConfig]] = TCEConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _TCE(training, log, seed, epochs, self.config)


class RCEConfig(DefenseConfig):
    """Settings of R-CE."""

    alpha: float = Field(
        default=0.2, ge=0, le=5, description="exponent of the positive's probability; 0 changes nothing"
    )


class _RCE(Reweighed):
    config: RCEConfig

    def factor(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        return torch.exp(-self.config.alpha * self.training.each(vectors, batch)) if self.config.alpha else None


class RCE(RobustTraining):
    """Reweighed loss: a row counts p^alpha, p = exp(-loss) being the probability of its positive.

    The paper has sigma(x)^alpha for the score x of a positive. With bpr p is sigma(x), x being the difference of
    scores; with the softmax losses p is the softmax of the positive, which is far smaller, so that the same alpha
    tells rows apart more strongly. Weights are not rescaled, as in the paper.
    """

    name: ClassVar[str] = "r-ce"
    title: ClassVar[str] = "Reweighed loss of adaptive denoising"
    reference: ClassVar[str] = "Wang et al. 2021, Denoising Implicit Feedback for Recommendation, WSDM, section 3.2"
    config_type: ClassVar[type[RCEConfig]] = RCEConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _RCE(training, log, seed, epochs, self.config)
