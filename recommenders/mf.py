"""Matrix factorisation trained on pairs."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from .pairwise import Encoder, PairBatch, PairwiseConfig, PairwiseModel
from .sampling import Positives


class MFConfig(PairwiseConfig):
    """Hyper-parameters of matrix factorisation."""


class _Identity:
    """The base tables are the final vectors."""

    def __init__(self, nodes: int) -> None:
        self.places = np.arange(nodes)

    def final(self, base: torch.Tensor) -> torch.Tensor:
        return base

    def training(
        self, base: torch.Tensor, batch: PairBatch, rng: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return base, None


class MF(PairwiseModel):
    """A vector for each user and item, scored by their dot product (or cosine).

    Reference: Rendle et al. 2009, BPR: Bayesian Personalized Ranking from Implicit Feedback.
    """

    name: ClassVar[str] = "mf"
    title: ClassVar[str] = "Matrix factorisation"
    family: ClassVar[str] = "factor"
    reference: ClassVar[str] = "Rendle et al. 2009, BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI"
    config_type: ClassVar[type[MFConfig]] = MFConfig
    keeps_base: ClassVar[bool] = False

    def encoder(self, pairs: Positives, device: torch.device) -> Encoder:
        """See PairwiseModel."""
        return _Identity(pairs.n_users + pairs.n_items)
