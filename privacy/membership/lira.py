"""The likelihood-ratio attack: normals fitted to what reference models say of a candidate with and without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...datasets.log import Int64
from ..signals import Float64
from .material import Material

POOLED_BELOW = 16
"""With fewer references a variance of each candidate's own says little: one for all of a side is taken."""


def lira(material: Material, victim: int, references: NDArray[np.bool_]) -> Float64:
    """Log N(x; m_in, s_in) - log N(x; m_out, s_out) of each candidate, float64 [C]; large is "was trained on".

    With few references one side of a candidate may be empty: its mean is then the other side's, moved by the mean
    difference of the sides over all candidates. With many each candidate has variances of its own, drawn towards that
    of all (`moderated`). Either both sides of all candidates have their own or none, else their logarithms would tell
    who has which.

    Args:
        material: what all models say.
        victim: the model that is attacked.
        references: bool [M], models whose members are known; never the victim.

    Reference: Carlini, Chien, Nasr, Song, Terzis, Tramer 2022, Membership Inference Attacks From First Principles,
        IEEE S&P, algorithm 1 (online), with the pooled variance of its section VI-B.
    """
    scores, inside = material.signal[references], material.included[references]
    floor = 1e-6 * float(np.var(scores)) + 1e-12  # models without a seed do not spread
    means, many = material.means(references), len(scores) >= POOLED_BELOW
    ratio = np.zeros(scores.shape[1])
    for mean, side, sign in ((means[0], inside, 1.0), (means[1], ~inside, -1.0)):
        count = side.sum(axis=0)
        square = np.where(side, (scores - mean) ** 2, 0.0).sum(axis=0)
        free = np.maximum(count - 1, 0)
        own = moderated(square, free) if many else np.full(len(mean), square.sum() / max(free.sum(), 1))
        ratio += sign * log_normal(material.signal[victim], mean, np.maximum(own, floor))
    return ratio


def moderated(square: Float64, free: Int64) -> Float64:
    """Each candidate's variance, drawn towards that of all: (k pooled + square) / (k + free), float64 [C].

    In lists most pairs never move, and next to no variance would make anything of a first move. k is the best there is
    without a form of the prior: 2 E[v^2] / Var[v] of the true variances v, from the moments of those seen. It is 2 at
    least, for variances of all sizes; where they do not differ more than chance makes them, all have the same.

    Args:
        square: float64 [C], sum of squared differences to the mean.
        free: int64 [C], degrees of freedom, 0 and above.

    References: Smyth 2004, Statistical Applications in Genetics and Molecular Biology 3(1) (moderated variances);
        Buhlmann 1967, ASTIN Bulletin 4 (the weight of linear Bayes).
    """
    some = free > 0
    pooled = square.sum() / max(free.sum(), 1)
    # of normals E[s^4] = v^2 (1 + 2 / free)
    fourth = float(((square[some] / free[some]) ** 2 / (1 + 2 / free[some])).mean()) if some.any() else 0.0
    prior = 2 * max(1.0, fourth / max(fourth - pooled**2, 1e-9 * fourth, 1e-300))
    found: Float64 = (prior * pooled + square) / (prior + free)
    return found


def log_normal(x: Float64, mean: Float64, variance: Float64) -> Float64:
    """Log density of normals, less a constant."""
    found: Float64 = -0.5 * ((x - mean) ** 2 / variance + np.log(variance))
    return found
