"""Full-ranking top-k at the size of Gowalla: tiles with a running threshold against block product + torch.topk.

    python benchmarks/ranking.py [--users 29858] [--items 40981] [--dim 64] [-k 20] [--repeats 3]

Random vectors and consumed items; one thread; CPU seconds, the best of the repeats, ours and the other in turn. Prints
one row of a Markdown table, after checking that both gave the same lists but for scores that differ by rounding.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from recaudit.datasets.log import Float32, Int32, Int64, InteractionLog
from recaudit.datasets.seeding import rng
from recaudit.recommenders.consumed import consumed
from recaudit.recommenders.ranking import rank


class RandomFactors:
    """A model of random vectors."""

    def __init__(self, n_users: int, n_items: int, dim: int) -> None:
        self.n_users, self.n_items = n_users, n_items
        source = rng(0, "benchmark", "vectors")
        self.vectors = (
            source.standard_normal((n_users, dim), np.float32),
            source.standard_normal((n_items, dim), np.float32),
        )

    def embeddings(self) -> tuple[Float32, Float32]:
        return self.vectors

    def scores(self, users: Int64, history: InteractionLog) -> Float32:
        left, right = self.vectors
        return (torch.from_numpy(left[users]) @ torch.from_numpy(right).T).numpy()


def random_log(n_users: int, n_items: int, n_events: int) -> InteractionLog:
    """Events with a few popular items."""
    source = rng(0, "benchmark", "log")
    user = source.integers(0, n_users, n_events).astype(np.int32)
    item = (n_items * source.random(n_events) ** 3).astype(np.int32)
    return InteractionLog(user, item, np.arange(n_users).astype(str), np.arange(n_items).astype(str))


def by_topk(model: RandomFactors, log: InteractionLog, k: int, block: int = 512) -> Int32:
    """The usual way: all scores of a block of users, consumed ones at -inf, torch.topk."""
    found = np.empty((model.n_users, k), np.int32)
    masked = consumed(log)
    for start in range(0, model.n_users, block):
        users = np.arange(start, min(start + block, model.n_users))
        scores = torch.from_numpy(model.scores(users, log))
        rows = masked[users]
        scores.numpy()[np.repeat(np.arange(len(users)), np.diff(rows.indptr)), rows.indices] = -np.inf
        found[users] = torch.topk(scores, k).indices.numpy()
    return found


def timed(job: Callable[[], Int32]) -> tuple[float, Int32]:
    start = time.process_time()
    result = job()
    return time.process_time() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=29_858)
    parser.add_argument("--items", type=int, default=40_981)
    parser.add_argument("--events", type=int, default=810_128)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)

    model = RandomFactors(options.users, options.items, options.dim)
    log = random_log(options.users, options.items, options.events)
    consumed(log)
    ours, theirs = [], []
    for _ in range(options.repeats):
        seconds, tiled = timed(lambda: rank(model, None, log, options.k).slate.items)
        ours.append(seconds)
        seconds, plain = timed(lambda: by_topk(model, log, options.k))
        theirs.append(seconds)
    left, right = model.vectors
    gap = np.abs(np.einsum("ud,ukd->uk", left, right[tiled]) - np.einsum("ud,ukd->uk", left, right[plain]))
    if gap.max() > 1e-3:
        raise SystemExit(f"the lists differ: scores up to {gap.max():.2g} apart for user {gap.max(1).argmax()}")
    same = float((tiled == plain).mean())

    print("| users x items, d, k | tiles, CPU s | block + torch.topk, CPU s | ratio | same places |")
    print("|---|---:|---:|---:|---:|")
    print(
        f"| {options.users:,} x {options.items:,}, {options.dim}, {options.k} | {min(ours):.2f} | {min(theirs):.2f} "
        f"| {min(theirs) / min(ours):.2f} | {same:.6f} |"
    )


if __name__ == "__main__":
    main()
