"""What the lists of a model are read against: popularity, and lists of no preference at all."""

from __future__ import annotations

import numpy as np

from ..audit.cell import CHECKPOINT, Cell
from ..audit.probe import Results
from ..datasets.log import Int32, Int64
from ..datasets.seeding import rng
from ..recommenders.base import Recipe
from ..recommenders.consumed import consumed
from ..recommenders.evaluate import relevance
from ..recommenders.target import Target
from .recommendations import Recommendations

POPULARITY = Cell("reference", "popularity", recipe=Recipe("popularity", {}))
CELLS = (CHECKPOINT, POPULARITY)


def lists_of(target: Target, results: Results, seed: int) -> dict[str, Recommendations]:
    """Lists of all genuine users, by "model", "popularity" and "random"; the model must have been measured."""
    n_items = target.split.train.n_items
    lists = {"model": results.arrays(CHECKPOINT)["items"]}
    if POPULARITY in results:
        lists["popularity"] = results.arrays(POPULARITY)["items"]
    users, k = lists["model"].shape
    lists["random"] = random_lists((users, k), n_items, seed)
    return {name: Recommendations.of(items, n_items) for name, items in lists.items()}


def judged_lists(target: Target, lists: dict[str, Recommendations]) -> tuple[Int64, dict[str, Recommendations]]:
    """The users with held-out items, int64 [m], and the same lists for them alone, with these items as relevant.

    Raises:
        InputError: nobody has held-out items.
    """
    split = target.split
    users, relevant = relevance(split.test, split.history, split.train.n_users)
    model = lists["model"]
    first = Recommendations.of(model.lists[users], model.n_items, relevant, consumed=consumed(split.history)[users])
    others = {name: first.with_lists(found.lists[users]) for name, found in lists.items() if name != "model"}
    return users, {"model": first} | others


def random_lists(shape: tuple[int, int], n_items: int, seed: int) -> Int32:
    """Lists drawn uniformly without repeats, int32 [m, k]; what users have consumed is not left out."""
    users, k = shape
    generator = rng(seed, "exposure", "random-lists")
    lists = np.empty(shape, np.int32)
    if k * k > n_items // 4:  # long lists of a small catalogue: order random numbers
        block = max(1, 4_000_000 // n_items)
        for start in range(0, users, block):
            draw = generator.random((min(block, users - start), n_items), np.float32)
            lists[start : start + len(draw)] = np.argpartition(draw, k - 1, axis=1)[:, :k]
        return lists
    # short lists of a large one: repeats are rare, draw those lists again
    open_rows = np.arange(users)
    while len(open_rows):
        lists[open_rows] = generator.integers(0, n_items, (len(open_rows), k))
        ordered = np.sort(lists[open_rows], axis=1)
        open_rows = open_rows[(ordered[:, 1:] == ordered[:, :-1]).any(axis=1)]
    return lists
