"""LoRec and its control arms against two attacks on SASRec, on the embedded data.

    python benchmarks/lorec.py --work DIR [--arms real,permuted,random-items,none] [--attacks random,dual-promotion]

Leave-last-out, id-based SASRec of 32 dimensions and at most 8 epochs, 1 % fake accounts, a few cold targets. `random`
is of a family that the defence simulates, `dual-promotion` is not. All arms share victims, fake accounts and simulated
fraudsters. Checkpoint and cells are kept in DIR and resume.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from takeover import victim

from recaudit.attacks.reading import Reader, mean
from recaudit.audit.bench import Protocol
from recaudit.audit.cell import Cell
from recaudit.audit.engine import CellResults, make_plan, run_plan
from recaudit.audit.statistics import interval
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.datasets.demo import load_demo
from recaudit.defenses.check import DefenseProbe, DefensesConfig
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.target import Target

COLUMNS = "attack,texts,HR@20 gain,log2 rank shift,NDCG@20 clean,AUC,AP,AP by chance,caught,false alarms,refused".split(
    ","
)
ACCOUNTS = (("auc", 2), ("ap", 3), ("ap_by_chance", 3), ("caught", 2), ("false_alarms", 3), ("refused", 0))


def main() -> None:
    """Compute what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--arms", default="real,permuted,random-items,none", help="with commas between")
    parser.add_argument("--attacks", default="random,dual-promotion", help="with commas between")
    parser.add_argument("--targets", type=int, default=3, help="cold target items")
    parser.add_argument("--seeds", type=int, default=1, help="refit seeds for each target")
    parser.add_argument("--cross-fit", type=int, default=0, help="folds; 0 is the published single calibrator")
    parser.add_argument("--jobs", type=int, default=None, help="cells at a time; a core each if not given")
    options = parser.parse_args()
    target = victim(options.work / "checkpoint", Recipe("sasrec", {"dim": 32, "max_epochs": 8}), load_demo())
    print(f"| {' | '.join(COLUMNS)} |\n|---|---|---|---|{'---:|' * 7}")
    for number, arm in enumerate(options.arms.split(",")):
        config = DefensesConfig(
            attacks=tuple(options.attacks.split(",")), strata=("cold",), per_stratum=options.targets,
            seeds_per_target=options.seeds, control_seeds=options.seeds, defenses=("lorec",),
            defense_settings={"lorec": {"arm": arm, "cross_fit": options.cross_fit}},
        )  # fmt: skip
        for line in lines(target, DefenseProbe(config, 0), arm, options, undefended=number == 0):
            print(f"| {line} |", flush=True)


def lines(
    target: Target, probe: DefenseProbe, arm: str, options: argparse.Namespace, undefended: bool
) -> Sequence[str]:
    """A line for each attack; those without a defence first, if they are wanted."""
    protocol, store = Protocol((20,)), Store(options.work / "cells")
    plan = make_plan(target, [probe], protocol, store)
    with progress(arm) as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    design, log = probe.design(target), target.split.train
    found = []
    if undefended:
        for (attack, _), trials in design.attacks.trials.items():
            found.append(line(attack, "undefended", Reader(log, results, trials), design.attacks.controls, results))
    for (_, attack, _), trials in design.trials.items():
        found.append(line(attack, arm, Reader(log, results, trials), design.controls["lorec"], results))
    return found


def line(attack: str, arm: str, reader: Reader, controls: Sequence[Cell], results: CellResults) -> str:
    """One row: means over targets, with intervals of 95 % where they are gains."""
    clean = mean([value for cell in controls if (value := results[cell].values["ndcg@20"]) is not None])
    shown = [gain(reader, "hr@20", 1, 3), gain(reader, "log2_rank", -1, 2), f"{clean:.4f}"]
    for name, digits in ACCOUNTS:
        value = mean(reader.values("attacked", f"defense/{name}", watched=False))
        shown.append("" if value is None else f"{value:.{digits}f}")
    return " | ".join([attack, arm, *shown])


def gain(reader: Reader, name: str, sign: int, digits: int) -> str:
    """Attacked less control, and its interval over targets."""
    units = reader.units(name, sign, watched=True)
    values = [unit.value for unit in units]
    ends = interval(values, [unit.cluster for unit in units], 0.95) or (float("nan"), float("nan"))
    low, middle, high = (f"{value:+.{digits}f}" for value in (ends[0], mean(values) or 0.0, ends[1]))
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    main()
