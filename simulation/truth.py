"""What the simulated users like: a preference model fitted once, which never changes during a simulation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..datasets.errors import DataError
from ..datasets.log import Float32, Int32, Int64, InteractionLog
from ..datasets.seeding import derive, rng
from ..recommenders.ials import IALS, IALSConfig
from ..recommenders.sampling import Positives

Float64 = NDArray[np.float64]

VERSION = 1
"""Part of every cell's key: raise it when the preferences change."""
FEWEST = 100
"""Events below which no preferences are fitted."""
_DIM = 32
_HELD_OUT = 0.1
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Truth:
    """Preferences of all users for all items, as vectors and a logistic of their products.

    Attributes:
        users: float32 [U, d].
        items: float32 [I, d].
        slope: a of the log odds a x + b of a product x.
        intercept: b.
    """

    users: Float32
    items: Float32
    slope: float
    intercept: float

    def logits(self, items: Int32) -> Float64:
        """Log odds that user u likes the items of row u, in blocks of users.

        Shapes: int32 [U, K] (-1 for none) -> float64 [U, K] (-inf for none).
        """
        found = np.full(items.shape, -np.inf)
        for rows in _blocks(len(items)):
            near = self.items[np.maximum(items[rows], 0)]
            found[rows] = self.slope * np.einsum("ud,ukd->uk", self.users[rows], near) + self.intercept
        found[items < 0] = -np.inf
        return found


def fit_truth(log: InteractionLog, seed: int) -> Truth:
    """Vectors by iALS of all genuine events, and a logistic that was calibrated on events its model had not seen.

    A tenth of the events is left out of a first fit. The logistic regression tells these pairs from as many pairs of
    the same users that are in no event: odds of one to one for an item about which nothing is known. Its slope and
    intercept are then used with the vectors of a fit to all events, so that what a user has in the log, the held-out
    test events too, is liked about as surely as such a model can say.

    Args:
        log: training, validation and test events of the genuine users, no injected account.
        seed: of both fits and all draws.

    Raises:
        DataError: fewer than `FEWEST` events.
    """
    if len(log) < FEWEST:
        raise DataError(f"the log has {len(log)} events; preferences cannot be fitted to fewer than {FEWEST}")
    seen = Positives.of(log)
    left_out = rng(seed, "truth", "left out").random(len(log)) < _HELD_OUT
    part = log.without(left_out)
    first = _vectors(part, derive(seed, "truth", "first"))
    held = log.take(left_out & ~np.isin(log.pair_keys, part.pair_keys))
    if not len(held):
        raise DataError("no event of the log could be left out to calibrate preferences; all pairs repeat")
    user = held.user.astype(np.int64)
    absent = seen.unseen(rng(seed, "truth", "absent"), user)
    slope, intercept = calibrated(_products(first, user, held.item), _products(first, user, absent))
    vectors = _vectors(log, derive(seed, "truth", "all"))
    return Truth(*vectors, slope, intercept)


def calibrated(liked: Float64, others: Float64) -> tuple[float, float]:
    """Slope and intercept of a logistic regression that tells products of liked pairs from those of others.

    With a weak ridge (C = 1 on standardised products), so that classes without an overlap have an answer.

    Shapes: float64 [N], float64 [M].
    """
    from sklearn.linear_model import LogisticRegression

    products = np.concatenate([liked, others])
    centre, spread = float(products.mean()), float(products.std()) or 1.0
    labels = np.repeat([1, 0], [len(liked), len(others)])
    model = LogisticRegression(C=1.0).fit(((products - centre) / spread)[:, None], labels)
    slope = float(model.coef_[0, 0]) / spread
    return slope, float(model.intercept_[0]) - slope * centre


def _vectors(log: InteractionLog, seed: int) -> tuple[Float32, Float32]:
    model = IALS(IALSConfig.model_validate({"dim": _DIM}))
    model.fit(log, seed)
    return model.embeddings()


def _products(vectors: tuple[Float32, Float32], user: Int64, item: NDArray[np.integer]) -> Float64:
    found: Float64 = np.einsum("nd,nd->n", vectors[0][user], vectors[1][item]).astype(np.float64)
    return found


def _blocks(rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, rows, _ROWS))
