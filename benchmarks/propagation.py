"""LightGCN's propagation against the bare sparse product and against torch-geometric with an `edge_index`.

    python benchmarks/propagation.py --data ../shared/data/movielens-1m-implicit [--dim 64] [--layers 3] [--rounds 9]

One thread. The variants take turns, so that a busy machine slows all alike; the fastest CPU time of each counts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch_geometric.nn import LGConv

from recaudit.datasets.read import read_log
from recaudit.recommenders.propagation import adjacency, near, propagate
from recaudit.recommenders.sampling import Positives


def main() -> None:
    """Time and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pairs = Positives.of(read_log(options.data).log)
    plain, ordered = adjacency(pairs), adjacency(pairs, "cpu", near(pairs))
    edges = np.stack([pairs.user, pairs.item + pairs.n_users])
    edge_index = torch.from_numpy(np.concatenate([edges, edges[::-1]], axis=1))
    base = torch.randn(plain.shape[0], options.dim, requires_grad=True)
    fixed = base.detach()
    normalised, given = LGConv(), LGConv(normalize=False)

    def bare(graph: torch.Tensor) -> None:
        for _ in range(2 * options.layers):
            torch.sparse.mm(graph, fixed)

    def layered(layer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        total = now = base
        for _ in range(options.layers):
            now = layer(now)
            total = total + now
        (total / (options.layers + 1)).backward(fixed)

    variants: dict[str, Callable[[], None]] = {
        f"bare product, {2 * options.layers} times": lambda: bare(plain),
        "ours, forward and backward": lambda: propagate(plain, base, options.layers).backward(fixed),
        "bare product, nodes reordered": lambda: bare(ordered),
        "ours, nodes reordered (what LightGCN runs)": lambda: propagate(ordered, base, options.layers).backward(fixed),
        "LGConv on the CSR matrix, through autograd": lambda: layered(lambda now: given(now, plain)),
        "LGConv on edge_index": lambda: layered(lambda now: normalised(now, edge_index)),
    }
    best = dict.fromkeys(variants, np.inf)
    for turn in range(options.rounds):
        for name, variant in variants.items():
            if "edge_index" in name and turn >= 2:
                continue
            start = time.process_time()
            variant()
            best[name] = min(best[name], time.process_time() - start)
    unit = next(iter(best.values()))
    print(f"{len(pairs):,} pairs, {plain.shape[0]:,} nodes, d {options.dim}, {options.layers} layers\n")
    print("| variant | CPU ms | times the bare product |\n|---|---:|---:|")
    for name, seconds in best.items():
        print(f"| {name} | {1000 * seconds:.1f} | {seconds / unit:.2f} |")


if __name__ == "__main__":
    main()
