"""LightGCN on Gowalla, the split of NGCF and LightGCN: Recall@20 and NDCG@20 beside the published ones.

    python benchmarks/lightgcn_gowalla.py --data ../shared/data/gowalla --log DIR/gowalla.jsonl [--set key=value ...]

Trains on the published training set (train and valid parts, 810,128 pairs) for a number of epochs chosen on the
valid part, one seed, one thread; the test part is looked at once. Published (He et al., SIGIR 2020, table 3,
3 layers, d 64, 1,000 epochs of BPR): Recall@20 0.1830, NDCG@20 0.1554.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from recaudit.cli.train import parse_settings
from recaudit.datasets.read import read_log
from recaudit.datasets.split import make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.evaluate import evaluate

PUBLISHED = {"recall@20": 0.1830, "ndcg@20": 0.1554}
CHOSEN = {
    "popularity": 1.0, "score": "dot", "temperature": 0.1, "negatives": 2048, "learning_rate": 1e-2, "decay": 0.95,
    "layers": 2,
}  # fmt: skip
EPOCHS = 32


def main() -> None:
    """Train, evaluate once, print a Markdown row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], help="hyper-parameter, key=value")
    options = parser.parse_args()
    split = make_split(read_log(options.data), "given")
    recipe = Recipe("lightgcn", CHOSEN | parse_settings(options.set))
    model = build(recipe)
    start = time.process_time()

    def report(epoch: int, epochs: int, text: str) -> None:
        line = {"epoch": epoch, "epochs": epochs, "cpu_s": round(time.process_time() - start, 1), "text": text}
        with options.log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    model.fit(split.history, options.seed, epochs=options.epochs, report=report)
    seconds = time.process_time() - start
    found = evaluate(model, split.test, split.history, cutoffs=(20,))
    print("| loss | epochs | CPU s | Recall@20 (published .1830) | NDCG@20 (published .1554) |")
    print("|---|---:|---:|---:|---:|")
    cells = [f"{found[name]:.4f} ({found[name] / PUBLISHED[name] - 1:+.1%})" for name in PUBLISHED]
    print(f"| {model.config.loss} {dict(recipe.config)} | {options.epochs} | {seconds:.0f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
