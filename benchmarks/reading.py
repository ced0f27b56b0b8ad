"""Seconds and peak memory of reading a large CSV, against pandas: python benchmarks/reading.py [ROWS].

Writes a file of ROWS ratings (10 million if not given) into a temporary folder and reads it in a fresh process
by each reader: recaudit to a whole InteractionLog; pandas.read_csv with ids as text and pandas.factorize, the
least that gives the same arrays. Prints one Markdown row each.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

READERS = ("recaudit", "pandas")


def write(path: Path, rows: int) -> None:
    draw = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "user_id": draw.integers(0, max(10, rows // 50), rows),
            "item_id": (draw.pareto(1.0, rows) * 100).astype(np.int64) % 50_000,
            "rating": draw.integers(1, 11, rows) / 2,
            "timestamp": draw.integers(900_000_000, 1_600_000_000, rows),
        }
    )
    frame.write_csv(path)


def read(reader: str, path: str) -> tuple[int, int, int]:
    if reader == "recaudit":
        from recaudit.datasets.read import read_log

        log = read_log(path).log
        return len(log), log.n_users, log.n_items
    import pandas as pd

    table = pd.read_csv(path, dtype={"user_id": str, "item_id": str, "rating": np.float32})
    user, users = pd.factorize(table["user_id"])
    _, items = pd.factorize(table["item_id"])
    return len(user), len(users), len(items)


def child(reader: str, path: str) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    counts = read(reader, path)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"| {reader} | {counts[0]:,} | {counts[1]:,} | {counts[2]:,} | {seconds:.1f} | {cpu:.1f} | {peak:.2f} |")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ratings.csv"
        write(path, rows)
        print(f"{path.stat().st_size / 1e6:,.0f} MB, {os.cpu_count()} cores\n")
        print(
            "| reader | rows | users | items | s | CPU s | peak GB |\n|---|---:|---:|---:|---:|---:|---:|", flush=True
        )
        for reader in READERS:
            subprocess.run([sys.executable, __file__, "--child", reader, str(path)], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3])
    else:
        main()
