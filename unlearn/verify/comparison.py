"""The statistics of a verification: of the model in question, of retrains, of trainings with the forget set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...privacy.signals import distance, found_at, separation

Answers = Mapping[str, NDArray[Any]]
"""What a model answered (`question.answers`)."""
Value = Callable[[Answers], float]
DISTANCE = "distance"
"""Names of statistics that are distances from the retrains begin so."""
FEWEST = 3
"""Retrains that distances from them need: two are equally far from each other, which is no spread."""


def compared(
    after: Answers, retrains: Sequence[Answers], befores: Sequence[Answers], weights: NDArray[np.float64]
) -> dict[str, tuple[float, list[float], list[float]]]:
    """Each statistic on which something is decided, the primary one first: of the model, the retrains, the befores.

    The distance of a retrain is that from the other retrains, its spread corrected for what they share.
    """
    found: dict[str, tuple[float, list[float], list[float]]] = {}
    plain: dict[str, Value] = {
        "mean percentile of the forgotten pairs": _mean("forgotten"),
        "AUC of the forgotten against held-out pairs": lambda own: separation(
            own["forgotten"], own["controls"], weights
        ),
    }
    for name, value in plain.items():
        found[name] = (value(after), [value(own) for own in retrains], [value(own) for own in befores])
    for key, whose in (("touched", "the touched users"), ("neighbours", "their neighbours")):
        if after[key].size and len(retrains) >= FEWEST:
            clean = [own[key] for own in retrains]
            found[f"{DISTANCE} of the lists of {whose} from those of retrains"] = (
                _far(after[key], clean),
                _spread([_far(own, clean[:place] + clean[place + 1 :]) for place, own in enumerate(clean)]),
                [_far(own[key], clean) for own in befores],
            )
    return found


def described(
    after: Answers, retrains: Sequence[Answers], befores: Sequence[Answers], weights: NDArray[np.float64]
) -> dict[str, tuple[float, float, float, float]]:
    """Published values on which nothing is decided: of the model, and mean, least and largest over the retrains.

    MI-BF is the mean sigmoid of the forgotten pairs' scores before and after, MI-NG that of random pairs and of
    forgotten ones after; above 1 counts as forgotten there. What they are for retrains shows what they are worth.

    Reference: Chen, Xia, Huang 2025, Pre-training for Recommendation Unlearning, SIGIR, arXiv 2505.22649.
    """
    score, other = _mean("forgotten_score"), _mean("random_score")
    before = float(np.mean([score(own) for own in befores]))
    measures: dict[str, Value] = {
        "TPR at 1 % FPR": lambda own: found_at(own["forgotten"], own["controls"], weights),
        "Kolmogorov-Smirnov distance": lambda own: distance(own["forgotten"], own["controls"], weights),
        "MI-BF": lambda own: before / score(own),
        "MI-NG": lambda own: other(own) / score(own),
    }
    found = {}
    for name, value in measures.items():
        clean = [value(own) for own in retrains]
        found[name] = (value(after), float(np.mean(clean)), min(clean), max(clean))
    return found


def _mean(key: str) -> Value:
    return lambda own: float(own[key].mean())


def _far(lists: NDArray[np.int32], others: Sequence[NDArray[np.int32]]) -> float:
    """Mean of 1 - Jaccard of top lists over users and retrains."""
    return float(np.mean([1 - jaccard(lists, other) for other in others]))


def _spread(distances: list[float]) -> list[float]:
    """Mean distances among R retrains, about their mean as far as those of a new one would be.

    If the distance of i and j is c + a_i + a_j + noise, that of k from the others holds (R - 2) / (R - 1) of a_k, that
    of a new model all of its own.
    """
    count, mean = len(distances), float(np.mean(distances))
    factor = (count - 1) / (count - 2)
    return [mean + factor * (own - mean) for own in distances]


def jaccard(first: NDArray[np.int32], second: NDArray[np.int32]) -> NDArray[np.float64]:
    """Overlap of the lists of each user: int32 [N, K] twice, -1 for none -> float64 [N]; 1 for two empty lists."""
    both = ((first[:, :, None] == second[:, None, :]) & (first >= 0)[:, :, None]).sum(axis=(1, 2))
    either = (first >= 0).sum(axis=1) + (second >= 0).sum(axis=1) - both
    return np.where(either > 0, both / either.clip(1), 1.0)
