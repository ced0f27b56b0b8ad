"""The interaction matrix of a log that is read again and again, built once."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from scipy import sparse

from ..datasets.log import InteractionLog

_matrices: WeakKeyDictionary[InteractionLog, sparse.csr_matrix] = WeakKeyDictionary()


def consumed(log: InteractionLog) -> sparse.csr_matrix:
    """`log.matrix()`, kept while the log lives: ranking and item-based scores read it for every block of users.

    Shapes: float32 CSR [U, I] of ones, columns sorted. It is shared: take rows of it, never write to it.
    """
    matrix = _matrices.get(log)
    if matrix is None:
        matrix = _matrices[log] = log.matrix()
    return matrix
