"""Detectors by what follows what, and an isolation forest over everything that is cheap to know of an account."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.ensemble import IsolationForest

from ...attacks.detectors import rows
from ...attacks.transitions import STRENGTHS
from ...datasets.errors import DataError
from ...datasets.log import Int64, InteractionLog
from ...recommenders.base import Recipe
from ..base import Detector, DetectorConfig, Float64
from .neighbours import overlap
from .reconstruction import unusual_error

DIGITS = 9
NO_ORDER = (
    "the log has no times, and the order of lines may say how a file was made, not what followed what; give a column "
    "of times, or `position` for the place of an event within its user"
)


class Surprise(Detector):
    """How unlikely an account's steps are among those of all others: mean of -log p(next | last) over its steps.

    Of n steps from item i, c lead to item j: p(j | i) = (c + b q_j) / (n + b), q_j = (steps to j + 1) / (all
    steps + I). All four counts leave out the account's own steps. The strength b of the back-off to popularity is
    the power of ten under which the log is most likely. An account without steps gets the median. Without times nobody
    is judged.

    Blind to copied sequences, genuine or of other fakes, which are in the chain, and to popular items. Genuine users
    of rare items are surprising too.
    """

    name: ClassVar[str] = "surprise"
    title: ClassVar[str] = "Unlikely steps from one event to the next"
    reference: ClassVar[str] = "recaudit"
    version: ClassVar[int] = 3

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        return NO_ORDER if log.time is None else None

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector.

        Raises:
            DataError: the log has no times.
        """
        if log.time is None:
            raise DataError(f"{self.name}: {NO_ORDER}")
        return surprise(log)


class TogetherConfig(DetectorConfig):
    """Settings of the isolation forest."""

    rank: int = Field(default=10, ge=1, description="factors of the reconstruction")
    trees: int = Field(default=200, ge=1, description="trees of the forest")


class Together(Detector):
    """Isolation forest over z scores of what is cheap to know of an account; see `features`.

    Score: 2^(-mean depth at which the account is alone / the expected depth), higher is lonelier. Rows are sorted
    before the forest is grown, so that no account's place counts. Blind to fakes that are usual in every one of these
    numbers, and to fakes so many that they are usual themselves. It flags heavy and niche genuine users, who are
    rare in fact.
    """

    name: ClassVar[str] = "together"
    title: ClassVar[str] = "Isolation forest over simple numbers of an account"
    reference: ClassVar[str] = "recaudit; forest: Liu, Ting, Zhou 2008, Isolation Forest, ICDM"
    config_type: ClassVar[type[DetectorConfig]] = TogetherConfig
    version: ClassVar[int] = 3

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        active = log.user_counts > 0
        found = np.zeros(log.n_users)
        if not active.any():
            return found
        table = features(log, self.config.rank)[active]
        spread = table.std(axis=0)
        scores = np.round((table - table.mean(axis=0)) / np.where(spread > 1e-6, spread, np.inf), 6)
        unique, place, count = np.unique(scores, axis=0, return_inverse=True, return_counts=True)
        forest = IsolationForest(n_estimators=self.config.trees, random_state=int(rng.integers(2**31)))
        forest.fit(np.repeat(unique, count, axis=0))
        found[active] = -forest.score_samples(unique)[place.ravel()]
        return found


def features(log: InteractionLog, rank: int) -> Float64:
    """Numbers of each account, float64 [U, 5], or [U, 7] with times.

    Log of the number of events; mean and standard deviation of the log popularity of its events; `overlap`;
    `unusual_error`; with times `surprise` and `gap_entropy`.
    """
    count = np.maximum(log.user_counts, 1)
    popular = np.log(np.maximum(log.item_counts, 1))[log.item]
    mean = np.bincount(log.user, popular, log.n_users) / count
    spread = np.sqrt(np.bincount(log.user, (popular - mean[log.user]) ** 2, log.n_users) / count)
    columns = [np.log(count), mean, spread, overlap(log), unusual_error(rows(log), rank)]
    if log.time is not None:
        columns += [surprise(log), gap_entropy(log)]
    return np.stack(columns, axis=1)


def surprise(log: InteractionLog) -> Float64:
    """Mean of -log p(next | last) of each account, natural logarithm, float64 [U]; see `Surprise`.

    Of a log without times the steps are those of the order that it stands in.
    """
    order, same = _steps(log)
    who, item = log.user[order].astype(np.int64)[1:][same], log.item[order].astype(np.int64)
    origin, goal = item[:-1][same], item[1:][same]
    found = np.zeros(log.n_users)
    if not len(who):
        return found
    n_items, total = log.n_items, len(who)
    pair = origin * n_items + goal
    code = np.unique(pair, return_inverse=True)[1].astype(np.int64)  # keeps the key with the account within 64 bits
    both = _occurrences(pair) - _occurrences(who * total + code)
    leaving = np.bincount(origin)[origin] - _occurrences(who * n_items + origin)
    coming = np.bincount(goal)[goal] - _occurrences(who * n_items + goal)
    steps = np.bincount(who, minlength=log.n_users)
    prior = (coming + 1) / (total - steps[who] + n_items)
    chains = [np.log((both + b * prior) / (leaving + b)) for b in STRENGTHS]
    likely = chains[int(np.argmax([chain.sum() for chain in chains]))]
    walked = steps > 0
    found[walked] = np.round(-np.bincount(who, likely, log.n_users)[walked] / steps[walked], DIGITS)
    found[~walked] = np.median(found[walked])
    return found


def gap_entropy(log: InteractionLog) -> Float64:
    """Entropy in bits of the order of magnitude (power of two of seconds) of an account's gaps, float64 [U].

    0 for an account with fewer than two gaps, and for one that acts like a clock. The log has times.
    """
    assert log.time is not None
    order, same = _steps(log)
    who = log.user[order].astype(np.int64)[1:][same]
    size = np.floor(np.log2(np.diff(log.time[order])[same] + 1.0)).astype(np.int64)
    key, count = np.unique(who * 64 + size, return_counts=True)
    of = key // 64
    share = count / np.bincount(who, minlength=log.n_users)[of]
    return np.bincount(of, -share * np.log2(share), log.n_users).astype(np.float64)


def _steps(log: InteractionLog) -> tuple[Int64, NDArray[np.bool_]]:
    """Events by account and time, int64 [E], and which neighbours there are of one account, bool [E - 1]."""
    order = log.chronological()
    user = log.user[order]
    return order, user[1:] == user[:-1]


def _occurrences(key: Int64) -> Int64:
    """How often the value of each entry occurs: int64 [N]."""
    _, place, count = np.unique(key, return_inverse=True, return_counts=True)
    return count[place]
