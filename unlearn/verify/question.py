"""What is asked of every model of a verification: pairs to place, users whose lists are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import DataError
from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import rng
from ...datasets.split import Split
from ...privacy.places import following, places, prefixes
from ...privacy.signals import Float64, percentiles
from ...recommenders.base import Recommender
from ...recommenders.fold_in import FoldedIn
from ...recommenders.ranking import rank
from ...recommenders.sampling import Positives
from ..request import Request
from .groups import Groups, grouped

K = 20
PAIRS, USERS = 5_000, 500
"""Of more forgotten pairs and touched users a sample is looked at."""
_TRIED = 512
_ENOUGH = 20
"""Held-out pairs of the touched users; with fewer, those of all users are the controls."""


@dataclass(frozen=True, eq=False)
class Question:
    """What a verification looks at. The same for all models, made from request and split alone.

    Attributes:
        retained: the retain set.
        known: what models may read of users: the retain set, and of users who are forgotten whole the first half of
            their forgotten events, from which they are folded in.
        folded: int64, users who are forgotten whole and had two events or more, ascending.
        whole: int64, all users who are forgotten whole, ascending.
        user, item: int64 [F], forgotten pairs; of folded users those of the second half.
        control_user, control_item: int64 [C], held-out pairs of the same users that were never trained on.
        weights: float64 [C], such that controls are as popular as forgotten pairs, by tenths of the popularity.
        touched: int64, users with forgotten events whose lists are looked at.
        neighbours: int64, other users who share an item with the forget set.
        other: int64 [F], for each forgotten pair an item at random that its user has in no part of the data; an item of
            all where a user has every one.
        groups: requests and users whose pairs are looked at apart.
        met: what pairs are not compared with, of each user.
        prefix, control_prefix: of models that read histories in order, what stood before each pair
            (`places.prefixes`); such a model was taught the forgotten item there and nowhere else. Else None.
    """

    retained: InteractionLog
    known: InteractionLog
    folded: Int64
    whole: Int64
    user: Int64
    item: Int64
    control_user: Int64
    control_item: Int64
    weights: Float64
    touched: Int64
    neighbours: Int64
    other: Int64
    groups: Groups
    met: InteractionLog
    prefix: InteractionLog | None = None
    control_prefix: InteractionLog | None = None


def question(
    split: Split,
    request: Request,
    seed: int = 0,
    *,
    in_order: bool = False,
    pairs: int = PAIRS,
    users: int = USERS,
    parts: Sequence[Request] = (),
) -> Question:
    """The question about a request.

    Args:
        split: training part with the forget set; validation and test part hold the controls.
        request: rows of the training part.
        seed: of the choice where there is more than is looked at (`sample_of`).
        in_order: for models that read histories in order: pairs are placed by what stood before them, and not by what
            the user retains. A user's first event was never anything that such a model was to predict: it is asked
            only if there are no others.
        pairs: forgotten pairs, and controls, at most.
        users: touched users, and neighbours, at most.
        parts: requests of which this one is made up (`request.pooled`), so that what is left of one does not hide.

    Raises:
        DataError: there are no held-out events to compare with.
    """
    log, draw = split.train, rng(seed, "unlearning", "question")
    retained = request.retained(log)
    gone = np.unique(log.user[request.rows]).astype(np.int64)
    whole = request.whole_users(log)
    first = request.first_halves(log)
    folded = np.intersect1d(whole, log.user[first]).astype(np.int64)
    # users of one event have no half to be folded in from, and a model says nothing of them; asked only if all are so
    silent = np.isin(log.user[request.rows], np.setdiff1d(whole, folded))
    rows = np.setdiff1d(request.rows if silent.all() else request.rows[~silent], first)
    if in_order:
        rows = following(log, rows)
        rows = rows[_some(draw, len(rows), pairs)]
        user, item = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
    else:
        asked = _pairs(log, rows)
        chosen = _some(draw, len(asked[0]), pairs)
        user, item = asked[0][chosen], asked[1][chosen]
    held = _held_out(split, gone)
    if not len(held[0]):
        raise DataError("validation and test part are empty: there are no pairs never trained on to compare with")
    compared = _some(draw, len(held[0]), pairs)
    control_user, control_item = held[0][compared], held[1][compared]
    others = np.setdiff1d(np.unique(retained.user[np.isin(retained.item, log.item[request.rows])]), gone)
    known = retained.plus(log.take(first))
    return Question(
        retained=retained,
        known=known,
        folded=folded,
        whole=whole,
        user=user, item=item, control_user=control_user, control_item=control_item,
        weights=_matched(log.item_counts, item, control_item),
        touched=gone[_some(draw, len(gone), users)],
        neighbours=others[_some(draw, len(others), users)].astype(np.int64),
        other=Positives.of(split.history.plus(split.test)).unseen(rng(seed, "unlearning", "random"), user),
        groups=grouped(log, user, item, parts),
        met=log if in_order else known,
        prefix=prefixes(log, user, places(log, rows)) if in_order else None,
        control_prefix=prefixes(log, control_user, log.user_counts[control_user]) if in_order else None,
    )  # fmt: skip


def sample_of(log: InteractionLog, request: Request, seed: int) -> int:
    """The seed that `question` is given: this one where the request is larger than is looked at, else 0.

    Who knows which pairs are judged need forget only those. Smaller requests are judged whole, whatever the seed.
    """
    return seed if len(request) > PAIRS or len(np.unique(log.user[request.rows])) > USERS else 0


def answers(model: Recommender, asked: Question) -> dict[str, NDArray[np.float64] | NDArray[np.int32]]:
    """What a model answers.

    Returns:
        "forgotten" float64 [F] and "controls" float64 [C], percentiles (`membership.percentiles`); "touched" and
        "neighbours" int32 [N, 20], top lists; "forgotten_score" and "random_score" float64 [F], sigmoids of the
        scores of the forgotten pairs and of random ones; "served" float64 [S], percentiles of the forgotten pairs of
        users who are forgotten whole by the vectors that the model keeps of them, none folded in; empty for models
        without such vectors. Where all of these users are served one and the same list, it is no one's: .5.
    """
    served = FoldedIn(model, asked.retained, asked.known, asked.folded)
    placed = served if asked.prefix is None else model
    found: dict[str, NDArray[np.float64] | NDArray[np.int32]] = {
        "forgotten": percentiles(placed, asked.user, asked.item, asked.met, asked.prefix),
        "controls": percentiles(placed, asked.control_user, asked.control_item, asked.met, asked.control_prefix),
    }
    for name, users in (("touched", asked.touched), ("neighbours", asked.neighbours)):
        k = min(K, asked.known.n_items)
        found[name] = rank(served, users, asked.known, k).slate.items if len(users) else np.empty((0, k), np.int32)
    found["forgotten_score"] = _sigmoids(served, asked.user, asked.item, asked.known)
    found["random_score"] = _sigmoids(served, asked.user, asked.other, asked.known)
    found["served"] = _served(model, asked)
    return found


def _served(model: Recommender, asked: Question) -> Float64:
    own = np.isin(asked.user, asked.whole)
    if not own.any() or not hasattr(model, "embeddings"):
        return np.empty(0)
    some = model.scores(np.unique(asked.user[own])[:_TRIED], asked.retained)
    if len(some) > 1 and (some == some[:1]).all():
        return np.full(int(own.sum()), 0.5)
    return percentiles(model, asked.user[own], asked.item[own], asked.retained)


def _sigmoids(model: Recommender, user: Int64, item: Int64, history: InteractionLog) -> Float64:
    users, place = np.unique(user, return_inverse=True)
    found = np.empty(len(user))
    for block in np.array_split(np.arange(len(users)), max(1, len(users) // 512)):
        scores: Float32 = model.scores(users[block], history)
        rows = np.flatnonzero((place >= block[0]) & (place <= block[-1]))
        found[rows] = 1 / (1 + np.exp(-scores[place[rows] - block[0], item[rows]].astype(np.float64)))
    return found


def _pairs(log: InteractionLog, rows: Int64) -> tuple[Int64, Int64]:
    """The distinct pairs of these events."""
    pair = np.unique(log.pair_keys[rows])
    return pair // log.n_items, pair % log.n_items


def _held_out(split: Split, users: Int64) -> tuple[Int64, Int64]:
    """Held-out pairs of these users that training has never seen; of all users if there are too few."""
    held, log = split.valid.plus(split.test), split.train
    own = _pairs(held, np.flatnonzero(np.isin(held.user, users)))
    for user, item in (own, _pairs(held, np.arange(len(held)))):
        new = ~np.isin(user * log.n_items + item, log.pair_keys)
        if new.sum() >= _ENOUGH:
            break
    return user[new], item[new]


def _matched(popularity: Int64, forgotten: Int64, controls: Int64) -> Float64:
    """Weights of the controls by which each tenth of the popularity counts what it counts in the forget set."""
    edges = np.quantile(popularity[np.concatenate([forgotten, controls])], np.arange(0.1, 1.0, 0.1))
    own, other = (np.searchsorted(edges, popularity[items], side="right") for items in (forgotten, controls))
    wanted, there = (np.bincount(tenth, minlength=10) / len(tenth) for tenth in (own, other))
    weights: Float64 = (wanted / np.where(there > 0, there, 1.0))[other]
    return weights if weights.sum() > 0 else np.ones(len(controls))


def _some(draw: np.random.Generator, size: int, most: int) -> Int64:
    return np.sort(draw.permutation(size)[:most])
