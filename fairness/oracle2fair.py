"""Oracle2Fair: from the most relevant lists to the fairest ones, one replacement at a time.

Rampisela, Ruotsalo, Maistro, Lioma: Joint Evaluation of Fairness and Relevance in Recommender Systems with Pareto
Frontier, WWW 2025 (arXiv 2502.11921).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

import numpy as np
from scipy import sparse

from ..datasets.errors import InputError
from ..datasets.log import Int32, Int64
from .recommendations import Exposure


@dataclass(frozen=True, eq=False)
class Walk:
    """Oracle2Fair: from the most relevant lists to the fairest ones, one place at a time.

    Attributes:
        lists: int32 [m, k], where it starts: every user's relevant items in front.
        n_items: n.
        n_relevant: R, int64 [m].
        steps: int64 [N, 8], for each replacement: the user, the item taken out, the item put in, how often each of the
            two was recommended before it, the user's hits before and after it, and its change of the sum of |c_i - c_j|
            over pairs of items. The new item takes the place, then relevant items move in front; else order is kept.
    """

    lists: Int32
    n_items: int
    n_relevant: Int64
    steps: Int64


def walk(relevant: sparse.csr_matrix, consumed: sparse.csr_matrix | None, k: int) -> Walk:
    """Replace the most recommended item by the least recommended one until no item has more than ceil(m k / n) places.

    At each step it takes the list where the most recommended item stands lowest, first among the users to whom the new
    item is relevant, then among all; never a list that has the new item, never a user who consumed it. As long as an
    item is not recommended at all it goes on below that limit. Ties: the smaller item, the smaller user. An item that
    nobody can do without, because of what was consumed, keeps its places.

    Start: users with at most k relevant items get them all; those with more, fewest first, get the ones used least so
    far; places left are filled with the item used least so far.

    Time O(m k + N k) with a logarithm for the heaps, and the users who like each item put in.

    Args:
        relevant: [m, n], stored cells are relevant.
        consumed: [m, n], stored cells may not be recommended (the training items); None for none.
        k: length of the lists.

    Raises:
        InputError: shapes that differ, an item both relevant and consumed, a user with fewer than k items left to
            recommend, or no difference between fairest and unfairest lists (one user, k = n).
    """
    m, n = relevant.shape
    liked, seen = _cells(relevant), _cells(sparse.csr_matrix((m, n)) if consumed is None else consumed)
    if seen.shape != (m, n):
        raise InputError(f"relevant items of shape {(m, n)}, consumed ones of shape {seen.shape}")
    if liked.multiply(seen).nnz:
        raise InputError("some items are relevant to a user who consumed them; drop them from one of the two")
    short = np.diff(seen.indptr) > n - k
    if k < 1:
        raise InputError(f"lists have 1 place or more, got k = {k}")
    if short.any():
        raise InputError(f"{int(short.sum())} users have fewer than k = {k} of {n} items that they have not consumed")
    lists = _oracle(liked, seen, k)
    if reason := Exposure.of(lists, n).no_range:
        raise InputError(reason)
    steps = np.array(_Walker(lists, liked, seen).run(), np.int64).reshape(-1, 8)
    return Walk(lists, n, np.diff(liked.indptr).astype(np.int64), steps)


def _cells(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """A copy with sorted, single, non-zero cells, which are 1."""
    matrix = matrix.tocsr(copy=True)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    matrix.data = np.ones(matrix.nnz, np.int8)
    return matrix


def _oracle(liked: sparse.csr_matrix, seen: sparse.csr_matrix, k: int) -> Int32:
    """The start of `walk`: int32 [m, k], relevant items in front."""
    m, n = liked.shape
    size = np.diff(liked.indptr)
    lists = np.full((m, k), -1, np.int32)
    user = np.repeat(np.arange(m), size)
    place = np.arange(liked.nnz) - np.repeat(liked.indptr[:-1], size)
    whole = (size <= k)[user]
    lists[user[whole], place[whole]] = liked.indices[whole]
    count = np.bincount(liked.indices[whole], minlength=n).tolist()
    for u in np.argsort(size, kind="stable")[np.count_nonzero(size <= k) :].tolist():
        items = liked.indices[liked.indptr[u] : liked.indptr[u + 1]].tolist()
        lists[u] = chosen = sorted(items, key=count.__getitem__)[:k]
        for item in chosen:
            count[item] += 1
    least = [c * n + item for item, c in enumerate(count)]  # one number for (count, item)
    heapify(least)
    for u in np.flatnonzero(size < k).tolist():
        own = int(size[u])
        barred = {*lists[u, :own].tolist(), *seen.indices[seen.indptr[u] : seen.indptr[u + 1]].tolist()}
        fill: list[int] = []
        back: list[int] = []
        while len(fill) < k - own:
            entry = heappop(least)
            if entry % n in barred:
                back.append(entry)
            else:
                fill.append(entry % n)
                back.append(entry + n)
        lists[u, own:] = fill
        for entry in back:
            heappush(least, entry)
    return lists


class _Walker:
    """Lists that change one place at a time, and for each item the lists that hold it, lowest place first."""

    def __init__(self, lists: Int32, liked: sparse.csr_matrix, seen: sparse.csr_matrix) -> None:
        self.m, self.k = lists.shape
        self.n = liked.shape[1]
        count = np.bincount(lists.ravel(), minlength=self.n)
        self.count: list[int] = count.tolist()
        self.at_most: list[int] = np.cumsum(np.bincount(count)).tolist()  # [c]: items with a count up to c
        self.hits: list[int] = np.minimum(np.diff(liked.indptr), self.k).tolist()
        self.flat = array("i", lists.tobytes())
        self.seen, self.seen_from = seen.indices.data, seen.indptr.tolist()
        likers = liked.tocsc()
        self.likers, self.likers_from = likers.indices.data, likers.indptr.tolist()
        # one number for (places from the end, user): the smallest is the lowest place
        key = (self.k - 1 - np.arange(self.k)) * self.m + np.arange(self.m)[:, None]
        self.key = key.ravel()[np.lexsort((key.ravel(), lists.ravel()))]
        self.key_from = np.append(0, np.cumsum(count)).tolist()
        self.held: dict[int, list[int]] = {}
        self.low = [c * self.n + item for item, c in enumerate(self.count)]
        heapify(self.low)

    def run(self) -> array[int]:
        """All steps, 8 numbers each, as in Walk."""
        steps = array("q")
        count, limit = self.count, -(-self.m * self.k // self.n)
        level: defaultdict[int, list[int]] = defaultdict(list)
        for item, c in enumerate(count):
            level[c].append(item)
        # the largest count never rises, and what falls from a level is met again one below
        for c in range(max(count), 1, -1):
            for out in sorted(set(level.pop(c, ()))):
                if count[out] != c:
                    continue
                # under the limit only for an item not recommended at all; else as long as it makes lists fairer
                step = self.replace(out, c - 2 if c > limit else 0)
                if step:
                    steps.extend(step)
                    level[c - 1].append(out)
                    level[count[step[2]]].append(step[2])
        return steps

    def replace(self, out: int, most: int) -> tuple[int, ...]:
        """Put the least recommended item that can take a place of `out` there; () if none with a count <= most can."""
        back: list[int] = []
        step: tuple[int, ...] = ()
        while self.low and not step:
            entry = self.low[0]
            given, into = divmod(entry, self.n)
            if given > most:
                break
            heappop(self.low)
            if given != self.count[into]:
                continue
            place, relevant = self.find(out, into)
            if place < 0:
                back.append(entry)
                continue
            back.append(entry + self.n)
            step = self.swap(place, into, relevant)
        for entry in back:
            heappush(self.low, entry)
        return step

    def find(self, out: int, into: int) -> tuple[int, bool]:
        """(place of `out` that `into` may take, whether it is relevant there); the place is -1 if there is none."""
        m, k, flat = self.m, self.k, self.flat
        best = m * k
        for u in self.likers[self.likers_from[into] : self.likers_from[into + 1]]:
            row = flat[u * k : u * k + k]
            if out in row and into not in row:
                best = min(best, (k - 1 - row.index(out)) * m + u)
        if best < m * k:
            return best % m * k + k - 1 - best // m, True
        held, back, place = self.holders(out), [], -1
        while held and place < 0:
            key = held[0]
            u = key % m
            at = u * k + k - 1 - key // m
            if flat[at] != out:  # it has moved, and was noted anew
                heappop(held)
            elif into in flat[u * k : u * k + k] or self.has_seen(u, into):
                back.append(heappop(held))
            else:
                place = at
        for key in back:
            heappush(held, key)
        return place, False

    def swap(self, place: int, into: int, relevant: bool) -> tuple[int, ...]:
        """Put `into` at a place, relevant items in front again; the step as in Walk."""
        m, k, flat = self.m, self.k, self.flat
        u, at = divmod(place, k)
        before, out = self.hits[u], flat[place]
        after = before + relevant - (at < before)
        to = u * k + (before if after > before else after if after < before else at)
        toward = 1 if to > place else -1
        for p in range(place, to, toward):
            flat[p] = flat[p + toward]
        flat[to] = into
        for p in range(min(place, to), max(place, to) + 1):
            heappush(self.holders(flat[p]), (k - 1 - p % k) * m + u)
        self.hits[u] = after
        # sum of |c_i - c_j| = sum over c of at_most[c] (n - at_most[c]), and each of the two changes one of them by 1
        taken, given = self.count[out], self.count[into]
        spread = 2 * (self.at_most[given] - self.at_most[taken - 1] - 1)
        self.at_most[taken - 1] += 1
        self.at_most[given] -= 1
        self.count[out], self.count[into] = taken - 1, given + 1
        return u, out, into, taken, given, before, after, spread

    def holders(self, item: int) -> list[int]:
        """The heap of keys of the lists that hold an item; some may be out of date."""
        if item not in self.held:
            self.held[item] = self.key[self.key_from[item] : self.key_from[item + 1]].tolist()
        return self.held[item]

    def has_seen(self, user: int, item: int) -> bool:
        """Whether the user consumed the item."""
        stop = self.seen_from[user + 1]
        at = bisect_left(self.seen, item, self.seen_from[user], stop)
        return at < stop and bool(self.seen[at] == item)
