"""Detectors by single numbers of a profile: deviation from item means, length, and UnRAP.

What an account holds is one entry per pair (the latest rating). Without ratings an entry is 1 and the mean of an item
is taken over all U accounts with events: r_i = N_i / U.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.stats import rankdata

from ...attacks.detectors import rows
from ...datasets.log import Int64, InteractionLog
from ..base import Detector, DetectorConfig, Float64

DIGITS = 9
"""Values that differ by rounding alone must tie, or the order of summing would decide who is flagged."""


@dataclass(frozen=True, eq=False)
class Entries:
    """What accounts hold, an entry per pair, ordered by account."""

    user: Int64  # [N]
    item: Int64  # [N]
    value: Float64  # [N], 1 without ratings
    length: Int64  # [U], entries of an account
    holders: Int64  # [I], N_i
    mean: Float64  # [I], mean rating; without ratings the share of accounts that hold the item
    rated: bool

    @classmethod
    def of(cls, log: InteractionLog) -> Entries:
        """Those of a log."""
        held, rated = rows(log), log.value is not None
        item, length = held.indices.astype(np.int64), np.diff(held.indptr).astype(np.int64)
        holders, total = np.bincount(item, minlength=log.n_items), np.bincount(item, held.data, log.n_items)
        mean = total / (np.maximum(holders, 1) if rated else max(int(np.count_nonzero(length)), 1))
        return cls(np.repeat(np.arange(log.n_users), length), item, held.data, length, holders, mean, rated)

    def per_user(self, values: Float64) -> Float64:
        """Sums over each account's entries, float64 [U]."""
        return np.bincount(self.user, values, len(self.length)).astype(np.float64)


def deviation(entries: Entries, power: int) -> Float64:
    """Sum over an account's items of abs(r_ui - r_i) / N_i^power, float64 [U]."""
    away = np.abs(entries.value - entries.mean[entries.item])
    return entries.per_user(away / entries.holders[entries.item].astype(np.float64) ** power)


class RDMA(Detector):
    """Rating deviation from mean agreement: (1/n_u) sum_i abs(r_ui - r_i) / N_i.

    Without ratings this is the mean inverse popularity of the account's items, less 1/U, whatever the account
    thinks of them. Blind to accounts that hold popular items, and to ratings near the items' means.
    """

    name: ClassVar[str] = "rdma"
    title: ClassVar[str] = "Deviation from item means, by inverse popularity"
    reference: ClassVar[str] = "Chirita, Nejdl, Zamfir 2005, Preventing Shilling Attacks in Online Recommenders, WIDM"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        entries = Entries.of(log)
        return deviation(entries, 1) / np.maximum(entries.length, 1)


class WDMA(Detector):
    """Weighted deviation from mean agreement: (1/n_u) sum_i abs(r_ui - r_i) / N_i^2.

    As `rdma`, but one item that hardly anybody holds outweighs all others. Blind to accounts without such an item.
    """

    name: ClassVar[str] = "wdma"
    title: ClassVar[str] = "Deviation from item means, by squared inverse popularity"
    reference: ClassVar[str] = "Burke et al. 2006, Classification Features for Attack Detection, KDD"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        entries = Entries.of(log)
        return deviation(entries, 2) / np.maximum(entries.length, 1)


class WDA(Detector):
    """Weighted degree of agreement: sum_i abs(r_ui - r_i) / N_i, which is n_u times `rdma`.

    A sum, so long genuine profiles look worst. Blind to short fakes and, like `rdma`, to popular items.
    """

    name: ClassVar[str] = "wda"
    title: ClassVar[str] = "Sum of deviations from item means, by inverse popularity"
    reference: ClassVar[str] = "Burke et al. 2006, Classification Features for Attack Detection, KDD"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        return deviation(Entries.of(log), 1)


class LengthVar(Detector):
    """Length variance: abs(n_u - n) / sum_v (n_v - n)^2, n the mean number of events; 0 if all lengths are equal.

    Blind to fakes whose lengths are drawn from the genuine ones; fakes of the mean length are the least suspicious
    accounts of all (AUC near 0).
    """

    name: ClassVar[str] = "length-var"
    title: ClassVar[str] = "Distance from the mean length"
    reference: ClassVar[str] = "Burke et al. 2006, Classification Features for Attack Detection, KDD"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        counts = log.user_counts.astype(np.float64)
        active = counts > 0
        away = np.where(active, counts - counts.sum() / max(int(active.sum()), 1), 0.0)
        return np.abs(away) / max(float(away @ away), 1e-300)


