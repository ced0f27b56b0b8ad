"""The test of canaries: whether those included and forgotten can be told from those never included."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import InputError
from ...datasets.log import Float32, InteractionLog
from ...datasets.seeding import rng
from ...recommenders.base import Recommender
from ...recommenders.fold_in import FoldedIn
from ..signals import Float64, percentiles, separation
from .planting import Planted, part_of

_CELLS = 4_000_000  # labels permuted at a time


@dataclass(frozen=True)
class CanaryTest:
    """Whether included and forgotten canaries can be told from those never included.

    Attributes:
        included: how many were included.
        never: how many were not.
        mean_included: mean value of the included ones.
        mean_never: of the others.
        auc: of the included against the others, 0..1; ties count half.
        p: of the hypothesis that the coins left no trace, two-sided.
        p_left: one-sided: small where included ones lie too high, part of their trace is left.
        p_over: one-sided: small where they lie too low, more was forgotten than was learnt.
        exact: whether all relabellings were counted, not a sample of them.
    """

    included: int
    never: int
    mean_included: float
    mean_never: float
    auc: float
    p: float
    p_left: float
    p_over: float
    exact: bool

    @property
    def difference(self) -> float:
        """Mean of the included ones less that of the others."""
        return self.mean_included - self.mean_never


def statistic(model: Recommender, planted: Planted, history: InteractionLog) -> Float64:
    """What a model says of each canary, included or not, by one rule for both: float64 [m] in 0..1.

    Pairs: the percentile of the item among what the user has not met. Users: the mean percentile of the scored half,
    after the first half was read. Canary users have no row of their own that would be comparable, since those never
    included were never trained: all are new users to the model (`fold_in.FoldedIn`).

    Args:
        model: over the users and items of `planted.log`.
        planted: the secret list.
        history: what is known of all other users, usually the retain set. Events of canaries in it are not read.

    Raises:
        InputError: other numbers of users or items, or a model that cannot score new users.
        DataError: a score is NaN.
    """
    sizes = {(own.n_users, own.n_items) for own in (model, history, planted.log)}
    if len(sizes) > 1:
        raise InputError("model, history and planted log must know the same users and items; open them with one data")
    profiles, scored, count = planted.profiles, planted.scored, len(planted)
    own, item = profiles.account[scored].astype(np.int64), profiles.item[scored].astype(np.int64)
    if planted.kind == "pairs":
        keys = planted.user * history.n_items + item
        return percentiles(model, planted.user, item, history.without(np.isin(history.pair_keys, keys)))
    gone = np.isin(history.user, planted.user[planted.included])
    base = replace(history.without(gone), users=None)
    known = base.with_accounts(part_of(profiles, ~scored))
    wide = replace(base, user_ids=known.user_ids)
    rows = base.n_users + np.arange(count)
    found = percentiles(FoldedIn(_Widened(model, count), wide, known, rows), rows[own], item, known)
    return np.bincount(own, found, count) / np.bincount(own, minlength=count)


def test(values: Float64, included: NDArray[np.bool_], draws: int = 9_999, seed: int = 0) -> CanaryTest:
    """Permutation test of the coins: the difference of means among all labellings with as many included.

    Under exact unlearning the model depends on nothing that the coins decided, so that every such labelling is equally
    likely and p is exact: it is at most x with a chance of at most x. All labellings are counted where they are at most
    `draws`; otherwise so many are drawn, and the observed one counts as one of them.

    Args:
        values: float64 [m], of `statistic`.
        included: bool [m].
        draws: 1 or more.
        seed: of the relabelling.

    Raises:
        InputError: nothing, or everything, was included.

    Reference: Phipson and Smyth 2010, Permutation P-values Should Never Be Zero, Statistical Applications in Genetics
        and Molecular Biology 9 (the observed labelling is counted).
    """
    size, chosen = len(values), int(included.sum())
    if not 0 < chosen < size:
        raise InputError(f"{chosen} of {size} canaries were included; there is nothing to compare")
    exact = math.comb(size, chosen) <= draws
    centred = values - values.mean()  # the difference of means is then the included sum times a constant
    observed, slack = float(centred[included].sum()), 1e-9 * float(np.abs(centred).sum())
    if exact:
        sums = np.array([centred[list(own)].sum() for own in combinations(range(size), chosen)])
    else:
        sums = np.append(np.concatenate(list(_relabelled(centred, included, draws, seed))), observed)
    p, left, over = (
        float(np.mean(extreme))
        for extreme in (np.abs(sums) >= abs(observed) - slack, sums >= observed - slack, sums <= observed + slack)
    )
    return CanaryTest(
        chosen, size - chosen, float(values[included].mean()), float(values[~included].mean()),
        separation(values[included], values[~included]), p, left, over, exact,
    )  # fmt: skip


class _Widened:
    """A model with rows for users it has never met: zeros, which folding in replaces, where it has vectors."""

    embeddings: Callable[[], tuple[Float32, Float32]]

    def __init__(self, model: Recommender, count: int) -> None:
        self.model, self.n_users, self.n_items = model, model.n_users + count, model.n_items
        if hasattr(model, "embeddings"):
            users, items = model.embeddings()
            table = np.concatenate([users, np.zeros((count, users.shape[1]), np.float32)]), items
            self.embeddings = lambda: table

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        if hasattr(self, "embeddings"):
            vectors, items = self.embeddings()
            found: Float32 = vectors[users] @ items.T
            return found
        try:
            return self.model.scores(users, history)
        except IndexError:
            raise InputError(
                "the model keeps something of each user but gives no vectors, so that new users cannot be scored; "
                "plant pairs instead of users"
            ) from None


def _relabelled(centred: Float64, included: NDArray[np.bool_], draws: int, seed: int) -> Iterator[Float64]:
    """The included sum under random labellings, in blocks."""
    stream, size = rng(seed, "unlearning", "canaries", "relabel"), len(centred)
    block = max(1, _CELLS // size)
    for start in range(0, draws, block):
        labels = np.tile(included, (min(block, draws - start), 1))
        yield stream.permuted(labels, axis=1) @ centred
