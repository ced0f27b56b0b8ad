"""The likelihood-ratio attack: normals fitted to what reference models say of a candidate with and without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..signals import Float64
from .material import Material

POOLED_BELOW = 16
"""With fewer references on a side a variance of each candidate's own says little: one for all of a side is taken."""


def lira(material: Material, victim: int, references: NDArray[np.bool_]) -> Float64:
    """Log N(x; m_in, s_in) - log N(x; m_out, s_out) of each candidate, float64 [C]; large is "was trained on".

    With few references one side of a candidate may be empty: its mean is then the other side's, moved by the mean
    difference of the sides over all candidates.

    Args:
        material: what all models say.
        victim: the model that is attacked.
        references: bool [M], models whose members are known; never the victim.

    Reference: Carlini, Chien, Nasr, Song, Terzis, Tramer 2022, Membership Inference Attacks From First Principles,
        IEEE S&P, algorithm 1 (online), with the pooled variance of its section VI-B.
    """
    scores, inside = material.signal[references], material.included[references]
    floor = 1e-6 * float(np.var(scores)) + 1e-12  # models without a seed do not spread
    means = material.means(references)
    ratio = np.zeros(scores.shape[1])
    for mean, side, sign in ((means[0], inside, 1.0), (means[1], ~inside, -1.0)):
        count = side.sum(axis=0)
        square = np.where(side, (scores - mean) ** 2, 0.0).sum(axis=0)
        free = np.maximum(count - 1, 0)
        pooled = square[free > 0].sum() / max(free.sum(), 1)
        own = np.where(count >= POOLED_BELOW, square / free.clip(1), pooled)
        ratio += sign * log_normal(material.signal[victim], mean, np.maximum(own, floor))
    return ratio


def log_normal(x: Float64, mean: Float64, variance: Float64) -> Float64:
    """Log density of normals, less a constant."""
    found: Float64 = -0.5 * ((x - mean) ** 2 / variance + np.log(variance))
    return found
