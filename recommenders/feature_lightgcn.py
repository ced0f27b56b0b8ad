"""LightGCN on ids and side features: what a user or item is known to be shifts its first vector."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from ..datasets.log import InteractionLog
from .features import Mixture, of_nodes
from .lightgcn import LightGCN, LightGCNConfig
from .pairwise import PairTraining
from .sampling import Positives


class FeatureLightGCNConfig(LightGCNConfig):
    """Hyper-parameters of LightGCN with side features."""

    user_features: bool = Field(True, description="read the users' side features; false fixes their W at 0")
    item_features: bool = Field(True, description="read the items' side features; false fixes their W at 0")


class _FeatureTraining(PairTraining):
    """Base tables and the features' vectors W under training."""

    mixture: Mixture
    weight: torch.nn.Parameter

    def attach(self, mixture: Mixture) -> None:
        """Add W, float32 [F, d].

        It starts at zero, as plain LightGCN: the first vectors are the ids' alone, so accounts that are injected,
        and features that they bring along, change no genuine one. Its gradient is not zero, because W meets the
        random vectors of the nodes' neighbours.
        """
        self.mixture = mixture
        self.weight = torch.nn.Parameter(torch.zeros(mixture.size, self.config.dim, device=self.device))

    def parameters(self) -> list[torch.nn.Parameter]:
        """The base table and W."""
        return [self.base, self.weight]

    def first(self) -> torch.Tensor:
        """Ids and features: base + X W."""
        return self.base + self.mixture(self.weight)


class FeatureLightGCN(LightGCN):
    """LightGCN whose layer 0 is the id's vector plus one vector for each side feature.

    e_u0 = id_u + x_u W_user and e_i0 = id_i + x_i W_item; propagation, losses and scores are LightGCN's, and
    without side tables so is every bit. All who share a feature share its vector: a few accounts move it for everybody
    who has it. `user_base` and `item_base` of the state are e_0; W itself is not kept. The L2 term of bpr acts on e_0.

    Reference: He et al. 2020, LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation; a
    sum of feature vectors as first layer: Kula 2015, Metadata Embeddings for User and Item Cold-start
    Recommendations (LightFM).
    """

    name: ClassVar[str] = "feature-lightgcn"
    title: ClassVar[str] = "LightGCN with side features"
    reference: ClassVar[str] = "He et al. 2020, LightGCN, SIGIR; Kula 2015, LightFM, CBRecSys"
    config_type: ClassVar[type[FeatureLightGCNConfig]] = FeatureLightGCNConfig
    config: FeatureLightGCNConfig

    def training(self, log: InteractionLog, pairs: Positives, seed: int, device: torch.device) -> PairTraining:
        """See PairwiseModel."""
        config = self.config
        features = of_nodes(log, pairs, users=config.user_features, items=config.item_features)
        if features.nnz == 0:
            return super().training(log, pairs, seed, device)
        training = _FeatureTraining(config, pairs, self.encoder(pairs, device), seed, device, self._take)
        rows = training.places.argsort()  # node in each row of the base table
        training.attach(Mixture(features[rows], device))
        return training
