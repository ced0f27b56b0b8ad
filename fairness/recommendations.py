"""What every measure reads: the lists, the relevance, and the exposure that is counted once for all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64
from ..recommenders.metrics import find_hits
from .value import Float64, Value

GAMMA = 0.8
"""Patience of rank-biased precision: rank r is looked at with probability GAMMA ** (r - 1)."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """How much each item is shown, in one pass over the lists. Exposures of disjoint blocks of users add up.

    Attributes:
        count: c, int64 [n], times item i stands in a list; n is the catalogue, not the items seen.
        dcg: float64 [n], the same with weight 1 / log2(rank + 1).
        rbp: float64 [n], the same with weight GAMMA ** (rank - 1).
        filled: int64 [k], lists that have an item at each rank.
        n_lists: m, the number of users with a list.
    """

    count: Int64
    dcg: Float64
    rbp: Float64
    filled: Int64
    n_lists: int

    @classmethod
    def of(cls, lists: Int32, n_items: int, weights: Int64 | None = None) -> Exposure:
        """Count lists over a catalogue.

        Args:
            lists: int32 [m, k], best first, -1 for an empty place.
            n_items: n.
            weights: int64 [m], how often each user counts; None for once.

        Raises:
            InputError: an item outside 0..n-1.
        """
        _check_range(lists, n_items)
        count = np.zeros(n_items, np.int64)
        dcg, rbp = np.zeros(n_items), np.zeros(n_items)
        filled = np.zeros(lists.shape[1], np.int64)
        for place, items in enumerate(np.ascontiguousarray(lists.T)):
            # shifted by one, empty places fall on 0
            here = np.bincount(items + 1, weights, minlength=n_items + 1)[1:].astype(np.int64)
            count += here
            dcg += here / np.log2(place + 2)
            rbp += here * GAMMA**place
            filled[place] = here.sum()
        return cls(count, dcg, rbp, filled, len(lists) if weights is None else int(weights.sum()))

    def __add__(self, other: Exposure) -> Exposure:
        """The exposure of both blocks of users together."""
        if (self.n, self.k) != (other.n, other.k):
            raise InputError("exposures of different catalogues or list lengths cannot be added")
        return Exposure(
            self.count + other.count,
            self.dcg + other.dcg,
            self.rbp + other.rbp,
            self.filled + other.filled,
            self.n_lists + other.n_lists,
        )

    @property
    def n(self) -> int:
        """Items in the catalogue."""
        return len(self.count)

    @property
    def k(self) -> int:
        """Length of the lists."""
        return len(self.filled)

    @property
    def slots(self) -> int:
        """s, the places that were filled; m k where every list is full."""
        return int(self.filled.sum())

    @property
    def even(self) -> tuple[int, int]:
        """(f, r): with the fairest lists, r items are shown f + 1 times and n - r items f times."""
        return divmod(self.slots, self.n)

    @property
    def full(self) -> bool:
        """Whether every place of every list is filled."""
        return self.k > 0 and self.slots == self.n_lists * self.k

    @property
    def no_range(self) -> str:
        """Why fairest and unfairest lists do not differ, or are not those the corrections assume; "" if all is well.

        Decided on integers: a quotient of two roundings would come out as 0 or 1.
        """
        m, n, k = self.n_lists, self.n, self.k
        if k >= n:
            return f"lists of {k} hold the whole catalogue of {n} items: every choice of lists is equally fair"
        if not self.full:
            return f"some of the {m} lists are shorter than {k}; lower the cut-off"
        if m == 1:
            return "one user: the fairest list is also the unfairest"
        return ""


@dataclass(frozen=True, eq=False)
class Relevance:
    """What was relevant to whom; lists of several systems may share it.

    Attributes:
        cells: CSR [m, n] with sorted indices; a stored cell is relevant, its value the grade.
        ranks: int64 [nnz], the rank (from 1) of each cell in the user's full ranking, or None.
        consumed: CSR [m, n], items that cannot be recommended to a user, or None if unknown.
    """

    cells: sparse.csr_matrix
    ranks: Int64 | None = None
    consumed: sparse.csr_matrix | None = None

    @cached_property
    def sizes(self) -> Int64:
        """R, int64 [m], relevant items of each user.

        Raises:
            InputError: relevance is graded.
        """
        if (self.cells.data != 1).any():
            raise InputError("this measure needs binary relevance: give 1 for every relevant item, or no grade at all")
        return np.diff(self.cells.indptr).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Lists, and what was relevant to whom. Build it with `of`, which checks.

    Attributes:
        lists: int32 [m, k], best first, -1 for an empty place behind the others.
        n_items: n, the size of the catalogue.
        relevance: what is relevant to whom; None if unknown.
        hits: bool [m, k], whether the listed item is relevant; None without relevance.
        weights: int64 [m], how often each user counts (a bootstrap sample); None for once.
        counted: the exposure under these weights where it is known already, else None.
    """

    lists: Int32
    n_items: int
    relevance: Relevance | None = None
    hits: NDArray[np.bool_] | None = None
    weights: Int64 | None = None
    counted: Exposure | None = None

    @classmethod
    def of(
        cls,
        lists: Int32,
        n_items: int,
        relevant: sparse.csr_matrix | None = None,
        ranks: Int64 | None = None,
        consumed: sparse.csr_matrix | None = None,
    ) -> Recommendations:
        """Check and keep.

        Args:
            lists: int32 [m, k], best first, -1 for an empty place behind the others.
            n_items: n.
            relevant: [m, n], grades above 0; 1 where relevance is binary.
            ranks: int64 [nnz], in the order of `relevant`'s cells; needs sorted indices then.
            consumed: [m, n], items that cannot be recommended to a user.

        Raises:
            InputError: no list, an item outside the catalogue or twice in a list, relevance of another shape, a grade
                that is not a finite positive number, ranks that do not fit, an item relevant to a user who consumed it.
        """
        lists = np.asarray(lists, np.int32)
        if lists.ndim != 2 or not lists.size:
            raise InputError("there is no recommendation list to measure")
        _check_range(lists, n_items)
        _check_unique(lists)
        if relevant is None:
            return cls(lists, n_items)
        if relevant.shape != (len(lists), n_items):
            raise InputError(f"relevance of shape {relevant.shape}, but {len(lists)} lists over {n_items} items")
        if ranks is None:
            relevant = relevant.tocsr(copy=True)
            relevant.sum_duplicates()
            relevant.eliminate_zeros()
        if len(relevant.data) and not (np.isfinite(relevant.data).all() and (relevant.data > 0).all()):
            raise InputError("relevance holds grades that are negative or not finite; use 1 for relevant items")
        if ranks is not None:
            _check_ranks(ranks, relevant)
        if consumed is not None and relevant.multiply(consumed).nnz:
            raise InputError("some items are relevant to a user who consumed them; drop them from one of the two")
        return cls(lists, n_items, Relevance(relevant, ranks, consumed), find_hits(lists, relevant))

    def with_lists(self, lists: Int32) -> Recommendations:
        """Another system's lists for the same users, items and relevance; raises InputError as `of`."""
        other = Recommendations.of(lists, self.n_items)
        if self.relevance is None:
            return other
        if len(other.lists) != len(self.lists):
            raise InputError(f"{len(other.lists)} lists for {len(self.lists)} users")
        return replace(other, relevance=self.relevance, hits=find_hits(other.lists, self.relevance.cells))

    @property
    def k(self) -> int:
        """Length of the lists."""
        return int(self.lists.shape[1])

    @cached_property
    def exposure(self) -> Exposure:
        """How much each item is shown."""
        return self.counted or Exposure.of(self.lists, self.n_items, self.weights)

    @property
    def relevant(self) -> sparse.csr_matrix | None:
        """The relevant cells with their grades, CSR [m, n], or None."""
        return None if self.relevance is None else self.relevance.cells

    @property
    def n_relevant(self) -> Int64:
        """R, int64 [m], relevant items of each user.

        Raises:
            InputError: the measure needs binary relevance and there is none, or it is graded.
        """
        if self.relevance is None:
            raise InputError("this measure needs to know which items are relevant to whom")
        return self.relevance.sizes

    @property
    def judged(self) -> tuple[sparse.csr_matrix, NDArray[np.bool_]]:
        """(relevant, hits); raises InputError without binary relevance."""
        _ = self.n_relevant
        assert self.relevance is not None and self.hits is not None
        return self.relevance.cells, self.hits

    @property
    def n_users(self) -> int:
        """m, users counted as often as their weights say."""
        return len(self.lists) if self.weights is None else int(self.weights.sum())

    def item_sum(self, per_user: Float64) -> Float64:
        """For each item the sum of a value over the users to whom it is relevant: float64 [m] -> [n]."""
        relevant, _ = self.judged
        value = per_user if self.weights is None else per_user * self.weights
        return np.asarray(
            np.bincount(relevant.indices, np.repeat(value, self.n_relevant), minlength=self.n_items), np.float64
        )

    def mean(self, per_user: Float64, defined: NDArray[np.bool_] | None = None) -> Value:
        """The mean over users, float64 [m] -> Value; over those where `defined`, and how many they are."""
        if defined is None:
            return Value(float(np.average(per_user, weights=self.weights)))
        weights = None if self.weights is None else self.weights[defined]
        count = int(defined.sum()) if weights is None else int(weights.sum())
        if not count:
            return Value.undefined("no user has relevant items whose place in the list could make a difference")
        return Value(float(np.average(per_user[defined], weights=weights)), users=count)


