"""Disparity of utility between groups of users: is the model as good for everybody?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Int64
from ..datasets.seeding import rng
from .groups import column_groups
from .value import Float64, Value

OTHER = "other (small groups)"
FLOOR = 5
"""Users that a group must have for its mean to be told: fewer would tell of persons."""


@dataclass(frozen=True)
class GroupUtility:
    """Utility of one group of users.

    Attributes:
        name: value of the column; "unknown" where it is missing.
        users: users with a value of the measure, by weight.
        mean: their mean; undefined if they are fewer than the floor.
        standard_error: of the mean, standard deviation / sqrt(users); None for fewer than two users or no mean.
    """

    name: str
    users: int
    mean: Value
    standard_error: float | None


@dataclass(frozen=True)
class UtilityDisparity:
    """How utility differs between groups of users. Only groups with a mean are compared.

    Attributes:
        groups: by name, the merged small groups last.
        gap: largest less smallest mean, 0 and more.
        ratio: smallest over largest mean, 0..1, 1 = parity; undefined if a mean is negative or all are 0.
        worst: name of the group with the smallest mean (the first by name of several); "" if undefined.
        best: the same of the largest mean.
        p_value: chance of a gap at least as large if group and utility had nothing to do with each other, over
            permutations of the users, in 1 / (permutations + 1) .. 1. Many small groups make large gaps by chance:
            read the gap beside it.
        left_out: users without a value of the measure, by weight.
        merged: groups below the floor that went into "other (small groups)".
    """

    groups: tuple[GroupUtility, ...]
    gap: Value
    ratio: Value
    worst: str
    best: str
    p_value: Value
    left_out: int
    merged: int


def utility_disparity(
    values: Float64,
    column: Iterable[object],
    weights: Int64 | None = None,
    floor: int = FLOOR,
    permutations: int = 999,
    seed: int = 0,
) -> UtilityDisparity:
    """Compare a measure of utility, such as NDCG@20, between the groups of a column of the user table.

    Groups of fewer users than the floor become one, "other (small groups)"; where even that has too few, its mean is
    withheld and takes no part. This hides persons in the table, not from someone who subtracts it from a published
    mean over all users. O(m (permutations + log m)) time, O(m) memory.

    Args:
        values: float64 [m], NaN for users in whom the measure is undefined.
        column: [m], text or numbers; each value a group, missing ones "unknown".
        weights: int64 [m], how often each user counts; None for once.
        floor: users that a group must have, at least 1.
        permutations: of users among groups; a user moves with all its weight. 0 for no p-value.
        seed: of the permutations.

    Raises:
        InputError: lengths that differ, an infinite value, a floor below 1.

    Sources: Ekstrand et al. 2018, All The Cool Kids, How Do They Fit In?, FAT* (utility by demographic group);
    Li, Chen, Fu, Ge, Zhang 2021, User-oriented Fairness in Recommendation, WWW (difference of group means); Phipson,
    Smyth 2010, Permutation P-values Should Never Be Zero, Stat. Appl. Genet. Mol. Biol. 9(1).
    """
    grouped = column_groups(column, separator=None)
    users = np.ones(len(values), np.int64) if weights is None else weights
    if not len(values) == grouped.n_items == len(users):
        raise InputError(f"{len(values)} values of the measure, {grouped.n_items} rows of the column, {len(users)} "
                         "weights: there must be one of each for every user")  # fmt: skip
    if floor < 1 or np.isinf(values).any():
        raise InputError(f"the floor of users must be at least 1 (got {floor}), and no utility infinite")
    known = ~np.isnan(values) & (users > 0)
    left_out = int(users[np.isnan(values)].sum())
    values, users, codes = values[known], users[known], grouped.membership.indices[known].astype(np.int64)
    counts = np.bincount(codes, users, minlength=len(grouped.names))
    small = (counts > 0) & (counts < floor)
    kept = np.flatnonzero(counts >= floor)
    names = [grouped.names[at] for at in kept]
    renumber = np.full(len(counts), len(kept))
    renumber[kept] = np.arange(len(kept))
    codes = renumber[codes]
    if small.any():
        names.append(OTHER)
    told = tuple(_group(name, values[codes == at], users[codes == at], floor) for at, name in enumerate(names))
    compared = [group for group in told if group.mean.value is not None]
    if len(compared) < 2:
        none = Value.undefined(f"fewer than two groups have {floor} users or more: nothing to compare")
        return UtilityDisparity(told, none, none, "", "", none, left_out, int(small.sum()))
    means = [group.mean.value for group in compared if group.mean.value is not None]
    low, high = min(means), max(means)
    if low < 0:
        ratio = Value.undefined("a group has a negative mean: a ratio says nothing")
    else:
        ratio = Value(low / high) if high else Value.undefined("no group has any utility")
    inside = codes < len(compared)  # a withheld group is the last
    p_value = _p_value(values[inside], users[inside], codes[inside], permutations, seed)
    return UtilityDisparity(
        groups=told,
        gap=Value(high - low),
        ratio=ratio,
        worst=compared[means.index(low)].name,
        best=compared[means.index(high)].name,
        p_value=p_value,
        left_out=left_out,
        merged=int(small.sum()),
    )


def _group(name: str, values: Float64, users: Int64, floor: int) -> GroupUtility:
    count = int(users.sum())
    if count < floor:
        return GroupUtility(name, count, Value.undefined(f"fewer than {floor} users: not told, for privacy"), None)
    mean = float(np.average(values, weights=users))
    error = None
    if count > 1:
        variance = float(users @ np.square(values - mean)) / (count - 1)
        error = float(np.sqrt(variance / count))
    return GroupUtility(name, count, Value(mean, users=count), error)


def _p_value(values: Float64, users: Int64, codes: Int64, permutations: int, seed: int) -> Value:
    if permutations < 1:
        return Value.undefined("no permutations were asked for")
    # users in an order of their own, so that their numbering does not change the draws
    order = np.lexsort((users, values, codes))
    weighted, users, codes = (values * users)[order], users[order], codes[order]
    groups = int(codes.max()) + 1

    def gap(labels: Int64) -> float:
        means = np.bincount(labels, weighted, groups) / np.bincount(labels, users, groups)
        return float(means.max() - means.min())

    observed = gap(codes)
    generator = rng(seed, "utility-disparity")
    # a hair of tolerance: sums in another order must still count as equal
    slack = 1e-12 * max(1.0, abs(observed))
    reached = sum(gap(generator.permutation(codes)) >= observed - slack for _ in range(permutations))
    return Value((reached + 1) / (permutations + 1))
