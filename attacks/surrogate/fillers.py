"""Fillers that an account's own scores choose, account after account."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ...datasets.log import Int32, Int64, InteractionLog


def seen_items(log: InteractionLog, targets: Sequence[int]) -> Int64:
    """Items with visible events that are no target, ascending int64 [n]; the vectors of others are noise."""
    inside = log.item_counts > 0
    inside[list(targets)] = False
    return np.flatnonzero(inside)


def take_turns(logits: torch.Tensor, weights: NDArray[np.float64], allowed: Int64, n: int, decay: float) -> Int32:
    """Each account in turn takes the n items of largest chance x weight; what it takes is marked down.

    Accounts that score alike take the same items unless a taken item loses weight. Only a full round over the
    catalogue, when no weight is 1 any more, resets all.

    Args:
        logits: float [A, I], log chances up to a constant per account.
        weights: float64 [len(allowed)], in (0, 1]; lowered in place.
        allowed: int64 [m], what may be taken.
        n: items of an account, if there are so many.
        decay: factor on the weight of a taken item, in (0, 1]; 1 marks nothing down.

    Returns:
        int32 [A, n], best first; -1 where the allowed items are used up.

    Reference: Huang et al. 2021, Data Poisoning Attacks to Deep Learning Based Recommender Systems, NDSS (their
    selection probabilities).
    """
    found = np.full((len(logits), n), -1, np.int32)
    width = min(n, len(allowed))
    if not width:
        return found
    chances = logits[:, torch.from_numpy(allowed)].double().numpy()
    for account, own in enumerate(chances):
        best = np.argsort(-(own + np.log(weights)), kind="stable")[:width]
        found[account, :width] = allowed[best]
        weights[best] *= decay
        if (weights < 1).all():
            weights[:] = 1.0
    return found
