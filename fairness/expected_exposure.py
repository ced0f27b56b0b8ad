"""Expected exposure: what each item gets over sampled rankings, against equal exposure within a relevance grade."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64
from .measure import Measure
from .recommendations import GAMMA, Recommendations
from .value import Float64, Value

_BLOCK = 1 << 22  # (user, place) or (user, group) pairs held at a time


@dataclass(frozen=True, eq=False)
class ExpectedExposure:
    """EE-D, EE-R and EE-L of each user; in the group form with groups in place of items.

    Attributes:
        disparity: EE-D = ||eps||^2, float64 [m], above 0; lower is more equal.
        relevance: EE-R = eps . eps*, float64 [m]; higher is better.
        target: ||eps*||^2, float64 [m], fixed by the relevance.
        samples: S, rankings per user.
    """

    disparity: Float64
    relevance: Float64
    target: Float64
    samples: int

    @property
    def loss(self) -> Float64:
        """EE-L = ||eps - eps*||^2 = EE-D - 2 EE-R + ||eps*||^2, float64 [m]; 0 = every item gets what it should."""
        return np.maximum(self.disparity - 2 * self.relevance + self.target, 0)  # they may cancel to just below 0

    def means(self, weights: Int64 | None = None) -> dict[str, Value]:
        """Means over users of "ee_d", "ee_r" and "ee_l"; weights int64 [m] say how often each user counts."""
        if weights is not None and not weights.any():
            return dict.fromkeys(("ee_d", "ee_r", "ee_l"), Value.undefined("no user is counted"))
        each = {"ee_d": self.disparity, "ee_r": self.relevance, "ee_l": self.loss}
        return {name: Value(float(np.average(value, weights=weights))) for name, value in each.items()}


def expected_exposure(
    lists: Int32, relevant: sparse.csr_matrix, members: sparse.csr_matrix | None = None
) -> ExpectedExposure:
    """Expected exposure of items, or of groups of items, for each user.

    The user model is rank-biased precision: eps_i is the mean over samples of GAMMA ** (rank - 1), 0 beyond k. The
    target eps* is that of a uniformly drawn ideal ordering of all n items: an item gets the mean of
    GAMMA ** (rank - 1) over the ranks its grade takes up. Items without a judgement are the lowest grade; a user
    without any relevant item therefore has one grade, and the target is even over all n items.
    Takes O(S m k + nnz log nnz), plus O(m g) in the group form.

    Args:
        lists: int32 [S, m, k] rankings sampled for each user, or [m, k] for one; best first, -1 for an empty place.
        relevant: CSR [m, n], grades above 0 (1 where relevance is binary).
        members: CSR [n, g], at least 0, how much of an item belongs to a group. With it eps and eps* are summed over
            a group's items before anything is squared; items without a group are left out.

    Raises:
        InputError: shapes that do not fit, items outside the catalogue or twice in a list, bad grades or memberships.

    Source: Diaz, Mitra, Ekstrand, Biega, Carterette: Evaluating Stochastic Rankings with Expected Exposure, CIKM 2020
        (arXiv 2004.13157): metric, split into EE-D and EE-R, target under the RBP user model, group exposure.
    """
    samples = np.asarray(lists, np.int32)
    samples = samples[None] if samples.ndim == 2 else samples
    if samples.ndim != 3 or not samples.size:
        raise InputError("expected exposure needs lists of shape [users, k] or [samples, users, k]")
    n = relevant.shape[1]
    judged = Recommendations.of(samples[0], n, relevant).relevant
    for other in samples[1:]:
        Recommendations.of(other, n)
    if members is not None and (members.shape[0] != n or not ((members.data >= 0) & (members.data < np.inf)).all()):
        raise InputError(f"group membership must have a row for each of {n} items, finite and at least 0")
    return _measure(samples, judged, members)


def _measure(
    samples: Int32, relevant: sparse.csr_matrix | None, members: sparse.csr_matrix | None = None
) -> ExpectedExposure:
    if relevant is None:
        raise InputError("this measure needs to know which items are relevant to whom")
    n_samples, m, k = samples.shape
    parts = np.empty((3, m))
    step = max(1, _BLOCK // max(n_samples * k, members.shape[1] if members is not None else 1))
    for start in range(0, m, step):
        block = slice(start, start + step)
        exposure = _exposure(samples[:, block], relevant.shape[1])
        base, above, norm = _target(relevant[block])
        if members is None:
            parts[0, block] = _row_sum(exposure.multiply(exposure))
            parts[1, block] = base * _row_sum(exposure) + _row_sum(exposure.multiply(above))
            parts[2, block] = norm
        else:
            got = (exposure @ members).toarray()
            due = np.outer(base, members.sum(axis=0)) + (above @ members).toarray()
            parts[:, block] = [np.einsum("ug,ug->u", a, b) for a, b in ((got, got), (got, due), (due, due))]
    return ExpectedExposure(parts[0], parts[1], parts[2], n_samples)


def _exposure(samples: Int32, n_items: int) -> sparse.csr_matrix:
    """The eps of a block of users: int32 [S, b, k] -> CSR [b, n]."""
    n_samples, b, k = samples.shape
    items = samples.transpose(1, 0, 2).reshape(b, -1)
    seen = np.broadcast_to(np.tile(GAMMA ** np.arange(k) / n_samples, n_samples), items.shape)
    filled = items >= 0
    ends = np.concatenate([[0], np.cumsum(filled.sum(axis=1))])
    exposure = sparse.csr_matrix((seen[filled], items[filled], ends), shape=(b, n_items))
    exposure.sum_duplicates()
    return exposure


def _target(relevant: sparse.csr_matrix) -> tuple[Float64, sparse.csr_matrix, Float64]:
    """(eps* of a user's unjudged items [b], what judged items get beyond that as CSR [b, n], ||eps*||^2 [b])."""
    b, n = relevant.shape
    n_relevant = np.diff(relevant.indptr).astype(np.int64)
    unjudged = n - n_relevant
    base = (GAMMA**n_relevant - GAMMA**n) / ((1 - GAMMA) * np.maximum(unjudged, 1))
    row = np.repeat(np.arange(b), n_relevant)
    grades = relevant.data.astype(np.float64)  # unsigned grades have no negative
    order = np.lexsort((-grades, row))
    grade = grades[order]
    # cells now stand in ideal order within a user; a run of equal grades shares the ranks it takes up
    heads = np.ones(len(grade), bool)
    heads[1:] = (row[1:] != row[:-1]) | (grade[1:] != grade[:-1])
    start = np.flatnonzero(heads)
    size = np.diff(np.append(start, len(grade)))
    share = GAMMA ** (start - relevant.indptr[row[start]]) * (1 - GAMMA**size) / ((1 - GAMMA) * size)
    each = np.empty(len(grade))
    each[order] = np.repeat(share, size)
    norm = np.bincount(row, each**2, minlength=b) + unjudged * base**2
    above = sparse.csr_matrix((each - base[row], relevant.indices, relevant.indptr), shape=(b, n))
    return base, above, norm


def _row_sum(matrix: sparse.csr_matrix) -> Float64:
    return np.asarray(matrix.sum(axis=1), np.float64).ravel()


def disparity(data: Recommendations) -> Value:
    """Mean EE-D of fixed lists: the sum of GAMMA ** (2 (rank - 1)) over filled places, whatever stands there."""
    return data.mean((data.lists >= 0) @ GAMMA ** (2.0 * np.arange(data.k)))


def relevance(data: Recommendations) -> Value:
    """Mean EE-R of fixed lists; grades allowed. Raises InputError without relevance."""
    return data.mean(_measure(data.lists[None], data.relevant).relevance)


def loss(data: Recommendations) -> Value:
    """Mean EE-L of fixed lists; grades allowed. Raises InputError without relevance."""
    return data.mean(_measure(data.lists[None], data.relevant).loss)


_PER_USER = "It looks at each user alone: an item starved in everybody's lists does not stand out."

EE_D = Measure(
    slug="ee_d",
    symbol="EE-D",
    title="Expected exposure disparity",
    direction="down",
    needs="lists",
    original=disparity,
    corrected=None,
    ends=lambda m, n, k: ((1 - GAMMA ** (2 * k)) / (1 - GAMMA**2),) * 2,
    source="Diaz et al., Evaluating Stochastic Rankings with Expected Exposure, CIKM 2020 (arXiv 2004.13157), with RBP",
    meaning="How unequally expected exposure is spread over the items, for each user, whatever their relevance.",
    limits=("A constant for full fixed lists.", _PER_USER),
    caution="With one fixed ranking per user EE-D is a constant, as II-D is: EE-L then falls only as EE-R rises, so "
    "both say how relevant the lists are, not how fairly exposure is shared. Sample rankings to measure fairness.",
)
_JUDGED = replace(EE_D, needs="relevance", ends=None)

EE_R = replace(
    _JUDGED,
    slug="ee_r",
    symbol="EE-R",
    title="Expected exposure relevance",
    direction="up",
    original=relevance,
    meaning="How much of the exposure goes to items in proportion to what their relevance grade is due.",
    limits=("Its range depends on each user's number of relevant items.", _PER_USER),
)

EE_L = replace(
    _JUDGED,
    slug="ee_l",
    symbol="EE-L",
    title="Expected exposure loss",
    original=loss,
    meaning="Squared distance between the exposure items get and equal exposure within each relevance grade.",
    limits=("0 needs k = n: the target has exposure beyond rank k.", "Unjudged items are the lowest grade.", _PER_USER),
)
