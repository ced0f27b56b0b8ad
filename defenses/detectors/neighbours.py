"""Detectors by the accounts most like an account: too like or too unlike (DegSim), and near copies."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from ...attacks.detectors import rows
from ...datasets.log import InteractionLog
from ..base import Detector, DetectorConfig, Float64

PAIRS = 4_000_000
"""Pairs of accounts that one block holds at most, unless one row alone has more."""


class DegSimConfig(DetectorConfig):
    """Settings of DegSim."""

    neighbours: int = Field(default=25, ge=1, description="most similar accounts over which similarity is averaged")


class DegSim(Detector):
    """Degree of similarity: abs of the z score of the mean similarity to the k most similar accounts.

    Two-sided, because random fakes lie below genuine users and copies above. Similarity is the cosine of what is held;
    with ratings it is Pearson's correlation with unrated items at the account's mean, so that a pair that
    shares two items cannot reach 1. Blind to fakes as similar to others as genuine users are, such as single
    cuttings of genuine profiles. Short and eccentric genuine users look like random fakes.
    """

    name: ClassVar[str] = "deg-sim"
    title: ClassVar[str] = "Unusual similarity to the nearest accounts"
    reference: ClassVar[str] = "Chirita, Nejdl, Zamfir 2005, Preventing Shilling Attacks in Online Recommenders, WIDM"
    config_type: ClassVar[type[DetectorConfig]] = DegSimConfig

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        active = log.user_counts > 0
        found = np.zeros(log.n_users)
        near = nearness(rows(log)[active], self.config.neighbours, log.value is not None)
        if len(near) and near.std() > 1e-6:  # below that it is rounding
            found[active] = np.abs(near - near.mean()) / near.std()
        return found


class NearCopies(Detector):
    """The largest overlap with another account: max over v of shared items / items of u or v (Jaccard), exact.

    Both sides of a copied profile get it, so a genuine user whose profile was cloned is as suspicious as the clone.
    Blind to fakes that are drawn independently, and to clones cut to a small part of a long profile. Genuine
    accounts with one or two popular items are copies of one another.
    """

    name: ClassVar[str] = "near-copies"
    title: ClassVar[str] = "Largest overlap with another account"
    reference: ClassVar[str] = "recaudit"

    def detect(self, log: InteractionLog, rng: np.random.Generator) -> Float64:
        """See Detector."""
        return overlap(log)


def nearness(held: sparse.csr_matrix, neighbours: int, centred: bool) -> Float64:
    """Mean cosine with the `neighbours` most similar other rows, float64 [n]; 0 for a single row.

    Args:
        held: float64 CSR [n, I], no row without entries.
        neighbours: fewer where there are fewer other rows.
        centred: subtract each row's mean over its entries first; a row of equal entries is then similar to none.
    """
    n = held.shape[0]
    count = min(neighbours, n - 1)
    if count < 1:
        return np.zeros(n)
    lengths = np.diff(held.indptr)
    values = held.data
    if centred:
        values = values - np.repeat(np.asarray(held.sum(axis=1)).ravel() / lengths, lengths)
        values[np.abs(values) < 1e-9] = 0.0
    size = np.sqrt(np.add.reduceat(values**2, held.indptr[:-1]))
    unit = (values / np.repeat(np.maximum(size, 1e-300), lengths)).astype(np.float32)
    left = sparse.csr_matrix((unit, held.indices, held.indptr), shape=held.shape)
    right = left.T.tocsr()
    found = np.empty(n)
    for block in blocks(n):
        cosine = (left[block] @ right).toarray()
        cosine[np.arange(len(cosine)), np.arange(block.start, block.stop)] = -2.0  # never among the nearest
        found[block] = np.partition(cosine, n - count, axis=1)[:, n - count :].mean(axis=1)
    return found


def overlap(log: InteractionLog) -> Float64:
    """Jaccard overlap with the most similar other account, float64 [U] in 0..1; 0 for who shares nothing."""
    left = log.matrix()
    right = left.T.tocsr()
    lengths = np.diff(left.indptr)
    found = np.zeros(log.n_users)
    for block in blocks(log.n_users):
        shared = left[block] @ right
        row = np.repeat(np.arange(block.start, block.stop), np.diff(shared.indptr))
        jaccard = shared.data / (lengths[row] + lengths[shared.indices] - shared.data)
        jaccard[row == shared.indices] = 0.0
        some = np.flatnonzero(np.diff(shared.indptr))
        if len(some):  # reduceat must not meet empty rows
            found[block.start + some] = np.maximum.reduceat(jaccard, shared.indptr[some])
    return found


def blocks(n: int) -> list[slice]:
    """Slices of rows such that a block of rows x n stays within `PAIRS`."""
    step = max(1, PAIRS // max(n, 1))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]
