"""What defences take from attacks, and what they cost: attack x defence x size on one victim, kept as rows.

    python benchmarks/defenses.py --shared ../shared --work DIR --data automotive --model lightgcn --sizes 1%
        --attacks popular,pga --defenses t-ce,vat,together,lorec:arm=permuted;cross_fit=5 [--targets 5]
        [--seeds 3] [--draws 1] [--skip 0]
    python benchmarks/defenses.py --table | --plot docs/images/defenses.svg

Every trial of `attacks.py` (published targets where there are any, else cold items) undefended and with each defence,
same accounts, same refit seeds. Cells are kept in DIR and resume; rows of a finished victim replace its older ones in
the file of rows, from which --table prints the tables of docs/defenses-standing.md and --plot draws their heat map.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from victims import DATA, add_options, fields, prepared, shown

from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.design import make_design
from recaudit.audit.bench import Protocol
from recaudit.audit.cell import Cell
from recaudit.audit.engine import Plan, run_plan
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.defenses.catalogue import build
from recaudit.defenses.protection import PREFIX, Protection

KEYS = ["data", "model", "size", "attack", "defense"]
TARGET = ("hr@20", "hr@50", "ndcg@50", "log2_rank")
UTILITY = ("hr@10", "ndcg@20")
ACCOUNTS = ("auc", "ap", "recall", "caught", "false_alarms", "refused")
NONE = "none"


def main() -> None:
    """Run what is missing, print the tables, or draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "1%")
    parser.add_argument("--attacks", default="popular", help="names, with commas between")
    parser.add_argument("--defenses", default="t-ce,vat,together", help="names, each with settings if need be")
    parser.add_argument("--targets", type=int, default=5, help="target items")
    parser.add_argument("--seeds", type=int, default=3, help="refits for each target")
    parser.add_argument("--draws", type=int, default=1, help="draws of targets, each with its own refit seeds")
    parser.add_argument("--skip", type=int, default=0, help="draws that were measured before and are left out")
    parser.add_argument("--called", help="what the rows call the victim, where its model does not say it all")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "defenses.csv")
    parser.add_argument("--table", action="store_true", help="print the tables of the rows")
    parser.add_argument("--plot", type=Path, help="draw the heat map of the rows into this file")
    options = parser.parse_args()
    if options.work is not None:
        rows = measured(options)
        options.rows.parent.mkdir(exist_ok=True)
        old = pd.read_csv(options.rows, dtype={"item": str}) if options.rows.exists() else rows.head(0)
        joined = pd.concat([old, rows]).drop_duplicates([*KEYS, "item", "seed"], keep="last")
        joined.sort_values([*KEYS, "item", "seed"]).to_csv(options.rows, index=False)
    found = pd.read_csv(options.rows, dtype={"item": str})
    if options.plot is not None:
        draw(found, options.plot)
    else:
        tables(found)


def measured(options: argparse.Namespace) -> pd.DataFrame:
    """One row for each attack, size, defence, target and seed of a victim."""
    target, work = prepared(options)
    settings = InjectionConfig(
        attacks=tuple(options.attacks.split(",")), sizes=tuple(options.sizes.split(",")), strata=("cold",),
        items=DATA[options.data][3][: options.targets], per_stratum=options.targets, seeds_per_target=options.seeds,
        control_seeds=options.seeds,
    )  # fmt: skip
    designs = [make_design(target, settings, "push", draw) for draw in range(options.skip, options.draws)]
    protections: dict[str, Protection | None] = {NONE: None}
    for text in options.defenses.split(","):
        name, _, own = text.partition(":")
        protections[text] = Protection(name, fields(own, ";"))
        why = build(name, fields(own, ";")).why_not(target.recipe, target.split.train)
        if why is not None:
            raise SystemExit(f"{text}: {why}")
    trials = [(*key, trial) for each in designs for key, members in each.trials.items() for trial in members]
    controls = [cell for each in designs for cell in each.controls]

    def defended(cell: Cell, name: str) -> Cell:
        own = protections[name]
        return cell if own is None else replace(cell, label=f"{cell.label}, {name}", defense=own)

    protocol, store = Protocol((10, 20, 50)), Store(work / "cells")
    wanted = [
        defended(cell, name)
        for name in protections
        for cell in dict.fromkeys([*controls, *(trial.attacked for *_, trial in trials)])
    ]
    keyed = {cell.key(target, protocol.describe()): cell for cell in wanted}
    plan = Plan(keyed, (), (), frozenset(key for key in keyed if store.read(key, False)))
    with progress(f"{options.data} {options.model}") as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    rows: list[dict[str, Any]] = []
    for attack, size, trial in trials:
        item = str(target.split.train.item_ids[trial.item])
        for name in protections:
            sides = {side: results[defended(getattr(trial, side), name)] for side in ("control", "attacked")}
            row: dict[str, Any] = {
                "data": options.data, "model": options.called or options.model, "size": size, "attack": attack,
                "defense": name, "item": item, "seed": trial.attacked.seed,
            }  # fmt: skip
            for side, result in sides.items():
                row |= {f"{side}_{value}": result.values.get(f"target/{item}/{value}") for value in TARGET}
            row |= {f"clean_{value}": sides["control"].values.get(value) for value in UTILITY}
            row |= {value: sides["attacked"].values.get(PREFIX + value) for value in ACCOUNTS}
            row |= {"cpu_s": sides["control"].costs.get("fit")}
            rows.append(row)
    found = pd.DataFrame(rows)
    numbers = found.select_dtypes("number").columns.difference(["seed"])
    found[numbers] = found[numbers].round(5)
    return found


