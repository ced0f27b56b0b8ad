"""What follows what: repeats, and how likely the steps of a fake sequence are among genuine ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import Int64, InteractionLog, Profiles
from .detectors import Float64

STRENGTHS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0)


def repeat_share(user: NDArray[np.integer], item: NDArray[np.integer]) -> float | None:
    """Share of the events whose item the same user had before, 0..1 (below 1); None without events."""
    if not len(user):
        return None
    key = user.astype(np.int64) * (int(item.max()) + 1) + item
    return float(1 - (1 + np.count_nonzero(np.diff(np.sort(key)))) / len(key))


def transition_bits(genuine: InteractionLog, profiles: Profiles) -> tuple[float | None, float | None]:
    """Mean log2 probability of a step from one event of a user to the next, of fakes and of genuine users; at most 0.

    The steps of genuine users make a Markov chain of order one: of n steps from item i, c of which lead to item j,
    p(j | i) = (c + b q_j) / (n + b), with q_j = (steps to j + 1) / (all steps + I). The strength b of the smoothing
    is the power of ten that predicts genuine steps best. Genuine steps are scored each without itself; steps that
    fakes copied are in the chain, so clones of sequences come out more likely than genuine ones. Events of one
    time stand in the order of the file.

    Returns:
        Fakes, genuine users. Both None without times or with fewer than two genuine steps; fakes None without steps.
    """
    if genuine.time is None or profiles.time is None:
        return None, None
    n_items = genuine.n_items
    origin, goal = _steps(genuine.user, genuine.item, genuine.time)
    total = len(origin)
    if total < 2:
        return None, None
    key, count = np.unique(origin * n_items + goal, return_counts=True)  # sorts; counts keep it off numpy's slow hash
    outgoing = np.bincount(origin, minlength=n_items)
    incoming = np.bincount(goal, minlength=n_items)
    start, end = np.divmod(key, n_items)
    without = incoming[end] / (total - 1 + n_items)  # the step itself taken out, in q as in c and n
    scores = [float(count @ np.log2((count - 1 + b * without) / (outgoing[start] - 1 + b))) / total for b in STRENGTHS]
    best = int(np.argmax(scores))
    strength = STRENGTHS[best]

    origin, goal = _steps(profiles.account, profiles.item, profiles.time)
    if not len(origin):
        return None, scores[best]
    wanted = origin * n_items + goal
    place = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    known: Float64 = np.where(key[place] == wanted, count[place], 0).astype(np.float64)
    prior = (incoming[goal] + 1) / (total + n_items)
    likely = np.log2((known + strength * prior) / (outgoing[origin] + strength))
    return float(likely.mean()), scores[best]


def _steps(user: NDArray[np.integer], item: NDArray[np.integer], time: Int64) -> tuple[Int64, Int64]:
    """Items before and after each step of a user, int64 [S] each, in the order of time."""
    order = np.lexsort((np.arange(len(user)), time, user))
    same = user[order][1:] == user[order][:-1]
    items = item[order].astype(np.int64)
    return items[:-1][same], items[1:][same]