class UnRAPConfig(DetectorConfig):
    """Settings of UnRAP."""

    window: int = Field(default=10, ge=1, description="accounts in the window that slides down the ranking")


class UnRAP(Detector):
    """Unsupervised retrieval of attack profiles: the Hv score, then the accounts that agree on one item.

    Hv_u = sum_i (r_ui - r_i - r_u + r)^2 / sum_i (r_ui - r_u)^2, over the account's items. The target is the item
    whose ratings by the `window` highest Hv deviate most, in sum, from those accounts' means. A window slides down
    the ranking until the deviations of the target add up to 0 or change sign; accounts above it that deviate
    in the direction of the target are retrieved. Score: rank of Hv in 0..1, plus 1 if retrieved.

    Without ratings both sums run over all items, 0 for what is not held, r_i = N_i / U, and deviations for the target
    are from r_i, since the most popular item would win otherwise. Hv is then large for short accounts and for
    unpopular items. With a denominator of 0, accounts that rate two or more items alike, unlike other accounts, come
    above all others, and all else gets the median. Blind to popular items and to ratings that follow items' means.
    """

    name: ClassVar[str] = "unrap"
    title: ClassVar[str] = "UnRAP: Hv score and a common target"
    reference: ClassVar[str] = "Bryan, O'Mahony, Cunningham 2008, Unsupervised Retrieval of Attack Profiles, RecSys"
    config_type: ClassVar[type[DetectorConfig]] = UnRAPConfig

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        entries = Entries.of(log)
        if not len(entries.user):
            return np.zeros(log.n_users)
        score = hv(entries)
        return (rankdata(score) - 1) / log.n_users + retrieved(entries, score, self.config.window)


def hv(entries: Entries) -> Float64:
    """The Hv score, float64 [U]; see `UnRAP`."""
    length = np.maximum(entries.length, 1)
    if entries.rated:
        own = entries.value - (entries.per_user(entries.value) / length)[entries.user]
        below = entries.per_user(own**2)
        above = entries.per_user((own - entries.mean[entries.item] + entries.value.mean()) ** 2)
    else:
        taste = entries.mean - entries.mean.mean()
        below = entries.length - entries.length**2 / len(entries.mean)
        above = below + taste @ taste - 2 * entries.per_user(taste[entries.item])
    defined = below > 1e-9
    found = np.zeros(len(length))
    found[defined] = np.round(above[defined] / below[defined], DIGITS)
    found[~defined] = np.median(found[defined]) if defined.any() else 0.0
    flat = ~defined & (above > 1e-9) & (entries.length > 1) & entries.rated
    found[flat] = found.max() + 1
    return found


def retrieved(entries: Entries, score: Float64, window: int) -> Float64:
    """1 for the accounts of UnRAP's second part, else 0: float64 [U]. Accounts of one score are treated alike."""
    users = np.flatnonzero(entries.length)
    window = min(window, len(users))
    usual = (entries.per_user(entries.value) / np.maximum(entries.length, 1))[entries.user] if entries.rated else 0.0
    shape = (len(entries.length), len(entries.mean))
    away = sparse.csc_matrix((entries.value - usual, (entries.user, entries.item)), shape=shape)
    expected = np.zeros(shape[1]) if entries.rated else entries.mean
    first = users[score[users] >= np.sort(score[users])[-window]]
    total = np.asarray(away[first].sum(axis=0)).ravel() - len(first) * expected
    target = int(np.argmax(np.round(np.abs(total), DIGITS)))
    towards = np.sign(total[target]) * (away[:, [target]].toarray().ravel() - expected[target])
    order = users[np.argsort(-score[users], kind="stable")]
    _, group = np.unique(-score[order], return_inverse=True)
    even = (np.bincount(group, towards[order]) / np.bincount(group))[group]
    sums = np.convolve(even, np.ones(window), "valid")
    over = np.flatnonzero(sums <= 10.0**-DIGITS)
    ahead = int(over[0]) if len(over) else len(order)
    found = np.zeros(len(score))
    if ahead:
        found[users] = (score[users] >= score[order[ahead - 1]]) & (towards[users] > 0)
    return found
