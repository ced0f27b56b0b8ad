"""DegreeSAD: a decision tree on how popular an account's items are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from scipy import sparse

from ...datasets.log import InteractionLog
from ..base import Float64
from ..histories import Histories
from .base import Bool, Judge, Supervised, TreeConfig, held, tree_judge


class DegreeSAD(Supervised):
    """Mean, range and lower quartile of the popularity of an account's items, judged by a decision tree.

    Blind to fakes that hold items as popular as genuine users' are, whatever else they hold.
    """

    name: ClassVar[str] = "degree-sad"
    title: ClassVar[str] = "Decision tree on the popularity of an account's items"
    reference: ClassVar[str] = (
        "Li, Gao, Li, Zeng, Xiong, Yu 2016, Shilling Attack Detection in Recommender Systems via Selecting Patterns "
        "Analysis, IEICE Transactions E99-D"
    )
    config_type: ClassVar[type[TreeConfig]] = TreeConfig

    def learner(self, log: InteractionLog, accounts: Histories, fake: Bool, rng: np.random.Generator) -> Judge:
        """See Supervised."""
        return tree_judge(popularity_features(held(accounts, log.n_items)), fake, self.config)


def popularity_features(rows: sparse.csr_matrix) -> Float64:
    """Mean, range and lower quartile of the popularity of each account's items, float64 [N, 3]; 0 without items.

    The popularity of an item is the number of these accounts that hold it, simulated ones included: counted without
    them, an item that nobody else holds would give a simulated account away. The lower quartile of n values is the one
    at place (n - 1) // 4 of the ascending order, from 0.

    Args:
        rows: CSR [N, I], an entry for each item that an account holds.
    """
    length = np.diff(rows.indptr).astype(np.int64)
    account = np.repeat(np.arange(len(length)), length)
    popularity = np.bincount(rows.indices, minlength=rows.shape[1])[rows.indices].astype(np.float64)
    popularity = popularity[np.lexsort((popularity, account))]
    found = np.zeros((len(length), 3))
    some = length > 0
    first, size = rows.indptr[:-1][some], length[some]
    found[some, 0] = np.bincount(account, popularity, len(length))[some] / size
    found[some, 1] = popularity[first + size - 1] - popularity[first]
    found[some, 2] = popularity[first + (size - 1) // 4]
    return found
