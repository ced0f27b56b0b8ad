"""Time to equal validation NDCG@20, and cost of a full-ranking evaluation: recaudit against RecBole 1.2.0.

    python benchmarks/against_recbole.py --recbole ENV/bin/python --data PATH --model lightgcn --epochs 12 --work DIR

Both train on the same split with one thread each; CPU seconds of training alone are compared, or with --evaluation
those of one full-ranking evaluation. RecBole trains for EPOCHS epochs with its own defaults; the ratio is its cost at
its best epoch so far over ours at the first epoch that reaches the same NDCG@20. Its lines are kept in DIR, so an
interrupted run goes on from there and a second run only repeats our half. A RecBole 1.2.0 that runs today needs an
environment of its own: torch 2.13, numpy < 2, scipy < 1.11, pandas < 3, pyarrow < 18, setuptools < 70,
scikit-learn < 1.6, ray[tune] 2.9.3, kmeans_pytorch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

from recaudit.datasets.read import read_log
from recaudit.datasets.split import Split, make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.evaluate import evaluate

NAMES = {"lightgcn": "LightGCN", "sasrec": "SASRec"}


def write_atomic_files(split: Split, folder: Path, sequential: bool) -> None:
    """The split as RecBole reads it; for sequences its own leave-one-out over unique positions gives ours."""
    folder.mkdir(parents=True, exist_ok=True)
    if sequential:
        whole = split.history.plus(split.test)
        order = whole.chronological()
        user, item = whole.user[order], whole.item[order]
        first = np.searchsorted(user, np.arange(whole.n_users))
        rows = zip(user, item, np.arange(len(user)) - first[user], strict=True)
        text = "".join(f"{u}\t{i}\t{p}\n" for u, i, p in rows)
        (folder / "bench.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + text)
        return
    for name, part in (("train", split.train), ("valid", split.valid), ("test", split.test)):
        text = "".join(f"{u}\t{i}\n" for u, i in zip(part.user, part.item, strict=True))
        (folder / f"bench.{name}.inter").write_text("user_id:token\titem_id:token\n" + text)


def recbole(python: str, work: Path, model: str, epochs: int) -> list[dict[str, float]]:
    """RecBole's lines, from the kept file if it is complete."""
    kept = work / f"recbole-{model}.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    if len(lines) < epochs:
        command = [python, str(Path(__file__).with_name("recbole_side.py")), str(work), NAMES[model], str(epochs)]
        with kept.open("w") as file:
            subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)
        lines = kept.read_text().splitlines()
    return [json.loads(line) for line in lines]


def ours(model: str, split: Split, goal: float) -> tuple[float, int, float]:
    """CPU seconds and epochs to the goal, and the NDCG@20 reached.

    Every number of epochs is a fit from scratch, timed alone, as a refit in an audit is.
    """
    for epochs in range(1, 200):
        victim = build(Recipe(model, {}))
        start = time.process_time()
        victim.fit(split.train, 0, epochs=epochs)
        seconds = time.process_time() - start
        score = evaluate(victim, split.valid, split.train, cutoffs=(20,))["ndcg@20"]
        print(json.dumps({"epochs": epochs, "train_cpu_s": seconds, "ndcg@20": score}), flush=True)
        if score >= goal:
            return seconds, epochs, score
    raise SystemExit(f"recaudit's {model} did not reach {goal:.4f}")


def evaluation(python: str, work: Path, model: str, split: Split) -> None:
    """Both sides' cheapest of five full-ranking evaluations, of the same six metrics, in one run: a Markdown row."""
    command = [python, str(Path(__file__).with_name("recbole_side.py")), str(work), NAMES[model], "0"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    theirs = min(json.loads(line)["evaluate_cpu_s"] for line in lines if line.startswith("{"))
    victim = build(Recipe(model, {}))
    victim.fit(split.train, 0, epochs=1)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        evaluate(victim, split.valid, split.train, cutoffs=(20,))
        seconds.append(time.process_time() - start)
    print("| model | RecBole, CPU s | recaudit, CPU s | ratio |")
    print("|---|---:|---:|---:|")
    print(f"| {model} | {theirs:.2f} | {min(seconds):.3f} | {theirs / min(seconds):.0f}x |")


def main() -> None:
    """Run both halves and print a Markdown row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recbole", required=True, help="python of the environment that has RecBole")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--model", choices=NAMES, required=True)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--evaluation", action="store_true", help="only the cost of a full-ranking evaluation")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sequential = options.model == "sasrec"
    spec = "leave-last-out" if sequential else "given"
    if not (options.work / "bench").exists():
        split = make_split(read_log(options.data), "leave-last-out" if sequential else "ratio:0.8,0.1,0.1", 0)
        write_atomic_files(split, options.work / "bench", sequential)
    split = make_split(read_log(options.work / "bench"), spec, 0)  # both halves read the same files
    if options.evaluation:
        evaluation(options.recbole, options.work, options.model, split)
        return
    theirs = recbole(options.recbole, options.work, options.model, options.epochs)
    best = max(theirs, key=lambda line: line["ndcg@20"])
    seconds, epochs, score = ours(options.model, split, best["ndcg@20"])
    print("| model | data | NDCG@20 valid, RecBole | epochs | CPU s | recaudit | epochs | CPU s | ratio |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    print(
        f"| {options.model} | {options.data.name} "
        f"| {best['ndcg@20']:.4f} | {best['epoch']} | {best['train_cpu_s']:.0f} "
        f"| {score:.4f} | {epochs} | {seconds:.1f} | {best['train_cpu_s'] / seconds:.0f}x |"
    )


if __name__ == "__main__":
    main()
