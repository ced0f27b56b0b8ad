"""RMIA: a candidate is a member if the model favours it more, against references, than it does others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..signals import Float64
from .material import Material, sided

FEWEST = 20
"""Others that a cell must have; with fewer, those of all cells are compared with."""


def rmia(material: Material, victim: int, references: NDArray[np.bool_], gamma: float = 1.0) -> Float64:
    """The share of others z that the candidate x beats, p(x | victim) / p(x) > gamma p(z | victim) / p(z); float64 [C].

    p(. | model) is exp of the signal; p(x) is the mean of the references with x and those without, each side counted
    half, so that p may be of any size (the constants of the offline form would swamp a probability over thousands of
    items). Others were in no model: what p(z) would be with them is taken from what the candidates gain on average.
    Candidates are compared with others of their cell. The share has as many steps as there are others; between them
    the log ratio decides, which is no more than the share of finitely many others would show if there were more.

    Args:
        material: what all models say.
        victim: the model that is attacked.
        references: bool [M], never the victim; two are enough to begin with.
        gamma: how much more; 1 in the paper.

    Reference: Zarifzadeh, Liu, Shokri 2024, Low-Cost High-Power Membership Inference Attacks, ICML, arXiv 2312.03262,
        equations 2 and 9, with references on both sides.
    """
    top = material.signal[references].max(initial=-np.inf), material.population[references].max(initial=-np.inf)
    shift = max(*top, float(material.signal[victim].max()), float(material.population[victim].max()))
    chance = np.exp(material.signal[references] - shift)
    inside = material.included[references]
    within, without = sided(chance, inside)
    tiny = np.finfo(np.float64).tiny
    gain = float(np.log(within.clip(tiny)).mean() - np.log(without.clip(tiny)).mean())
    others = np.exp(material.population[references] - shift).mean(axis=0)
    ratio = material.signal[victim] - shift - np.log(0.5 * (within + without).clip(tiny))
    other = material.population[victim] - shift - np.log(0.5 * (1 + np.exp(gain)) * others.clip(tiny))
    found = np.empty(len(ratio))
    for cell in np.unique(material.cell):
        mine, theirs = material.cell == cell, other[material.population_cell == cell]
        theirs = np.sort(theirs if len(theirs) >= FEWEST else other)
        found[mine] = np.searchsorted(theirs, ratio[mine] - np.log(gamma)) / len(theirs)
    step = 1 / (1 + len(other))
    scored: Float64 = found + step * (0.5 + np.arctan(ratio) / np.pi)
    return scored
