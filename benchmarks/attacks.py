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

import pandas as pd
from victims import DATA, add_options, fields, prepared, shown

from recaudit.attacks.catalogue import CATALOGUE, attack_class
from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.design import victim_kind
from recaudit.attacks.experiment import PromotionProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.store import Store
from recaudit.cli.progress import progress

KEYS = ["data", "model", "size", "knowledge", "attack"]


def main() -> None:
    """Run what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "1%,5%")
    parser.add_argument("--attacks", default="", help="names, with commas between; all that apply if not given")
    parser.add_argument("--settings", default="", help="of one attack, as clear:decay=1,steps=5; its rows carry them")
    parser.add_argument("--knowledge", type=float, default=1.0, help="share of the users whose profiles are seen")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "attacks.csv")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        rows = measured(options)
        options.rows.parent.mkdir(exist_ok=True)
        old = pd.read_csv(options.rows, dtype={"item": str}) if options.rows.exists() else rows.head(0)
        new = set(map(tuple, rows[KEYS].astype(str).to_numpy()))
        kept = [tuple(row) not in new for row in old[KEYS].astype(str).to_numpy()]
        pd.concat([old[kept], rows]).sort_values([*KEYS, "item", "seed"]).to_csv(options.rows, index=False)
    tables(pd.read_csv(options.rows, dtype={"item": str}))


def measured(options: argparse.Namespace) -> pd.DataFrame:
    """One row for each attack, size, target and seed of a victim."""
    target, work = prepared(options)
    items = DATA[options.data][3]
    kind = victim_kind(target)
    names = tuple(options.attacks.split(",")) if options.attacks else tuple(CATALOGUE.own)
    names = tuple(name for name in names if attack_class(name).applies(kind, "push"))
    varied, _, given = options.settings.partition(":")
    own = {varied: fields(given)} if varied else {}
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
                "attack": f"{attack} {given}".strip(), "item": item, "seed": trial.attacked.seed,
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
    return shown(values.tolist(), [str(item) for item, _ in values.index], digits)


if __name__ == "__main__":
    main()
