"""The worst request of several: whether the pairs of any one request, or user, lie where no retrain puts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats

from ...datasets.log import Int64, InteractionLog
from ...privacy.signals import Float64
from ..request import Request
from .residual import LEAST_POWER

LEAST = 5
"""Pairs of a group: the mean of fewer follows single pairs."""
_PRIOR = 4.0
"""Degrees of freedom by which the variance that all groups share counts beside each group's own."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Sets of forgotten pairs that are looked at apart.

    Attributes:
        names: for people, of G groups.
        member: float64 CSR [G, F], 1 / size for the pairs of each group: times values it gives their means.
        sizes: int64 [G].
    """

    names: tuple[str, ...]
    member: sparse.csr_matrix
    sizes: Int64


def grouped(log: InteractionLog, user: Int64, item: Int64, parts: Sequence[Request]) -> Groups:
    """The requests, if there are several, and the users whose pairs are not just those of one request.

    Args:
        log: what rows of requests count in.
        user: int64 [F], of the pairs.
        item: int64 [F].
        parts: the requests; each may hold any of the pairs.

    Returns:
        Groups of `LEAST` pairs or more; none where there are fewer than two, since then the mean of all says it.
    """
    names: list[str] = []
    rows: list[NDArray[np.bool_]] = []
    key = user * log.n_items + item
    for part in parts if len(parts) > 1 else ():
        names.append(f"request {part.label}")
        rows.append(np.isin(key, log.pair_keys[part.rows]))
    there, place = np.unique(user, return_inverse=True)
    by_user = sparse.csr_matrix((np.ones(len(user)), (place, np.arange(len(user)))), (len(there), len(user)))
    by_part = sparse.csr_matrix(np.array(rows, np.float64).reshape(len(rows), len(user)))
    users, sizes = by_user.sum(axis=1).A1, by_part.sum(axis=1).A1
    shared = (by_user @ by_part.T).toarray()  # pairs in common
    new = ~((shared == users[:, None]) & (shared == sizes)).any(axis=1)
    names += [f"user {name}" for name in log.user_ids[there[new]].tolist()]
    both = sparse.vstack([by_part, by_user[np.flatnonzero(new)]]).tocsr()
    count = both.sum(axis=1).A1
    kept = np.flatnonzero(count >= LEAST)
    if len(kept) < 2:
        kept = kept[:0]
    member = sparse.diags(1 / count[kept]) @ both[kept]
    return Groups(tuple(names[own] for own in kept), sparse.csr_matrix(member), count[kept].astype(np.int64))


@dataclass(frozen=True)
class Worst:
    """The group that stands out most of those of a model.

    Attributes:
        name: of the group.
        value: its mean percentile by the model.
        retrains: by each retrain.
        befores: by each training with the forget set.
        p: that one of all groups of one more retrain lies so far off towards the trace; the larger of two: Student's t
            times the number of groups, and what the largest values of retrains among each other say.
    """

    name: str
    value: float
    retrains: list[float]
    befores: list[float]
    p: float


def worst(groups: Groups, after: Float64, retrains: Float64, befores: Float64) -> Worst | None:
    """The group that lies farthest from where retrains put it, towards the trace, in their standard deviations.

    Only groups in which something would be seen are looked at: trainings with the forget set must lie `LEAST_POWER`
    standard deviations from retrains. The variance of a group is its own over retrains, drawn towards what a group of
    its size has on average.

    Args:
        groups: of the pairs.
        after: float64 [F], percentiles by the model in question.
        retrains: float64 [R, F], R >= 3.
        befores: float64 [R', F].

    Returns:
        None where nothing would be seen in any group.

    Reference: our design; moderated variances: Smyth 2004, Statistical Applications in Genetics 3.
    """
    if not groups.names:
        return None
    own, clean, dirty = (groups.member @ np.atleast_2d(values).T for values in (after, retrains, befores))
    sign, count = (-1.0 if dirty.mean() < clean.mean() else 1.0), clean.shape[1]
    seen = np.flatnonzero(sign * _off(dirty, clean, groups.sizes).mean(axis=1) >= LEAST_POWER)
    if not len(seen):
        return None
    off = sign * _off(own, clean, groups.sizes)[seen, 0]
    largest = np.array([
        (sign * _off(clean[:, [place]], np.delete(clean, place, axis=1), groups.sizes)[seen]).max()
        for place in range(count)
    ])  # fmt: skip
    place = int(off.argmax())
    reach = float(largest.std(ddof=1)) * np.sqrt(1 + 1 / count)
    among = stats.t.sf((off[place] - largest.mean()) / reach, count - 1) if reach > 0 else off[place] <= 0
    chance = len(seen) * stats.t.sf(off[place], count - 1 + _PRIOR)
    row = seen[place]
    return Worst(
        groups.names[row], float(own[row, 0]), clean[row].tolist(), dirty[row].tolist(),
        min(1.0, max(float(chance), float(among))),
    )  # fmt: skip


def _off(own: Float64, clean: Float64, sizes: Int64) -> Float64:
    """Means float64 [G, N] less those of retrains [G, R], in standard deviations of one more retrain."""
    count = clean.shape[1]
    spread = clean.var(axis=1, ddof=1)
    common = float((spread * sizes).mean()) / sizes
    variance = ((count - 1) * spread + _PRIOR * common) / (count - 1 + _PRIOR)
    if common.max() < 1e-12:  # models without a seed
        variance = 1e-12 / sizes
    found: Float64 = (own - clean.mean(axis=1, keepdims=True)) / np.sqrt(variance * (1 + 1 / count))[:, None]
    return found
