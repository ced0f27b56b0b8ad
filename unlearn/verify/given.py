"""Retrained checkpoints that were handed in, beside retrains of our own: are they what they are said to be?"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .comparison import SERVED, Answers, plain

OWN = 4
"""Retrains of our own beside those that are given: with fewer, any spread is possible."""
LEVEL = 0.01
"""How often honest ones may be refused for a group that lies apart, and as often for one that does."""


_SAME = 1e-4  # of models without a seed: other machines round otherwise


def why_not(given: Sequence[Answers], own: Sequence[Answers], weights: NDArray[np.float64]) -> str | None:
    """Why given retrains are no retrains: they lie elsewhere than ours, together or one of them; None if they do not.

    Together by Student's test of two means, each by the interval in which one more of ours would lie; Bonferroni over
    statistics, and over the models.

    Args:
        given: answers of G models.
        own: of R >= 2 retrains of our own.
        weights: of the controls (`Question.weights`).
    """
    for name, value in plain(weights).items():
        if name == SERVED and not all(model["served"].size for model in (*given, *own)):
            continue
        theirs, ours = (np.array([value(model) for model in side]) for side in (given, own))
        mean, spread = float(ours.mean()), float(ours.std(ddof=1))
        level = LEVEL / 3
        together = False
        if spread <= _SAME:
            apart = np.abs(theirs - mean) > _SAME
        else:
            reach = spread * math.sqrt(1 + 1 / len(ours))
            apart = 2 * stats.t.sf(np.abs(theirs - mean) / reach, len(ours) - 1) < level / len(theirs)
            together = len(theirs) > 1 and float(stats.ttest_ind(theirs, ours).pvalue) < level
        if together or apart.any():
            place = int(np.abs(theirs - mean).argmax())
            return (
                f"{name}: {theirs.mean():.4f} on average and {theirs[place]:.4f} of number {place + 1} of the "
                f"given ones, {ours.min():.4f} to {ours.max():.4f} of {len(ours)} retrains of our own"
            )
    return None
