"""What an outsider can read off a model about candidates, by what the outsider sees of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from ...datasets.log import Int64, InteractionLog
from ...recommenders.base import Recommender
from ...recommenders.fold_in import FoldedIn
from ..places import following, places, prefixes
from ..signals import Float64, audience, placed
from .candidates import Candidates

Access = Literal["scores", "ranks", "lists", "weights"]
"""All scores of a user; the rank of every item and no score; the top-k list alone (label-only); the weights."""
Serve = Callable[[Recommender], Recommender]
ACCESSES: tuple[Access, ...] = get_args(Access)


def read(
    model: Recommender, asked: Candidates, in_order: bool, k: int, serve: Serve = lambda model: model
) -> dict[str, Float64]:
    """The signals of candidates, then of the population: by access float64 [C + Z], larger means more like a member.

    "scores": the log odds of the pair in a softmax over what its user has not met; "ranks": the log odds of its rank;
    "lists": -log2 of its place in the list of `k`, and of k + 1 where it is not in the list; "weights": the log odds
    of its user in a softmax over the users who have not met the item (`signals.audience`). Of users the mean over the
    second half of their events.

    Every model is read with the same history, whoever is in its training data: the base log. Users who are candidates
    are folded in from the first half of their events, members and others alike, for a user who was never trained has
    no vector of their own (an outsider who told members by that would have detected the fallback, not the training).
    Models that read histories in order are asked at the place: from what stood before each event.

    Args:
        model: over the users and items of the candidates' log.
        asked: the candidates.
        in_order: whether the model reads histories in order.
        k: length of the lists that are shown.
        serve: what stands between the model and the outsider; users are folded in before.

    Raises:
        DataError: a score is NaN.
    """
    if asked.unit == "interactions":
        return _of_pairs(serve(model), asked, in_order, k)
    return _of_users(model, asked, in_order, k, serve)


def _of_pairs(model: Recommender, asked: Candidates, in_order: bool, k: int) -> dict[str, Float64]:
    user = np.concatenate([asked.user, asked.population_user])
    item = np.concatenate([asked.item, asked.population_item])
    if not in_order:
        return _signals(model, user, item, asked.base, None, k)
    log = asked.everything
    row = _first_rows(log, user * log.n_items + item)
    return _signals(model, user, item, log, prefixes(log, user, places(log, row)), k)


def _of_users(model: Recommender, asked: Candidates, in_order: bool, k: int, serve: Serve) -> dict[str, Float64]:
    log, users = asked.everything, np.concatenate([asked.user, asked.population_user])
    rows = np.flatnonzero(np.isin(log.user, users))
    if in_order:
        rows = following(log, rows)
        user, item = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
        found = _signals(serve(model), user, item, log, prefixes(log, user, places(log, rows)), k)
    else:
        first = places(log, rows) < (log.user_counts[log.user[rows]] + 1) // 2
        known = asked.base.plus(log.take(rows[first]))
        served = serve(FoldedIn(model, asked.base, known, np.sort(users)))
        rows = rows[~first]
        rows = rows[~np.isin(log.pair_keys[rows], known.pair_keys)]
        user, item = log.user[rows].astype(np.int64), log.item[rows].astype(np.int64)
        found = _signals(served, user, item, known, None, k)
    number = np.bincount(user, minlength=log.n_users)[users].clip(1)
    return {name: np.bincount(user, value, log.n_users)[users] / number for name, value in found.items()}


def _signals(
    model: Recommender, user: Int64, item: Int64, history: InteractionLog, prefix: InteractionLog | None, k: int
) -> dict[str, Float64]:
    found = placed(model, user, item, history, prefix)
    place = np.minimum(1 + found.others - found.beaten, k + 1)
    return {
        "scores": found.lead, "ranks": found.logits, "lists": -np.log2(place),
        "weights": audience(model, user, item, found.score, history),
    }  # fmt: skip


def _first_rows(log: InteractionLog, keys: Int64) -> Int64:
    """The first event, in the order of the log, of each of these pairs, which must be there."""
    pairs, first = np.unique(log.pair_keys, return_index=True)
    return first[np.searchsorted(pairs, keys)].astype(np.int64)
