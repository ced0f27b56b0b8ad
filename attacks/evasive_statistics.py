"""Accounts against detectors by single numbers of a profile: mixtures of two real ones, inside the usual ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.sparse.linalg import svds
from threadpoolctl import threadpool_limits

from ..datasets.log import Int32, Int64, InteractionLog
from ..recommenders.consumed import consumed
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .detectors import standardised
from .draws import head, pool, without_repeats
from .goal import Direction

Float64 = NDArray[np.float64]

NAMES = ("popularity", "lower quartile", "inverse popularity", "likeness", "communality")
"""Statistics of a profile, in the order of columns; see `Usual.statistics`."""

_CELLS = 4_000_000  # events of parents, or candidates x sample, in memory at a time
_COMPONENTS = 3  # of PCA-VarSelect, as its paper uses


class EvasiveStatisticsConfig(AttackConfig):
    """Settings of the attack on detectors by statistics."""

    candidates: int = Field(default=64, ge=1, le=2000, description="mixtures that are tried for each account")
    quantile: float = Field(
        default=0.3,
        gt=0,
        lt=0.5,
        description="accounts are to lie between this quantile of genuine accounts and 1 less it; above .25 leaves a "
        "reserve for what the fakes themselves change",
    )
    popular: float = Field(default=0.6, ge=0, le=1, description="largest share of fillers that come from the head")
    head: float = Field(default=0.05, gt=0, le=1, description="what counts as popular: this share of the items")
    sample: int = Field(default=500, ge=2, description="genuine accounts to which likeness is measured, at most")
    neighbours: int = Field(default=25, ge=1, description="most similar accounts, of all users, as in DegSim")


class EvasiveStatistics(Attack):
    """Mixtures of two genuine profiles whose statistics lie in the middle of the genuine ones.

    Many candidates are tried for each account: fillers drawn from two genuine profiles in a random proportion, of which
    up to `popular` are exchanged for events of the head. Their statistics (mean and lower quartile of item popularity,
    mean inverse popularity, mean cosine to the most similar genuine accounts, share of the account that three principal
    components explain), target included, are compared with those of genuine accounts. Among the candidates inside all
    ranges the one with most popular fillers is sent, because popular items are what many users share with the account;
    where none is inside, the one that is least far outside. Ratings come with the events; sequences are one parent's
    events, then the other's, in their own order, with popular ones between.

    Statistics are of who has what: ratings of the target still deviate where ratings are read. Likeness is measured on
    a sample and to genuine accounts alone, so many accounts may be more alike than was measured. The length is the
    goal's: nothing helps an account of a length nobody has. Blind to the order of events, to overlap with one parent
    (near copies), and to detectors of a whole group that shares the target.
    """

    name = "evasive-statistics"
    title = "Mixtures of two real profiles inside the usual ranges of detectors' statistics"
    reference = (
        "recaudit; against RDMA, DegSim (Chirita et al. 2005, WIDM) and PCA-VarSelect (Mehta, Nejdl 2009, UMUAI 19)"
    )
    grants = frozenset({"catalogue", "log"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = EvasiveStatisticsConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Learn the ranges, then try candidates for one block of accounts after the other."""
        config: EvasiveStatisticsConfig = self.config
        by_usual, by_mix = rng.spawn(2)
        log = knowledge.log
        usual = Usual.of(log, goal, config, by_usual)
        popular = head(log.item_counts, config.head)
        width = goal.fillers
        items, events = (np.full((goal.accounts, width), -1, dtype) for dtype in (np.int32, np.int64))
        longest = 2 * max(float(log.user_counts[log.user_counts > 0].mean()), float(width), 1.0)
        step = max(1, int(_CELLS // (config.candidates * longest)))
        for start in range(0, goal.accounts, step):
            block = slice(start, min(start + step, goal.accounts))
            count = (block.stop - block.start) * config.candidates
            tried, from_events = mixtures(log, goal, popular, count, config, by_mix)
            force = (popular[tried] & (tried >= 0)).mean(axis=1) if width else np.zeros(count)
            outside = usual.outside(usual.statistics(held_by(tried, goal.targets, log.n_items)))
            # inside: most popular fillers first; else the least far outside
            cost = np.where(outside <= 0, -force, 1 + outside).reshape(-1, config.candidates)
            best = cost.argmin(axis=1) + np.arange(len(cost)) * config.candidates
            items[block], events[block] = tried[best], from_events[best]
        ratings = None if log.value is None else log.value[np.maximum(events, 0)]
        return Draft(items, ratings, ordered=True)


@dataclass(frozen=True, eq=False)
class Usual:
    """What is usual among genuine accounts.

    Attributes:
        popularity: float64 [I], accounts with the item once the fakes hold the targets; at least 1.
        sample: float32 CSC [I, S], rows of genuine accounts scaled to length 1, transposed.
        nearest: how many of the sample count as the most similar ones.
        axes: float64 [I, c], principal axes divided by their singular values.
        low, high: float64 [5], the range of each statistic.
    """

    popularity: Float64
    sample: sparse.csc_matrix
    nearest: int
    axes: Float64
    low: Float64
    high: Float64

    @classmethod
    def of(cls, log: InteractionLog, goal: Goal, config: EvasiveStatisticsConfig, rng: np.random.Generator) -> Usual:
        """Ranges of the visible users with events; `rng` draws the sample and the start of the decomposition."""
        by_sample, by_start = rng.spawn(2)
        held = consumed(log)
        held = held[np.flatnonzero(np.diff(held.indptr))]
        users = held.shape[0]
        popularity = np.asarray(held.sum(axis=0), np.float64).ravel()
        popularity[list(goal.targets)] += goal.accounts
        chosen = np.sort(by_sample.permutation(users)[: config.sample])
        nearest = int(np.floor(config.neighbours * len(chosen) / users + 0.5))
        sample = sparse.diags(1 / np.sqrt(np.diff(held.indptr)[chosen])) @ held[chosen]
        nothing = np.zeros(len(NAMES))
        usual = cls(
            np.maximum(popularity, 1), sample.astype(np.float32).T.tocsc(), max(1, nearest),
            principal_axes(held, by_start), nothing, nothing,
        )  # fmt: skip
        found = usual.statistics(held)
        alike = usual.statistics(held[chosen], own=True)[:, NAMES.index("likeness")]
        quantiles = (config.quantile, 1 - config.quantile)
        low, high = np.quantile(found, quantiles, axis=0)
        low[NAMES.index("likeness")], high[NAMES.index("likeness")] = np.quantile(alike, quantiles)
        return cls(usual.popularity, usual.sample, usual.nearest, usual.axes, low, high)

    def statistics(self, held: sparse.csr_matrix, own: bool = False) -> Float64:
        """Numbers of profiles, in the order of `NAMES`.

        Mean popularity; its lower quartile (item (n - 1) // 4 from below); mean of 1 / N_i, RDMA without ratings up to
        a constant; mean cosine to the most similar accounts of the sample; sum of squared coefficients in the first
        principal components (PCA-VarSelect).

        Args:
            held: 0/1 CSR [n, I], no empty row.
            own: whether the rows are the sample itself, in its order: none is then its own neighbour.

        Returns:
            float64 [n, 5].
        """
        length = np.diff(held.indptr)
        row = np.repeat(np.arange(len(length)), length)
        popularity = self.popularity[held.indices]
        ascending = popularity[np.lexsort((popularity, row))]
        mean = np.bincount(row, popularity, len(length)) / length
        inverse = np.bincount(row, 1 / popularity, len(length)) / length
        quartile = ascending[held.indptr[:-1] + (length - 1) // 4]
        n_items = held.shape[1]
        share = length / n_items
        spread = np.sqrt(np.maximum(share - share**2, 1e-12))  # of a row of zeros and ones
        coefficient = (held @ self.axes - share[:, None] * self.axes.sum(axis=0)) / spread[:, None]
        return np.stack(
            [mean, quartile, inverse, self._likeness(held, own), np.square(coefficient).sum(axis=1)], axis=1
        )

    def outside(self, statistics: Float64) -> Float64:
        """How far outside the ranges, in widths of the range, summed over statistics: [n, 5] -> [n], 0 inside."""
        width = np.where(self.high > self.low, self.high - self.low, 1.0)
        away = np.maximum(self.low - statistics, statistics - self.high) / width
        # rounding must not decide where all genuine accounts have one value
        found: Float64 = np.where(away > 1e-9, away, 0.0).sum(axis=1)
        return found

    def _likeness(self, held: sparse.csr_matrix, own: bool) -> Float64:
        size = self.sample.shape[1]
        found = np.zeros(held.shape[0])
        count = min(self.nearest, size - own)
        if count < 1:
            return found
        rows = (sparse.diags(1 / np.sqrt(np.diff(held.indptr))) @ held).astype(np.float32).tocsr()
        step = max(1, _CELLS // size)
        for start in range(0, len(found), step):
            cosine = (rows[start : start + step] @ self.sample).toarray()
            if own:
                cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = -2.0
            top = np.partition(cosine, size - count, axis=1)[:, size - count :]
            found[start : start + step] = top.mean(axis=1, dtype=np.float64)
        return found


def principal_axes(held: sparse.csr_matrix, rng: np.random.Generator) -> Float64:
    """Right singular vectors of the standardised rows, each divided by its singular value: float64 [I, c], c at most 3.

    The product of a standardised row with them gives the row's coefficients in the principal components of accounts,
    for rows outside the log too.
    """
    n_items = held.shape[1]
    share = np.diff(held.indptr) / max(n_items, 1)
    varies = share < 1
    scale = np.where(varies, 1 / np.sqrt(np.where(varies, share - share**2, 1.0)), 0.0)
    count = min(_COMPONENTS, min(held.shape) - 1)
    if count < 1 or np.count_nonzero(varies) < 2:
        return np.zeros((n_items, 0))
    operator = standardised(held.astype(np.float64), share, scale)
    with threadpool_limits(1):
        _, size, right = svds(operator, k=count, v0=rng.standard_normal(min(held.shape)))
    order = np.argsort(-size)
    order = order[size[order] > 1e-6 * max(float(size.max()), 1e-300)]
    axes: Float64 = (right[order] / size[order][:, None]).T
    return axes


def held_by(items: Int32, targets: tuple[int, ...], n_items: int) -> sparse.csr_matrix:
    """Profiles as a 0/1 matrix: fillers int32 [n, m], -1 for none, and the targets -> float32 CSR [n, I]."""
    forced = np.broadcast_to(np.array(targets, np.int32), (len(items), len(targets)))
    whole = np.concatenate([forced, items], axis=1)
    row, column = np.nonzero(whole >= 0)
    ones = np.ones(len(row), np.float32)
    return sparse.csr_matrix((ones, (row, whole[row, column])), shape=(len(items), n_items))


def mixtures(
    log: InteractionLog,
    goal: Goal,
    popular: NDArray[np.bool_],
    count: int,
    config: EvasiveStatisticsConfig,
    rng: np.random.Generator,
) -> tuple[Int32, Int64]:
    """Candidates: fillers from two genuine profiles and the head.

    Candidate n of each run of `config.candidates` takes the share `popular` x n / (candidates - 1) from the head; what
    two short parents lack comes from any events.

    Returns:
        items int32 [count, m] with m = goal.fillers, in the order of a sequence, different within a row; -1 (first in
        the row) where nothing was left. And the events of the log that they are, int64 likewise.
    """
    width, usable = goal.fillers, pool(goal, log.n_items) > 0
    none = np.empty((count, 0), np.int64)
    events, when = parents(log, usable, count, 2 * width, rng)
    share = config.popular * np.linspace(0, 1, config.candidates)
    wanted = np.floor(np.tile(share, count // config.candidates) * width + 0.5)
    known = np.flatnonzero(usable[log.item])
    heads = known[popular[log.item[known]]]
    first, last = (each[rng.integers(len(each), size=(count, width))] if len(each) else none for each in (heads, known))
    first = np.where(np.arange(first.shape[1]) >= wanted[:, None], -1, first)
    early, late = (rng.random(each.shape) * 2 for each in (first, last))
    events = np.concatenate([first, events, last], axis=1)
    when = np.concatenate([early, when, late], axis=1)
    items = without_repeats(np.where(events < 0, -1, log.item[events]).astype(np.int32))
    kept = np.argsort(items < 0, axis=1, kind="stable")[:, :width]
    items, events = np.take_along_axis(items, kept, axis=1), np.take_along_axis(events, kept, axis=1)
    when = np.where(items < 0, -1.0, np.take_along_axis(when, kept, axis=1))
    order = np.argsort(when, axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1), np.take_along_axis(events, order, axis=1)


def parents(
    log: InteractionLog, usable: NDArray[np.bool_], count: int, width: int, rng: np.random.Generator
) -> tuple[Int64, Float64]:
    """Events of two random users for each candidate, in random order, drawn from the two in a random proportion.

    Returns:
        events int64 [count, width], -1 behind the last; and where an event stands: its relative place in its user's
        history, 1 more for the second user.
    """
    counts = log.user_counts
    offsets = np.concatenate([[0], np.cumsum(counts)])
    active = np.flatnonzero(counts)
    one = rng.integers(len(active), size=count)
    other = (one + 1 + rng.integers(max(len(active) - 1, 1), size=count)) % len(active)  # another if there is one
    users = active[np.stack([one, other], axis=1).ravel()]
    lengths = counts[users]
    side = np.repeat(np.arange(2 * count), lengths)
    place = np.arange(len(side)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    event = log.chronological()[offsets[users][side] + place]
    portion = rng.random(count)
    weight = np.stack([portion, 1 - portion], axis=1).ravel()[side]
    keep = usable[log.item[event]]
    side, place, event, weight = side[keep], place[keep], event[keep], weight[keep]
    # exponential keys over weight / length: the two are drawn from in their proportion, whatever their lengths
    key = rng.standard_exponential(len(event)) * lengths[side] / np.maximum(weight, 1e-9)
    order = np.lexsort((key, side // 2))
    row = side[order] // 2
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    order, row, rank = order[rank < width], row[rank < width], rank[rank < width]
    events, when = np.full((count, width), -1, np.int64), np.zeros((count, width))
    events[row, rank] = event[order]
    when[row, rank] = side[order] % 2 + place[order] / lengths[side[order]]
    return events, when