def _check_range(lists: Int32, n_items: int) -> None:
    if lists.size and (int(lists.min()) < -1 or int(lists.max()) >= n_items):
        raise InputError(f"recommendation lists hold items outside 0..{n_items - 1}, the catalogue")


def _check_unique(lists: Int32) -> None:
    ordered = np.sort(lists, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        raise InputError(f"{int(twice.sum())} lists hold an item twice, the first is list {int(twice.argmax())}")


def _check_ranks(ranks: Int64, relevant: sparse.csr_matrix) -> None:
    if ranks.shape != (relevant.nnz,) or not relevant.has_sorted_indices:
        raise InputError(f"{len(ranks)} full ranks for {relevant.nnz} relevant items in sorted order")
    if len(ranks) and (int(ranks.min()) < 1 or int(ranks.max()) > relevant.shape[1]):
        raise InputError(f"full ranks outside 1..{relevant.shape[1]}")


def lorenz(exposure: Exposure, points: int = 101) -> list[tuple[float, float]]:
    """The Lorenz curve: share of exposure that the least shown share of items gets.

    Returns:
        (share of items, share of exposure) pairs from (0, 0) to (1, 1), at most `points`.
    """
    ascending = np.concatenate([[0], np.cumsum(np.sort(exposure.count))])
    at = np.unique(np.linspace(0, exposure.n, min(points, exposure.n + 1)).astype(int))
    total = max(exposure.slots, 1)
    return [(float(j / exposure.n), float(ascending[j] / total)) for j in at]