def tables(rows: pd.DataFrame) -> None:
    """A table for each victim, size and attack: who leaves least first."""
    head = "defence|log2 rank shift left|taken|HR@50 gain left|NDCG@20|less than none|AUC|caught|false alarms"
    for key, part in rows.groupby(KEYS[:4]):
        print(f"\n### {', '.join(key)}\n")
        base = part[part.defense == NONE].set_index(["item", "seed"])
        clean = f"target HR@50 {base['control_hr@50'].mean():.4f}, genuine users HR@10 {base['clean_hr@10'].mean():.4f}"
        print(f"{part.item.nunique()} targets, {part.seed.nunique()} seeds; undefended control: {clean}.\n")
        print("| " + " | ".join(head.split("|")) + " |\n|---|---|---|---|---:|---|---:|---:|---:|")
        lines = []
        for name, own in part.groupby("defense"):
            own = own.set_index(["item", "seed"])
            left, clusters = shift(own), list(own.index.get_level_values("item"))
            gain = own["attacked_hr@50"] - own["control_hr@50"]
            price = (own["clean_ndcg@20"] - base["clean_ndcg@20"]).dropna().groupby("seed").mean()
            less = (shift(base) - left).dropna()  # a defence may have been run with fewer seeds
            seen = ["" if own[value].isna().all() else f"{own[value].mean():.2f}" for value in ACCOUNTS if value in
                    ("auc", "caught", "false_alarms")]  # fmt: skip
            taken = "" if name == NONE else shown(less, list(less.index.get_level_values("item")), 2)
            cost = "" if name == NONE else f"{price.mean():+.4f} ({price.min():+.4f} to {price.max():+.4f})"
            seeds = own.index.get_level_values("seed").nunique()
            label = name if seeds == base.index.get_level_values("seed").nunique() else f"{name} ({seeds} seed)"
            cells = [label, shown(left, clusters, 2), taken, shown(gain, clusters, 4)]
            lines.append((left.mean(), [*cells, f"{own['clean_ndcg@20'].mean():.4f}", cost, *seen]))
        for _, cells in sorted(lines, key=lambda line: line[0]):
            print(f"| {' | '.join(cells)} |")


def shift(rows: pd.DataFrame) -> pd.Series:
    """How often the target's rank halves under attack: control less attacked log2 rank."""
    found: pd.Series = rows["control_log2_rank"] - rows["attacked_log2_rank"]
    return found


def draw(rows: pd.DataFrame, path: Path) -> None:
    """Heat map: what is left of the rank shift, coloured by how far that is from none; a column a defence."""
    import matplotlib as mpl
    from matplotlib import pyplot

    rows = rows.assign(left=shift(rows), case=rows[KEYS[:4]].agg(" ".join, axis=1))
    left = rows.pivot_table("left", "defense", "case", sort=False)
    # by target and seed, since a defence may have been run with fewer of them than the undefended model
    trial = ["case", "item", "seed"]
    undefended = rows[rows.defense == NONE].set_index(trial)["left"].rename("undefended")
    paired = rows.join(undefended, on=trial)
    paired["change"] = paired["left"] - paired["undefended"]
    change = paired.pivot_table("change", "defense", "case", sort=False)[left.columns]
    left = left.loc[sorted(left.index, key=lambda name: (name != NONE, change.loc[name].mean()))]
    left, change, price = left.T, change.loc[left.index].T, _price(rows)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "recaudit"}):
        size = (4.6 + 0.42 * left.shape[1], 2.4 + 0.22 * len(left))
        figure, axis = pyplot.subplots(figsize=size, layout="constrained")
        image = axis.imshow(change, cmap="RdBu_r", vmin=-1.5, vmax=1.5, aspect="auto", alpha=0.75)
        axis.set_yticks(range(len(left)), left.index, fontsize=7)
        names = [f"{name}  ({price[name]:+.1%})" if name in price else name for name in left.columns]
        axis.set_xticks(range(left.shape[1]), names, rotation=30, ha="right", fontsize=7)
        for (row, column), value in np.ndenumerate(left.to_numpy()):
            if not np.isnan(value):
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7)
        bar = figure.colorbar(image, shrink=0.8)
        bar.set_label("more or less than undefended, paired", fontsize=7)
        bar.ax.tick_params(labelsize=6)
        axis.set_title("log2 rank shift that is left\n(in brackets: change of NDCG@20 without attack)", fontsize=8)
        # the room at the edge is for viewers whose font is wider than the one this was laid out with
        figure.savefig(path, facecolor="white", bbox_inches="tight", pad_inches=0.4,
                       metadata={"Date": None} if path.suffix == ".svg" else None)  # fmt: skip


def _price(rows: pd.DataFrame) -> dict[str, float]:
    """Mean relative change of NDCG@20 by a defence, paired by seed, over victims."""
    clean = rows.groupby(["data", "model", "seed", "defense"])["clean_ndcg@20"].mean().unstack()
    change = clean.div(clean[NONE], axis=0) - 1
    return {str(name): float(value) for name, value in change.mean().items() if name != NONE}


if __name__ == "__main__":
    main()
