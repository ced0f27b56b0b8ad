"""CPU seconds an epoch of the sequential models on one thread, for any data with an order.

    python benchmarks/sequential_epochs.py PATH ... [--demo] [--epochs 3] [--set key=value ...]

Leave-one-out training parts. The least of EPOCHS epochs counts: other programs on the machine only ever add to a time.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import torch
import yaml

from recaudit.datasets.demo import load_demo
from recaudit.datasets.read import read_log
from recaudit.datasets.split import leave_last_out
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build


def main() -> None:
    """Print a Markdown row for each data set and model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="*")
    parser.add_argument("--demo", action="store_true", help="also the embedded MovieTweetings")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    config = {key: yaml.safe_load(value) for key, value in (pair.split("=", 1) for pair in options.set)}
    logs = [(path.name, read_log(path).log) for path in options.data]
    if options.demo:
        logs.append(("movietweetings (embedded)", load_demo().log))
    print("| data | model | training events | CPU s an epoch |")
    print("|---|---|---:|---:|")
    for name, log in logs:
        train = leave_last_out(log).train
        for kind in ("sasrec", "gru4rec"):
            marks = [time.process_time()]
            model = build(Recipe(kind, config))
            model.fit(train, 0, epochs=options.epochs, report=lambda *_, at=marks: at.append(time.process_time()))
            least = min(after - before for before, after in itertools.pairwise(marks))
            print(f"| {name} | {kind} | {len(train):,} | {least:.2f} |", flush=True)


if __name__ == "__main__":
    main()
