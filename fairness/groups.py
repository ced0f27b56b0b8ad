"""Groups of items: by a column of the item table, or by popularity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import Int64
from .value import Float64

UNKNOWN = "unknown"
BUCKETS = ("head", "middle", "tail")
_ENDS = 0.1, 0.5  # ends of head and middle in the popularity ranking, as in the choice of attack targets


@dataclass(frozen=True, eq=False)
class Groups:
    """Who belongs to what. An item in several groups shares itself among them.

    Attributes:
        names: [g], each once.
        membership: float64 CSR [n, g], shares of 0..1; a row sums to 1, or to 0 where the item is to be left out.
    """

    names: tuple[str, ...]
    membership: sparse.csr_matrix

    def __post_init__(self) -> None:
        """Check what the measures rely on.

        Raises:
            InputError: names that repeat or do not fit the matrix, or rows that sum to neither 1 nor 0.
        """
        if len(set(self.names)) != len(self.names) or len(self.names) != self.membership.shape[1]:
            raise InputError(f"{self.membership.shape[1]} groups of items need as many different names: {self.names}")
        total = np.asarray(self.membership.sum(axis=1)).ravel()
        if (self.membership.data < 0).any() or not (np.isclose(total, 1) | (total == 0)).all():
            raise InputError("the shares of an item in its groups must be 0..1 and sum to 1, or to 0 for no group")

    @property
    def n_items(self) -> int:
        """Items in the catalogue, n."""
        return int(self.membership.shape[0])

    @property
    def sizes(self) -> Float64:
        """Items in each group, float64 [g]; not whole where items are in several."""
        return np.asarray(self.membership.sum(axis=0), np.float64).ravel()

    @property
    def alone(self) -> str:
        """Why there is nothing to compare, "" if at least two groups hold items."""
        return "" if np.count_nonzero(self.sizes) > 1 else "fewer than two groups hold items: nothing to compare"

    def shares(self, per_item: Float64 | Int64) -> Float64:
        """Each group's share of a sum over items: [n] -> float64 [g], sums to 1; NaN if the sum is 0."""
        found = np.asarray(self.membership.T @ per_item.astype(np.float64), np.float64)
        return found / found.sum() if found.sum() else np.full(len(self.names), np.nan)


def column_groups(column: Iterable[object], separator: str | None = "|", keep_unknown: bool = True) -> Groups:
    """Groups from a column of the item table, in the order of their names.

    Args:
        column: [n], text; also numbers or lists of text. Missing and empty entries are unknown.
        separator: between the groups of one item, as in "Action|Comedy"; None if text is one group whatever it holds.
        keep_unknown: make items without a group, or with one called "unknown" alone, the group "unknown", the last.
            False leaves them out of every share.
    """
    hashable = [tuple(entry) if isinstance(entry, list | np.ndarray) else entry for entry in column]
    codes, entries = pd.factorize(pd.Series(hashable, dtype=object))
    labels = [_labels(entry, separator) for entry in entries]
    unknown = {UNKNOWN} if keep_unknown else set()
    labels = [own - {UNKNOWN} or unknown for own in labels] + [unknown]  # code -1, a missing entry, is the last row
    names = sorted(set().union(*labels), key=lambda name: (name == UNKNOWN, name))
    place = {name: at for at, name in enumerate(names)}
    flat = [place[name] for own in labels for name in sorted(own)]
    ends = np.cumsum([0] + [len(own) for own in labels])
    shares = np.repeat(1 / np.maximum(np.diff(ends), 1), np.diff(ends))
    table = sparse.csr_matrix((shares, flat, ends), shape=(len(labels), len(names)))
    membership = table[np.where(codes < 0, len(entries), codes)]
    # the last row makes "unknown" a group even if no item is in it
    used = np.flatnonzero(membership.getnnz(axis=0))
    return Groups(tuple(names[at] for at in used), sparse.csr_matrix(membership[:, used]))


def _labels(entry: object, separator: str | None) -> set[str]:
    if isinstance(entry, tuple):
        parts = [str(part) for part in entry if not pd.isna(part)]
    elif isinstance(entry, float) and entry.is_integer():
        parts = [str(int(entry))]  # whole numbers are floats in a column with gaps
    else:
        parts = str(entry).split(separator) if separator else [str(entry)]
    return {part.strip() for part in parts} - {""}


def popularity_buckets(counts: Int64) -> Groups:
    """Head: the 10 % most popular of the items with training events; middle: the next 40 %; tail: all others.

    The shares are those of the attack targets (which call the last stratum cold and want two events of it). Items of
    equal popularity on both sides of an end share the places between them, so that their numbering decides nothing.

    Args:
        counts: int64 [n], training events of each item.

    Raises:
        InputError: a count below 0.
    """
    if len(counts) and counts.min() < 0:
        raise InputError("popularity counts events: no item can have fewer than 0")
    levels, codes, sizes = np.unique(-counts, return_inverse=True, return_counts=True)
    ranked = np.count_nonzero(counts)
    head, middle = (int(np.floor(ranked * share + 0.5)) for share in _ENDS)
    last = np.cumsum(sizes)[:, None]
    first = last - sizes[:, None]
    low, high = np.array([0, head, middle]), np.array([head, middle, len(counts)])
    table = np.maximum(np.minimum(last, high) - np.maximum(first, low), 0) / sizes[:, None]
    table[levels == 0] = (0, 0, 1)
    return Groups(BUCKETS, sparse.csr_matrix(sparse.csr_matrix(table)[codes]))


def as_distribution(values: Float64, n_groups: int) -> Float64:
    """A target over groups scaled to sum 1, float64 [g]; raises InputError if it cannot be one."""
    values = np.asarray(values, np.float64)
    if values.shape != (n_groups,) or not np.isfinite(values).all() or (values < 0).any() or not values.sum():
        raise InputError(f"a target needs {n_groups} shares, one per group, none negative and not all 0")
    return np.asarray(values / values.sum(), np.float64)
