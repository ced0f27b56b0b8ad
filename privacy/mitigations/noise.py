"""Noise on user vectors before they serve."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.log import Float32, InteractionLog
from ...datasets.seeding import rng
from ...recommenders.base import Recipe, Recommender
from ...recommenders.catalogue import model_class
from ...recommenders.fold_in import FoldedIn
from .base import Mitigation, MitigationConfig


class NoiseConfig(MitigationConfig):
    """Settings of the noise."""

    scale: float = Field(default=0.5, gt=0, description="length of the noise on a vector over the mean vector's")


class Noisy(Mitigation):
    """Gaussian noise on every user vector, drawn once for a training; item vectors stay.

    It is no differential privacy: item vectors carry what they have learnt of everybody, and vectors are not clipped
    to a bound that was fixed before they were seen.

    Reference: output perturbation in the manner of Chaudhuri, Monteleoni, Sarwate 2011, Differentially Private
        Empirical Risk Minimization, JMLR 12, without its guarantee.
    """

    name = "noise"
    title = "Noise on user vectors before they serve"
    reference = "after Chaudhuri, Monteleoni, Sarwate 2011, JMLR 12, without its guarantee"
    config_type: ClassVar[type[MitigationConfig]] = NoiseConfig

    def why_not(self, recipe: Recipe) -> str | None:
        """Models without user vectors have nothing to put noise on."""
        return None if hasattr(model_class(recipe.model), "embeddings") else f"{recipe.model} has no user vectors"

    def serve(self, model: Recommender, seed: int) -> Recommender:
        """The model with other user vectors."""
        config: Any = self.config
        return _Noisy(model, config.scale, seed)


class _Noisy:
    def __init__(self, model: Any, scale: float, seed: int) -> None:
        users, items = model.folded_embeddings() if isinstance(model, FoldedIn) else model.embeddings()
        size = scale * float(np.linalg.norm(users, axis=1).mean()) / users.shape[1] ** 0.5
        noise = rng(seed, "privacy", "noise").standard_normal(users.shape, np.float32) * np.float32(size)
        self.vectors: tuple[Float32, Float32] = users + noise, items
        self.n_users, self.n_items = model.n_users, model.n_items

    def embeddings(self) -> tuple[Float32, Float32]:
        """See Embeds."""
        return self.vectors

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender."""
        found: Float32 = self.vectors[0][users] @ self.vectors[1].T
        return found
