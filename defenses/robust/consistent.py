"""ConsRec: of every user's history only the items stay whose texts hang together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ...audit.cell import Defended
from ...datasets.log import Float32, Int64, InteractionLog
from ...datasets.seeding import rng
from ...language.cache import open_cached
from ...language.encoder import CHOICES, unit
from ...language.texts import item_texts, why_no_texts
from ...recommenders.base import Recipe
from ...recommenders.catalogue import fit
from ...recommenders.sequences import padded
from ..base import Defense, DefenseConfig
from ..texts import said, swapped

LONGEST = 2048
"""Users with more different items keep them all: so many items hang together anyway, and the pairs are too many."""

_PAIRS = 1 << 20  # item pairs that the quantile is taken of, at most; all if there are no more
_BLOCK = 1 << 22  # numbers in memory at a time: pairs within users, or entries of their vectors
_ROUNDING = 1e-6  # of float32 cosines, which differ by so much between two ways of summing


class ConsRecConfig(DefenseConfig):
    """Settings of ConsRec."""

    arm: Literal["real", "permuted"] = Field(
        default="real",
        description="real: texts as they are; permuted: over items. Only what real does better is the text's merit",
    )
    quantile: float = Field(
        default=0.6, ge=0, le=1, description="of the cosines of item pairs, above which two items agree; 1: none is cut"
    )
    encoder: str = Field(default="static", description=CHOICES)


def threshold(vectors: Float32, quantile: float, draw: np.random.Generator) -> float:
    """A quantile of the cosines of different items, all pairs or a million drawn ones; infinite without a pair.

    Shapes: vectors float32 [I, D], of length 1 or 0; those of length 0 are left out.
    """
    vectors = vectors[said(vectors)]
    count = len(vectors)
    if count < 2:
        return float("inf")
    if count * (count - 1) // 2 <= _PAIRS:
        first, second = np.triu_indices(count, 1)
    else:
        first = draw.integers(count, size=_PAIRS)
        second = (first + draw.integers(1, count, size=_PAIRS)) % count
    found = np.empty(len(first), np.float32)
    step = max(1, _BLOCK // vectors.shape[1])
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        found[part] = np.einsum("nd,nd->n", vectors[first[part]], vectors[second[part]])
    return float(np.quantile(found, quantile))


def consistent(log: InteractionLog, vectors: Float32, tau: float) -> NDArray[np.bool_]:
    """Which events stay, bool [E].

    A user's different items are nodes, with an edge where the cosine is above tau. The largest connected component
    stays, by number of items; of several equally large ones all stay, so that who has two items or more keeps two at
    least. Items without text (vectors of length 0) stay. Users with more than `LONGEST` items are left as they are.

    Shapes: vectors float32 [I, D], of length 1 or 0.
    """
    kept = np.ones(len(log), np.bool_)
    known = np.flatnonzero(said(vectors)[log.item])
    if not len(known):
        return kept
    nodes, node = np.unique(log.user[known].astype(np.int64) * log.n_items + log.item[known], return_inverse=True)
    _, start, length = np.unique(nodes // log.n_items, return_index=True, return_counts=True)
    items, stays = nodes % log.n_items, np.ones(len(nodes), np.bool_)
    for rows in _blocks(length, vectors.shape[1]):
        inputs, valid = padded(items, start[rows], length[rows])
        places, _ = padded(np.arange(len(nodes)), start[rows], length[rows])
        stays[places[valid]] = _largest(vectors[inputs], valid, tau)[valid]
    kept[known] = stays[node]
    return kept


def _blocks(length: Int64, width: int) -> Iterator[Int64]:
    """Users who may lose an item, of like length, as indices; bounded pairs and vectors each."""
    order = np.argsort(-length, kind="stable")
    order = order[(length[order] <= LONGEST) & (length[order] > 2)]  # of two items none is ever cut
    first = 0
    while first < len(order):
        longest = int(length[order[first]])
        size = max(1, _BLOCK // (longest * max(longest, width)))
        yield order[first : first + size]
        first += size


def _largest(vectors: Float32, valid: NDArray[np.bool_], tau: float) -> NDArray[np.bool_]:
    """Which nodes lie in a component that is as large as the largest of their row.

    Shapes: vectors float32 [B, L, D], valid bool [B, L] -> bool [B, L], without meaning where not valid.
    """
    rows, width = valid.shape
    edge = np.triu(vectors @ vectors.transpose(0, 2, 1) > tau + _ROUNDING, 1)
    edge &= valid[:, :, None] & valid[:, None, :]
    row, one, other = np.nonzero(edge)
    ones = np.ones(len(row), np.bool_)
    shape = (rows * width, rows * width)
    graph = sparse.csr_matrix((ones, (row * width + one, row * width + other)), shape=shape)
    _, label = connected_components(graph, directed=False)
    # what fills rows up stands alone, and a row has a node that is real
    size = np.bincount(label)[label].reshape(rows, width)
    found: NDArray[np.bool_] = size == np.where(valid, size, 0).max(1, keepdims=True)
    return found


class ConsRec(Defense):
    """Trains on histories without the items that do not fit the rest by their texts. Accounts are not judged.

    Order, times and ratings of what stays are kept. What is read at scoring is the history as it is.
    """

    name: ClassVar[str] = "cons-rec"
    title: ClassVar[str] = "Histories cut to the items whose texts agree"
    reference: ClassVar[str] = (
        "Xin et al. 2025, ConsRec: Denoising Sequential Recommendation through User-Consistent Preference Modeling, "
        "arXiv 2505.22130"
    )
    config_type: ClassVar[type[DefenseConfig]] = ConsRecConfig

    def why_not(self, recipe: Recipe, log: InteractionLog) -> str | None:
        """See Defense."""
        return why_no_texts(log)

    def kept(self, log: InteractionLog, seed: int) -> NDArray[np.bool_]:
        """Which events are trained on, bool [E].

        Raises:
            DataError: the items have no text.
            InputError: there is no such encoder.
        """
        vectors = unit(open_cached(self.config.encoder).encode(item_texts(log)))
        if self.config.arm == "permuted":
            vectors = vectors[swapped(said(vectors), rng(seed, "defense", self.name, "texts"))]
        tau = threshold(vectors, self.config.quantile, rng(seed, "defense", self.name, "pairs"))
        return consistent(log, vectors, tau)

    def fit(self, recipe: Recipe, log: InteractionLog, seed: int) -> Defended:
        """See Defense; the note `removed` is the share of the events that was removed.

        Raises:
            DataError: the items have no text.
        """
        kept = self.kept(log, seed)
        removed = float(1 - kept.mean()) if len(kept) else 0.0
        return Defended(fit(recipe, log.take(kept), seed), None, None, notes={"removed": removed})
