"""The statistics of a verification: of the model in question, of retrains, of trainings with the forget set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...privacy.signals import distance, found_at, separation
from .groups import Groups, worst
from .residual import LEAST_POWER, SURE_POWER

Answers = Mapping[str, NDArray[Any]]
"""What a model answered (`question.answers`), and what it has kept of rows (`rows.Learnt.kept`)."""
Value = Callable[[Answers], float]
FEWEST = 3
"""Retrains that distances from them need: two are equally far from each other, which is no spread."""
_LISTS = "the lists are none that a retrain makes"
_ROWS = "rows of deleted users still tell what they did"
SERVED = "mean percentile of deleted users' pairs by the rows kept of them"


@dataclass(frozen=True)
class Measured:
    """One statistic: of the model in question, the retrains, the trainings with the forget set.

    Attributes:
        name: for people.
        value: of the model.
        retrains: of each retrain.
        befores: of each training with the forget set.
        one_sided: whether only too much speaks against a model.
        says: what it says of a model that is too far off; empty for what is left or missing of the trace.
        least_p: what the p-value is at least, by another way to find it.
        accuses_from: the power from which it can accuse, and not only veto.
    """

    name: str
    value: float
    retrains: list[float]
    befores: list[float]
    one_sided: bool = False
    says: str = ""
    least_p: float = 0.0
    accuses_from: float = LEAST_POWER


def plain(weights: NDArray[np.float64]) -> dict[str, Value]:
    """Statistics of one model alone, the primary one first; the last asks for rows of users (`served`)."""
    return {
        "mean percentile of the forgotten pairs": _mean("forgotten"),
        "AUC of the forgotten against held-out pairs": lambda own: separation(
            own["forgotten"], own["controls"], weights
        ),
        SERVED: _mean("served"),
    }


def compared(
    after: Answers,
    retrains: Sequence[Answers],
    befores: Sequence[Answers],
    weights: NDArray[np.float64],
    groups: Groups | None = None,
    checkpoint: Answers | None = None,
) -> tuple[list[Measured], str | None]:
    """Each statistic on which something is decided, the primary one first; and the worst of the groups, if any.

    The distance of a retrain is that from the other retrains, its spread corrected for what they share.
    """
    found = [
        Measured(
            name, value(after), [value(own) for own in retrains], [value(own) for own in befores],
            name == SERVED, _ROWS if name == SERVED else "",
        )
        for name, value in plain(weights).items()
        if name != SERVED or _all_have("served", after, *retrains, *befores)
    ]  # fmt: skip
    if checkpoint is not None and _all_have("alike", after, checkpoint, *retrains):
        name, kept = (
            "cosine, of either sign, of the rows of deleted users with what was learnt of them",
            _like(checkpoint),
        )
        likes = [_like(own) for own in retrains]
        found.append(Measured(name, _like(after), likes, [kept] * len(befores), True, _ROWS))
    if len(retrains) < FEWEST:
        return found, None
    for key, whose in (("touched", "the touched users"), ("neighbours", "their neighbours")):
        if after[key].size:
            name = f"distance of the lists of {whose} from those of retrains"
            own = _distances(name, key, _far, _LISTS, after, retrains, befores)
            found.append(replace(own, accuses_from=SURE_POWER))
    name, says = "distance of the forgotten percentiles from retrains' (KS)", "some pairs are placed as no retrain does"
    found.append(_distances(name, "forgotten", _apart, says, after, retrains, befores))
    placed = (np.stack([own["forgotten"] for own in side]) for side in (retrains, befores))
    group = None if groups is None else worst(groups, after["forgotten"], *placed)
    if group is None:
        return found, None
    name, says = "mean percentile of the worst request or user", f"{group.name} was not forgotten as a retrain forgets"
    return [*found, Measured(name, group.value, group.retrains, group.befores, True, says, group.p)], group.name


def _all_have(key: str, *models: Answers) -> bool:
    return all(key in own and own[key].size > 0 for own in models)


def _distances(
    name: str,
    key: str,
    far: Callable[[NDArray[Any], Sequence[NDArray[Any]]], float],
    says: str,
    after: Answers,
    retrains: Sequence[Answers],
    befores: Sequence[Answers],
) -> Measured:
    clean = [own[key] for own in retrains]
    among = [far(own, clean[:place] + clean[place + 1 :]) for place, own in enumerate(clean)]
    return Measured(name, far(after[key], clean), _spread(among), [far(own[key], clean) for own in befores], True, says)


def described(
    after: Answers,
    retrains: Sequence[Answers],
    befores: Sequence[Answers],
    weights: NDArray[np.float64],
    checkpoint: Answers | None = None,
) -> dict[str, tuple[float, float, float, float]]:
    """Published values on which nothing is decided: of the model, and mean, least and largest over the retrains.

    MI-BF is the mean sigmoid of the forgotten pairs' scores before (by the checkpoint; without it the mean over the
    trainings with the forget set) over that after, MI-NG that of random pairs which the user has not met over that of
    forgotten ones after; above 1 counts as forgotten there. What they are for retrains shows what they are worth.

    Reference: Chen, Xia, Huang 2025, Pre-training for Recommendation Unlearning, SIGIR, arXiv 2505.22649.
    """
    score, other = _mean("forgotten_score"), _mean("random_score")
    before = float(np.mean([score(own) for own in (befores if checkpoint is None else [checkpoint])]))
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


def _like(own: Answers) -> float:
    """A row that is turned about tells as much as one that is not, so the sign does not count."""
    return float(np.abs(own["alike"]).mean())


def _far(lists: NDArray[np.int32], others: Sequence[NDArray[np.int32]]) -> float:
    """Mean of 1 - Jaccard of top lists over users and retrains."""
    return float(np.mean([1 - jaccard(lists, other) for other in others]))


def _apart(values: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> float:
    """Kolmogorov and Smirnov's distance of percentiles from those of all others together."""
    return distance(values, np.concatenate(others))


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
