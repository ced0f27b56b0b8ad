"""RMIA: a candidate is a member if the model favours it more, against references, than it does others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..signals import Float64
from .material import Material

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
    signal, inside = material.signal[references], material.included[references]
    within, without = _log_mean(signal, inside), _log_mean(signal, ~inside)
    both = np.isfinite(within) & np.isfinite(without)
    gain = float((within - without)[both].mean()) if both.any() else 0.0
    # a side that is empty is made up on the log scale: on the other, members of all references would seem impossible
    within, without = (
        np.where(np.isfinite(within), within, without + gain),
        np.where(np.isfinite(without), without, within - gain),
    )
    ratio = material.signal[victim] - np.logaddexp(within, without)
    others = _log_mean(material.population[references], np.ones((references.sum(), 1), bool))
    other = material.population[victim] - np.logaddexp(others + gain, others)
    found = np.empty(len(ratio))
    for cell in np.unique(material.cell):
        mine, theirs = material.cell == cell, other[material.population_cell == cell]
        theirs = np.sort(theirs if len(theirs) >= FEWEST else other)
        found[mine] = np.searchsorted(theirs, ratio[mine] - np.log(gamma)) / len(theirs)
    step = 1 / (1 + len(other))
    scored: Float64 = found + step * (0.5 + np.arctan(ratio) / np.pi)
    return scored


def _log_mean(values: Float64, counts: NDArray[np.bool_]) -> Float64:
    """Log of the mean of exp over the rows that count, -inf where none does: float64 [R, N], bool [R, N] -> [N]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        number = np.log(np.broadcast_to(counts, values.shape).sum(axis=0))
        total: Float64 = np.logaddexp.reduce(np.where(counts, values, -np.inf), axis=0)
        return np.where(np.isfinite(number), total - number, -np.inf)
