"""What defences take from an attack, and what they cost: a LightGCN victim on Automotive, 1 % fake accounts.

    python benchmarks/defenses.py --work DIR [--targets 5] [--seeds 1] [--defenses t-ce,vat] [--jobs 1]

Published targets. A refit without accounts is compared with refits under attack, both defended, of the same seed.
Intervals are over targets, 95 % each; NDCG@20 is that of the refits without accounts. DIR keeps what is done: resumes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.design import Trial, make_design
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import CellResults, Plan, run_plan
from recaudit.audit.statistics import interval
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.cli.train import train_and_save
from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import read_log
from recaudit.datasets.split import make_split
from recaudit.defenses.protection import Protection
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.checkpoint import open_checkpoint
from recaudit.recommenders.target import Target

TARGETS = ("119", "422", "594", "884", "1593")
ROBUST = ("t-ce", "r-ce", "pld", "trimmed-users", "apr", "vat", "pama-cf")
# with this setting T-CE is the victim's own training, bit for bit; run as a defence, its CPU time is kept
NONE = Protection("t-ce", {"eps_max": 0.0})
HEAD = """| defence | HR@20 | gain | less than none | log2 rank | shift | less than none | NDCG@20 | CPU s |
|---|---:|---|---|---:|---|---|---:|---:|"""


def main() -> None:
    """Compute what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--targets", type=int, default=5, help="the first so many of the published ones")
    parser.add_argument("--seeds", type=int, default=1, help="refits per target, and without accounts")
    parser.add_argument("--defenses", default=",".join(ROBUST), help="with commas between")
    parser.add_argument("--jobs", type=int, default=None, help="cells at a time; a core each if not given")
    options = parser.parse_args()
    protections = {"none": NONE} | {name: Protection(name) for name in options.defenses.split(",")}
    target = victim(options.work / "checkpoint", options.shared / "data" / "legup-automotive")
    count = {"seeds_per_target": options.seeds, "control_seeds": options.seeds}
    items = TARGETS[: options.targets]
    config = InjectionConfig(attacks=("popular", "random"), sizes=("1%",), strata=("cold",), items=items, **count)
    design = make_design(target, config, "push", 0)
    protocol, store = Protocol((20,)), Store(options.work / "cells")
    cells = [
        replace(cell, label=f"{cell.label}, {name}", defense=protection)
        for name, protection in protections.items()
        for cell in [*design.controls, *(trial.attacked for trials in design.trials.values() for trial in trials)]
    ]
    keyed = {cell.key(target, protocol.describe()): cell for cell in cells}
    plan = Plan(keyed, (), (), frozenset(key for key in keyed if store.read(key, False)))
    with progress("defences") as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    for (attack, _), trials in design.trials.items():
        print(f"\n{attack}:\n\n{HEAD}")
        for name, protection in protections.items():
            print(f"| {name} | {line(target, results, trials, protection)} |")


def victim(folder: Path, data: Path) -> Target:
    """The trained victim, trained now if the folder has none."""
    try:
        return open_checkpoint(folder)
    except CheckpointError:
        train_and_save(folder, Recipe("lightgcn", {}), make_split(read_log(data), "given", 0), 0, overwrite=True)
        return open_checkpoint(folder)


def line(target: Target, results: CellResults, trials: Sequence[Trial], protection: Protection) -> str:
    """What a training makes of one attack, beside the victim's own training."""
    found = []
    items = [str(target.split.train.item_ids[trial.item]) for trial in trials]
    for measure, digits in (("hr@20", 4), ("log2_rank", 2)):
        changes = {}
        for own in (NONE, protection):
            cells = [[replace(cell, defense=own) for cell in (trial.control, trial.attacked)] for trial in trials]
            pairs = [(f"target/{item}/{measure}", both) for item, both in zip(items, cells, strict=True)]
            before, after = np.array([[results[cell].values[name] for cell in both] for name, both in pairs], float).T
            changes[own] = after - before if measure == "hr@20" else before - after  # larger: good for the attacker
        less = changes[NONE] - changes[protection]
        found += [f"{before.mean():.{digits}f}", text(changes[protection], items, digits), text(less, items, digits)]
    clean = [results[replace(trial.control, defense=protection)] for trial in trials]
    utility = np.mean([cell.values["ndcg@20"] for cell in clean])
    return " | ".join([*found, f"{utility:.4f}", f"{np.mean([cell.defense_seconds or 0.0 for cell in clean]):.1f}"])


def text(values: np.ndarray, clusters: Sequence[str], digits: int) -> str:
    """Mean and 95 % interval over targets."""
    low, high = interval(values.tolist(), clusters, 0.95) or (float("nan"), float("nan"))
    mean, low, high = (f"{round(value, digits) + 0:+.{digits}f}" for value in (float(values.mean()), low, high))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    main()
