"""All fairness measures of four models and random lists on three data sets: the tables of docs/fairness.md.

    python benchmarks/fairness_standing.py --data ../shared/data --work DIR [--only movielens-100k]

Lists of ten over the whole catalogue, seen items left out, for the users with test items. MovieLens-100K and Beauty:
leave-last-out, models with their defaults, stopped by the validation part; MovieLens-100K also with a fifth of every
user's events held out, since published tables have several test items a user. Gowalla: the given split, models fitted
on train and validation part, LightGCN with the settings of benchmarks/lightgcn_gowalla.py. One seed.
Random is a model with random scores. The original form of IFD÷ needs full ranks and stays undefined.

DIR keeps one JSON for each data set and model, with the lists: a second run trains what is missing and measures anew.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from lightgcn_gowalla import CHOSEN, EPOCHS
from numpy.typing import NDArray

from recaudit.audit.files import write_whole
from recaudit.datasets.log import Float32, InteractionLog
from recaudit.datasets.read import read_log
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import Split, make_split
from recaudit.fairness.catalogue import ALL
from recaudit.fairness.recommendations import Recommendations
from recaudit.recommenders.base import Recipe, Recommender
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.evaluate import relevance
from recaudit.recommenders.metrics import ndcg
from recaudit.recommenders.ranking import rank

K = 10
DATA = {
    "movielens-100k": ("movielens-100k", "leave-last-out"),
    "movielens-100k-ratio": ("movielens-100k", "ratio:0.7,0.1,0.2"),  # several test items a user, as published
    "gowalla": ("gowalla", "given"),
    "amazon-beauty-seq": ("amazon-beauty-seq", "leave-last-out"),
}
MODELS = {
    "lightgcn": "LightGCN",
    "sasrec": "SASRec",
    "ease": "EASE",
    "popularity": "popularity",
    "random": "random",
}
LARGEST_FOR_EASE = 20_000


class Random:
    """Scores that mean nothing, drawn as the blocks of users come."""

    def __init__(self, n_users: int, n_items: int) -> None:
        self.n_users, self.n_items = n_users, n_items
        self.source = rng(0, "benchmark", "random")

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        return self.source.random((len(users), self.n_items), np.float32)


def obstacle(model: str, split: Split) -> str:
    """Why this model is not run on these data; "" if it is."""
    if model == "sasrec" and split.train.time is None:
        return "the data have no order in time"
    if model == "ease" and split.train.n_items > LARGEST_FOR_EASE:
        n = split.train.n_items
        return f"its matrix of {n:,} x {n:,} numbers is too large to invert here"
    return ""


def fitted(model: str, split: Split) -> Recommender:
    """The model as the top of this file says."""

    def report(step: int, steps: int, text: str) -> None:
        print(f"{model} {step}/{steps} {text}", file=sys.stderr)

    if model == "random":
        return Random(split.train.n_users, split.train.n_items)
    if split.recipe != "given":
        return fit(Recipe(model, {}), split.train, 0, valid=split, report=report)
    recipe = Recipe(model, CHOSEN, EPOCHS) if model == "lightgcn" else Recipe(model, {})
    return fit(recipe, split.history, 0, report=report)


def standing(name: str, model: str, split: Split, file: Path) -> dict[str, Any]:
    """What there is to say about a model; kept in the file, with its lists."""
    about = {"data": name, "model": model, "split": split.recipe}
    if reason := obstacle(model, split):
        return about | {"skipped": reason}
    users, relevant = relevance(split.test, split.history)
    if file.exists():
        found: dict[str, Any] = json.loads(file.read_text())
    else:
        start = time.process_time()
        recommender = fitted(model, split)
        seconds = time.process_time() - start
        lists = rank(recommender, users, split.history, K).slate.items
        found = about | {"fit_cpu_s": seconds, "epochs": getattr(recommender, "epochs", None), "lists": lists.tolist()}
    lists = np.array(found["lists"], np.int32)
    data = Recommendations.of(lists, split.train.n_items, relevant, consumed=split.history.matrix()[users])
    _, hits = data.judged
    found["users"], found["items"] = len(users), data.n_items
    found["relevant"] = relevant.nnz
    found["ndcg"] = float(ndcg(hits, data.n_relevant, K).mean())
    found["values"] = {
        name: {"value": value.value, "note": value.note, "users": value.users}
        for measure in ALL
        for name, value in ((name, formula(data)) for name, formula in measure.forms.items())
    }
    write_whole(file, json.dumps(found).encode())
    return found


def text(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def table(name: str, rows: list[dict[str, Any]]) -> None:
    """Measures as rows, models as columns; below it what was left out and why."""
    run = [row for row in rows if "skipped" not in row]
    first = run[0]
    print(f"\n## {name}\n")
    print(
        f"{first['users']:,} users with {first['relevant']:,} held-out items, {first['items']:,} items, "
        f"{first['split']}, lists of {K}.\n"
    )
    print(f"| measure | form | fairer | {' | '.join(MODELS[row['model']] for row in rows)} |")
    print("|---|---|---|" + "---:|" * len(rows))
    print(f"| NDCG@{K} | | | {' | '.join(text(row.get('ndcg')) for row in rows)} |")
    notes: dict[str, list[str]] = {}
    for measure in ALL:
        fairer = "higher" if measure.direction == "up" else "lower"
        for form in measure.forms:
            kind = form.removeprefix(f"{measure.slug}_")
            if kind == measure.slug:
                kind = "original" if measure.corrected is None else "corrected"
            cells = [row.get("values", {}).get(form, {}) for row in rows]
            print(f"| {measure.symbol} | {kind} | {fairer} | {' | '.join(text(c.get('value')) for c in cells)} |")
            for cell in cells:
                if cell and cell["value"] is None:
                    notes.setdefault(cell["note"], []).append(f"{measure.symbol} {kind}")
    print(f"| training, CPU s | | | {' | '.join(text(row.get('fit_cpu_s')) for row in rows)} |")
    print()
    for row in rows:
        if "skipped" in row:
            print(f"- {MODELS[row['model']]} was not run: {row['skipped']}.")
    for note, forms in notes.items():
        print(f"- Undefined, {', '.join(dict.fromkeys(forms))}: {note}.")


def main() -> None:
    """Train what is missing, measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with the data sets")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", choices=tuple(DATA), help="one data set")
    options = parser.parse_args()
    for name in [options.only] if options.only else DATA:
        folder, spec = DATA[name]
        split = make_split(read_log(options.data / folder), spec)
        rows = [standing(name, model, split, options.work / f"{name}.{model}.json") for model in MODELS]
        table(name, rows)


if __name__ == "__main__":
    main()
