"""All attacks on one victim of one data set: effect, visibility and cost, kept as rows that later runs add to.

    python benchmarks/attacks.py --shared ../shared --work DIR --data automotive --model lightgcn [--sizes 1%,5%]
        [--attacks random,revadv | --settings clear:decay=1] [--rows benchmarks/results/attacks.csv]
    python benchmarks/attacks.py --table [--rows benchmarks/results/attacks.csv]

Five targets, three seeds each, refits from scratch by the victim's recipe for the epochs that early stopping chose.
Targets of Automotive and MovieLens-100K are the published ones; of the other data five cold items are drawn. Sizes are
shares of the genuine users, profiles as long as the mean genuine one. Cells are kept in DIR and resume; the rows of a
finished victim replace its older ones in the file, from which --table prints the tables of docs/attacks-standing.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recaudit.attacks.catalogue import CATALOGUE, attack_class
from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.design import victim_kind
from recaudit.attacks.experiment import PromotionProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.statistics import interval
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.cli.train import train_and_save
from recaudit.datasets.demo import load_demo
from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import read_log
from recaudit.datasets.split import make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import model_class
from recaudit.recommenders.checkpoint import open_checkpoint

# folder, split for models without and with order, published targets
DATA: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "automotive": ("legup-automotive", "given", "given", ("119", "422", "594", "884", "1593")),
    "movielens-100k": ("movielens-100k", "ratio:0.8,0.1,0.1", "leave-last-out", ("62", "785", "1077", "1257", "1419")),
    "movietweetings": ("movietweetings-100k", "ratio:0.8,0.1,0.1", "leave-last-out", ()),
    "beauty": ("amazon-beauty-seq", "ratio:0.8,0.1,0.1", "leave-last-out", ()),
    "embedded": ("", "leave-last-out", "leave-last-out", ()),
}
KEYS = ["data", "model", "size", "knowledge", "attack"]


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path)
    parser.add_argument("--data", choices=DATA, default="automotive")
    parser.add_argument("--model", default="lightgcn")
    parser.add_argument("--sizes", default="1%,5%", help="attack sizes, with commas between")
    parser.add_argument("--attacks", default="", help="names, with commas between; all that apply if not given")
    parser.add_argument("--settings", default="", help="of one attack, as clear:decay=1,steps=5; its rows carry them")
    parser.add_argument("--knowledge", type=float, default=1.0, help="share of the users whose profiles are seen")
    parser.add_argument("--jobs", type=int, default=None, help="cells at a time; a core each if not given")
    parser.add_argument("--recipe", default="", help="fields of the victim's recipe, name=value with commas between")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "attacks.csv")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        rows = measured(options)
        options.rows.parent.mkdir(exist_ok=True)
        old = pd.read_csv(options.rows) if options.rows.exists() else rows.head(0)
        new = set(map(tuple, rows[KEYS].astype(str).to_numpy()))
        kept = [tuple(row) not in new for row in old[KEYS].astype(str).to_numpy()]
        pd.concat([old[kept], rows]).sort_values([*KEYS, "item", "seed"]).to_csv(options.rows, index=False)
    tables(pd.read_csv(options.rows))


def measured(options: argparse.Namespace) -> pd.DataFrame:
    """One row for each attack, size, target and seed of a victim."""
    if options.work is None:
        raise SystemExit("--work DIR: where cells are kept")
    folder, plain, ordered, items = DATA[options.data]
    spec = ordered if model_class(options.model).family == "sequential" else plain
    work = options.work / options.data / options.model
    config = dict(pair.split("=") for pair in options.recipe.split(",") if pair)
    try:
        target = open_checkpoint(work / "checkpoint")
    except CheckpointError:
        log = read_log(options.shared / "data" / folder) if folder else load_demo()
        recipe = Recipe(options.model, config)
        train_and_save(work / "checkpoint", recipe, make_split(log, spec, 0), 0, overwrite=True)
        target = open_checkpoint(work / "checkpoint")
    kind = victim_kind(target)
    names = tuple(options.attacks.split(",")) if options.attacks else tuple(CATALOGUE.own)
    names = tuple(name for name in names if attack_class(name).applies(kind, "push"))
    varied, _, fields = options.settings.partition(":")
    own = {varied: dict(pair.split("=") for pair in fields.split(","))} if varied else {}
    settings = InjectionConfig(
        attacks=(varied,) if varied else names, sizes=tuple(options.sizes.split(",")), strata=("cold",), items=items,
        per_stratum=5, seeds_per_target=3, control_seeds=3, knowledge=options.knowledge, settings=own,
    )  # fmt: skip
    probe, protocol, store = PromotionProbe(settings, 0), Protocol((20,)), Store(work / "cells")
    plan = make_plan(target, [probe], protocol, store)
    with progress(f"{options.data} {options.model}") as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    for failure in failures:
        print("failed:", failure)
    rows: list[dict[str, Any]] = []
    for (attack, size), trials in probe.design(target).trials.items():
        for trial in trials:
            if trial.attacked not in results:
                continue
            item = str(target.split.train.item_ids[trial.item])
            row: dict[str, Any] = {
                "data": options.data, "model": options.model, "size": size, "knowledge": options.knowledge,
                "attack": f"{attack} {fields}".strip(), "item": item, "seed": trial.attacked.seed,
                "craft_cpu_s": results[trial.attacked].craft_seconds,
            }  # fmt: skip
            for side in ("control", "clones", "attacked"):
                values = results[getattr(trial, side)].values
                for name in ("hr@20", "log2_rank", "standard_score"):
                    row[f"{side}_{name}"] = values.get(f"target/{item}/{name}")
                row[f"{side}_ndcg@20"] = values["ndcg@20"]
            seen = results[trial.attacked].values
            aucs = [value for name, value in seen.items() if name.endswith("/auc") and value is not None]
            rows.append(row | {"auc": max(aucs, default=None)})
    found = pd.DataFrame(rows)
    numbers = found.select_dtypes("number").columns.difference(["seed"])
    found[numbers] = found[numbers].round(5)
    return found


def tables(rows: pd.DataFrame) -> None:
    """One table for each victim and size, strongest first."""
    for (data, model, size), part in rows.groupby(["data", "model", "size"], sort=True):
        part = part[part.knowledge == 1]
        if part.empty:
            continue
        clean = part.drop_duplicates(["item", "seed"])
        print(
            f"\n### {data}, {model}, {size}\n\nClean: HR@20 {clean['control_hr@20'].mean():.4f}, "
            f"NDCG@20 {clean['control_ndcg@20'].mean():.4f}; {part.item.nunique()} targets, "
            f"{part.seed.nunique()} seeds.\n"
        )
        print("| attack | log2 rank shift | less clone-and-push | HR@20 gain | NDCG@20 change | AUC | craft, CPU s |")
        print("|---|---|---|---|---:|---:|---:|")
        lines = []
        base = _shift(part[part.attack == "clone-and-push"])
        for attack, own in part.groupby("attack"):
            shift = _shift(own)
            lead = (shift - base).dropna()
            gain = (own["attacked_hr@20"] - own["control_hr@20"]).set_axis(shift.index)
            change = (own["attacked_ndcg@20"] - own["control_ndcg@20"]).mean()
            text = (
                f"| {attack} | {_text(shift)} | {'' if attack == 'clone-and-push' else _text(lead)} | {_text(gain, 4)} "
                f"| {change:+.4f} | {own.auc.mean():.2f} | {own.craft_cpu_s.mean():.1f} |"
            )
            lines.append((shift.mean(), text))
        print("\n".join(text for _, text in sorted(lines, reverse=True)))
    curves(rows)


def curves(rows: pd.DataFrame) -> None:
    """Attacks that were run with several shares of the log in sight."""
    known = rows.groupby(["data", "model", "size", "attack"]).knowledge.transform("nunique")
    if not (known > 1).any():
        return
    print(
        "\n### Less of the log in sight\n\n| data | model | size | attack | share seen | log2 rank shift | HR@20 gain |"
    )
    print("|---|---|---|---|---:|---|---|")
    for key, own in rows[known > 1].groupby(["data", "model", "size", "attack", "knowledge"]):
        shift = _shift(own)
        gain = (own["attacked_hr@20"] - own["control_hr@20"]).set_axis(shift.index)
        print(f"| {' | '.join(map(str, key))} | {_text(shift)} | {_text(gain, 4)} |")


def _shift(rows: pd.DataFrame) -> pd.Series:
    found: pd.Series = (
        rows.set_index(["item", "seed"])["control_log2_rank"] - rows.set_index(["item", "seed"])["attacked_log2_rank"]
    )
    return found


def _text(values: pd.Series, digits: int = 2) -> str:
    """Mean and 95 % interval over targets."""
    clusters = [str(item) for item, _ in values.index]
    found = interval(values.tolist(), clusters, 0.95)
    mean = float(np.mean(values))
    if found is None:
        return f"{mean:+.{digits}f}"
    return f"{mean:+.{digits}f} [{found[0]:+.{digits}f}, {found[1]:+.{digits}f}]"


if __name__ == "__main__":
    main()
