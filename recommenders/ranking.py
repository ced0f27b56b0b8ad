"""Full-ranking top-k lists and exact ranks of watched items, in tiles; consumed items excluded exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from ..datasets.errors import InputError, RecauditError
from ..datasets.log import Float32, Int32, Int64, InteractionLog
from .base import Recommender
from .consumed import consumed

_EMPTY = np.iinfo(np.int64).min
_LARGEST = float(np.finfo(np.float32).max)
_LOW_WORD = np.int64(0xFFFFFFFF)

_Fill = Callable[[int, int, torch.Tensor], None]
"""Write the scores of the items start..stop into a tile [B, stop - start]."""


@dataclass(frozen=True, eq=False)
class Slate:
    """Top-k lists: items int32 [U, K] (-1 for none), scores float32 [U, K] (-inf for none)."""

    items: Int32
    scores: Float32


@dataclass(frozen=True, eq=False)
class Ranking:
    """What full ranking gave.

    Attributes:
        users: int64 [U], the ranked users.
        slate: their top-k lists; lower item index first among equal scores.
        watched: float32 [T, U], the rank of each watched item for each user: 1 + items scored strictly above
            + half of the ties, over items that the user has not consumed. NaN where the user has consumed it.
    """

    users: Int64
    slate: Slate
    watched: Float32


def rank(
    recommender: Recommender,
    users: NDArray[np.int64] | None,
    history: InteractionLog,
    k: int,
    *,
    mask: InteractionLog | None = None,
    watch: NDArray[np.int32] | None = None,
    n_users: int | None = None,
    user_block: int = 512,
    item_tile: int = 2048,
) -> Ranking:
    """Rank the whole catalogue for each user: top-k lists and the exact ranks of watched items.

    Scores are made a tile at a time for models with `embeddings()`, else a block of users at a time. Equal
    scores are ordered by item index, so lists do not depend on the block sizes as long as the scores do not.
    Infinite scores count as the largest finite number.

    Args:
        recommender: the fitted model.
        users: int64 [U], the users to rank; None for users 0..n_users-1.
        history: what the model may read of the users' past.
        k: list length; 0 if only the watched ranks matter.
        mask: consumed items, never listed; `history` if None.
        watch: int32 [T], items whose rank is wanted; none by default.
        n_users: number of genuine users, for `users` None; all users of model and history by default.
        user_block: users scored at a time; memory is one block of user_block x I scores at most.
        item_tile: items looked at at a time.

    Raises:
        InputError: users or items do not belong to the log.
        RecauditError: the model gave scores that are NaN or of the wrong shape.
    """
    mask = history if mask is None else mask
    watch = np.empty(0, np.int32) if watch is None else watch
    if users is None:
        users = np.arange(min(recommender.n_users, mask.n_users) if n_users is None else n_users)
    _check(recommender, users, history, mask, watch, k)
    masked = consumed(mask)
    source = _source(recommender, history)

    items = np.full((len(users), k), -1, np.int32)
    scores = np.full((len(users), k), -np.inf, np.float32)
    watched = np.full((len(watch), len(users)), np.nan, np.float32)
    buffer = torch.empty(2 * user_block * min(item_tile, recommender.n_items))
    for first in range(0, len(users), user_block):
        rows = slice(first, min(first + user_block, len(users)))
        block = _Block(source(users[rows]), masked[users[rows]], item_tile, buffer)
        items[rows], scores[rows], watched[:, rows] = block.ranked(k, watch)
    return Ranking(users, Slate(items, scores), watched)


def _check(
    recommender: Recommender,
    users: NDArray[np.int64],
    history: InteractionLog,
    mask: InteractionLog,
    watch: NDArray[np.int32],
    k: int,
) -> None:
    if k < 0:
        raise InputError(f"list length must not be negative, got {k}")
    for name, log in (("history", history), ("mask", mask)):
        if log.n_items != recommender.n_items:
            raise InputError(
                f"the {name} has {log.n_items:,} items, the model {recommender.n_items:,}; "
                "use the data the model was trained on"
            )
    limit = min(recommender.n_users, mask.n_users)
    if len(users) and (int(users.min()) < 0 or int(users.max()) >= limit):
        raise InputError(f"user index outside 0..{limit - 1}, the users that model and history share")
    if len(watch) and (int(watch.min()) < 0 or int(watch.max()) >= recommender.n_items):
        raise InputError(f"watched item outside 0..{recommender.n_items - 1}")


def _name(recommender: Recommender) -> str:
    return str(getattr(recommender, "name", type(recommender).__name__))


def _source(recommender: Recommender, history: InteractionLog) -> Callable[[NDArray[np.int64]], _Fill]:
    """How a block of users gets its tiles: by products of embeddings if there are any, else from `scores`."""
    embeddings = getattr(recommender, "embeddings", None)
    if embeddings is None:
        return lambda users: _from_scores(recommender, users, history)
    user_vectors, item_vectors = (np.ascontiguousarray(part, np.float32) for part in embeddings())
    largest = [float(np.abs(part).max(initial=0.0)) for part in (user_vectors, item_vectors)]
    # A bound on every score: with it finite, no tile has to be searched for NaN or infinity.
    if not largest[0] * largest[1] * user_vectors.shape[1] < _LARGEST:
        raise RecauditError(
            f"model {_name(recommender)}: its embeddings are not finite or give scores beyond float32; "
            "the training diverged, lower its learning rate"
        )
    transposed = torch.from_numpy(item_vectors).T

    def fill_for(users: NDArray[np.int64]) -> _Fill:
        own = torch.from_numpy(user_vectors[users])

        def fill(start: int, stop: int, tile: torch.Tensor) -> None:
            torch.mm(own, transposed[:, start:stop], out=tile)

        return fill

    return fill_for


def _from_scores(recommender: Recommender, users: NDArray[np.int64], history: InteractionLog) -> _Fill:
    block = recommender.scores(users, history)
    if block.shape != (len(users), recommender.n_items):
        raise RecauditError(
            f"model {_name(recommender)} gave scores of shape {block.shape}, "
            f"expected {(len(users), recommender.n_items)}"
        )

    def fill(start: int, stop: int, tile: torch.Tensor) -> None:
        part = tile.numpy()
        part[:] = block[:, start:stop]  # a copy: masking must not reach the model's own arrays
        low, high = part.min(), part.max()
        if np.isnan(low) or np.isnan(high):
            raise RecauditError(f"model {_name(recommender)} gave NaN scores; it did not train, or its input is broken")
        if np.isinf(low) or np.isinf(high):
            np.clip(part, -_LARGEST, _LARGEST, out=part)

    return fill


class _Block:
    """A block of users: fills, masks and reads one tile of items after the other."""

    def __init__(self, fill: _Fill, consumed: sparse.csr_matrix, item_tile: int, buffer: torch.Tensor) -> None:
        self.fill = fill
        self.n_rows, self.n_items = consumed.shape
        self.width = item_tile
        self.buffer = buffer
        # The consumed cells in the order of the tiles they fall into.
        n_tiles = -(-self.n_items // item_tile)
        tile = (consumed.indices // item_tile).astype(np.int16 if n_tiles < 2**15 else np.int64)
        order = np.argsort(tile, kind="stable")  # a radix sort for 16 bits
        self.rows = np.repeat(np.arange(self.n_rows), np.diff(consumed.indptr))[order]
        self.columns = consumed.indices[order].astype(np.int64)
        self.bounds = np.searchsorted(tile[order], np.arange(n_tiles + 1))

    def tile(self, start: int) -> torch.Tensor:
        """Scores of the tile that starts at this item, float32 [B, W], consumed items at -inf."""
        stop = min(start + self.width, self.n_items)
        tile = self.buffer[: self.n_rows * (stop - start)].view(self.n_rows, stop - start)
        self.fill(start, stop, tile)
        cells = slice(*self.bounds[start // self.width :][:2])
        tile.view(-1).numpy()[self.rows[cells] * (stop - start) + (self.columns[cells] - start)] = -np.inf
        return tile

    def ranked(self, k: int, watch: NDArray[np.int32]) -> tuple[Int32, Float32, Float32]:
        """Items and scores [B, k] of the lists and ranks [T, B] of the watched items."""
        best = _Best(self.n_rows, k)
        kept, own = self.watched_scores(watch)
        lead = torch.zeros(len(watch), self.n_rows)
        for start in range(0, self.n_items, self.width):
            tile = kept.pop(start) if start in kept else self.tile(start)
            best.add(tile.numpy(), start)
            spare = self.buffer[tile.numel() :][: tile.numel()].view(tile.shape)
            for row, score in zip(lead, own, strict=True):
                row += torch.sub(tile, score[:, None], out=spare).sign_().sum(1)
        items, scores = best.lists()
        # lead = above - below, the consumed items (at -inf) among those below, so that over all other items
        # above + below + ties = I - 1, and above + ties / 2 = (I - 1 + lead) / 2 - consumed cancel out.
        ranks = 1 + (self.n_items - 1 + lead) / 2
        ranks[torch.isneginf(own)] = torch.nan
        return items, scores, ranks.numpy()

    def watched_scores(self, watch: NDArray[np.int32]) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
        """The tiles that hold watched items, and the scores [T, B] of these.

        They are read from the very tiles they are compared with: a product of another shape may round the
        last bit differently, and ties would be lost.
        """
        own = torch.empty(len(watch), self.n_rows)
        kept: dict[int, torch.Tensor] = {}
        for row, item in zip(own, watch.tolist(), strict=True):
            start = item // self.width * self.width
            if start not in kept:
                kept[start] = self.tile(start).clone()
            row[:] = kept[start][:, item - start]
        return kept, own


def top_k(scores: Float32, k: int) -> tuple[Int32, Float32]:
    """The k best cells of each row, lower index first among equal scores; cells at -inf are none.

    Shapes: scores float32 [B, I], no NaN -> int32 [B, k] (-1 for none), float32 [B, k] (-inf for none).
    """
    best = _Best(len(scores), k)
    best.add(scores, 0)
    return best.lists()


class _Best:
    """The best k cells of each row, found tile by tile.

    Scores and item indices are packed into one integer: order by score, then lower index first, with no two
    alike. Only cells above a floor are kept, and cut back to the best k a row when they pile up; the k-th best is
    the floor then: a later tie loses to an earlier one anyway.
    """

    def __init__(self, n_rows: int, k: int) -> None:
        self.k = k
        self.floor = np.full(n_rows, -np.inf, np.float32)
        self.rows: list[Int64] = []
        self.keys: list[Int64] = []
        self.room = _PILE * k * n_rows
        self.n_rows = n_rows

    def add(self, tile: Float32, start: int) -> None:
        """Take the scores [B, W] of the items from `start`; tiles come in the order of their items."""
        if not self.k or not tile.size:
            return
        if start < 2 * tile.shape[1]:  # later tiles hardly raise it any more
            self.floor = np.maximum(self.floor, _floor(tile, self.k))
        cells = np.flatnonzero(tile > self.floor[:, None])
        rows = cells // tile.shape[1]
        self.rows.append(rows)
        self.keys.append(_pack(tile.ravel()[cells], cells - rows * tile.shape[1] + start))
        self.room -= len(cells)
        if self.room < 0:
            best = self.cut()
            self.floor = _unpack(best.min(axis=1))[1]
            self.rows, self.keys = [np.repeat(np.arange(self.n_rows), self.k)], [best.ravel()]
            self.room = (_PILE - 1) * self.k * self.n_rows

    def cut(self) -> Int64:
        """The best k of each row so far, packed, in any order: int64 [B, k]."""
        none = np.empty(0, np.int64)
        rows, keys = (np.concatenate([none, *parts]) for parts in (self.rows, self.keys))
        if len(self.rows) > 1:
            narrow = rows.astype(np.int16 if self.n_rows < 2**15 else np.int64)
            order = np.argsort(narrow, kind="stable")  # a radix sort for 16 bits
            rows, keys = rows[order], keys[order]
        counts = np.bincount(rows, minlength=self.n_rows)
        pool = np.full((self.n_rows, max(self.k, int(counts.max(initial=0)))), _EMPTY, np.int64)
        pool[np.arange(pool.shape[1]) < counts[:, None]] = keys
        if pool.shape[1] > self.k:
            pool.partition(pool.shape[1] - self.k, axis=1)
        return pool[:, pool.shape[1] - self.k :]

    def lists(self) -> tuple[Int32, Float32]:
        """Items and scores of the lists, best first."""
        return _unpack(np.sort(self.cut(), axis=1)[:, ::-1])


_PILE = 3  # candidates a place of the lists before they are cut back


def _floor(tile: Float32, k: int) -> Float32:
    """A score that at least k cells of each row exceed, or -inf: the k-th best of group maxima, one step lower."""
    groups = max(64, 4 * k)
    depth = tile.shape[1] // groups
    if depth < 2:
        return np.full(len(tile), -np.inf, np.float32)
    maxima = tile[:, : depth * groups].reshape(len(tile), depth, groups).max(axis=1)
    kth = np.partition(maxima, groups - k, axis=1)[:, groups - k]
    return np.nextafter(kth, np.float32(-np.inf))


def _pack(scores: Float32, items: Int64) -> Int64:
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 makes -0.0 and 0.0 the same
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return (ordered.astype(np.int64) << 32) | (_LOW_WORD - items)


def _unpack(keys: Int64) -> tuple[Int32, Float32]:
    empty = keys == _EMPTY
    items = np.where(empty, -1, _LOW_WORD - (keys & _LOW_WORD)).astype(np.int32)
    ordered = (keys >> 32).astype(np.int32)
    scores = (ordered ^ ((ordered >> 31) & np.int32(0x7FFFFFFF))).view(np.float32)
    return items, np.where(empty, np.float32(-np.inf), scores)
