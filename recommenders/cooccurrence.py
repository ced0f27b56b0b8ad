"""Weighted co-occurrence of items, a block of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from ..datasets.log import Float32
from .sampling import Positives


def cooccurrence(pairs: Positives, block: int = 512) -> Iterator[tuple[slice, Float32]]:
    """Rows of X'WX: how much weight of users has both items; the diagonal holds the items' own weight.

    Args:
        pairs: who has what, with the users' weights.
        block: rows at a time.

    Yields:
        The rows and their values, float32 [b, I].
    """
    shape = (pairs.n_users, pairs.n_items)
    ones = np.ones(len(pairs), np.float32)
    plain = sparse.csr_matrix((ones, (pairs.user, pairs.item)), shape)
    values = ones if pairs.weight is None else pairs.weight
    turned = sparse.csr_matrix((values, (pairs.item, pairs.user)), shape[::-1])
    for start in range(0, pairs.n_items, block):
        rows = slice(start, min(start + block, pairs.n_items))
        yield rows, (turned[rows] @ plain).toarray()
