"""Scores rounded before they are shown."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.log import Float32, InteractionLog
from ...recommenders.base import Recommender
from .base import Mitigation, MitigationConfig


class RoundingConfig(MitigationConfig):
    """Settings of the rounding."""

    decimals: int = Field(default=1, ge=-3, le=6, description="digits after the point that are left")


class Rounded(Mitigation):
    """Every score is rounded; items of one rounded score tie, and are listed by index.

    Lists hardly change, so that whoever sees no more than lists is hardly hindered.

    Reference: Shokri, Stronati, Song, Shmatikov 2017, Membership Inference Attacks Against Machine Learning Models,
        IEEE S&P, section VIII (coarser outputs); for ranked lists our own.
    """

    name = "rounding"
    title = "Scores rounded before they are shown"
    reference = "Shokri, Stronati, Song, Shmatikov 2017, IEEE S&P, section VIII"
    config_type: ClassVar[type[MitigationConfig]] = RoundingConfig

    def serve(self, model: Recommender, seed: int) -> Recommender:
        """The model behind a rounding."""
        config: Any = self.config
        return _Rounded(model, config.decimals)


class _Rounded:
    def __init__(self, model: Recommender, decimals: int) -> None:
        self.model, self.decimals = model, decimals
        self.n_users, self.n_items = model.n_users, model.n_items

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender."""
        return np.round(self.model.scores(users, history), self.decimals)
