"""Attacks on real data: hit rate and log2 rank of cold targets, clean and attacked, and how visible the accounts are.

    python benchmarks/promotion.py --shared ../shared --work DIR [--model lightgcn] [--data automotive|movielens-100k]
    python benchmarks/promotion.py --work DIR --data embedded --model sasrec --sizes 1% \\
        --attacks random,gradient-sequences,dp-sequences,dual-promotion

Five cold targets, three seeds, refits from scratch; the profile sizes of the method note (25 items on Automotive, 85 on
MovieLens-100K) or the mean profile. Cells are kept in DIR and resume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recaudit.attacks.config import InjectionConfig
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
from recaudit.recommenders.checkpoint import open_checkpoint

DATA: dict[str, tuple[str, str, int | None]] = {
    "automotive": ("legup-automotive", "given", 25),
    "movielens-100k": ("movielens-100k", "ratio:0.8,0.1,0.1", 85),
    "embedded": ("", "leave-last-out", None),
}


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="lightgcn")
    parser.add_argument("--data", choices=DATA, default="automotive")
    parser.add_argument("--attacks", default="random,bandwagon", help="names, with commas between")
    parser.add_argument("--sizes", default="1%,5%", help="attack sizes, with commas between")
    parser.add_argument("--loss", default="", help="bpr or sampled_softmax, for models that have the choice")
    options = parser.parse_args()
    folder, spec, profile = DATA[options.data]
    work = options.work / options.data / (options.model + options.loss)
    try:
        target = open_checkpoint(work / "checkpoint")
    except CheckpointError:
        split = make_split(read_log(options.shared / "data" / folder) if folder else load_demo(), spec, 0)
        recipe = Recipe(options.model, {"loss": options.loss} if options.loss else {})
        train_and_save(work / "checkpoint", recipe, split, 0, overwrite=True)
        target = open_checkpoint(work / "checkpoint")
    config = InjectionConfig(
        attacks=tuple(options.attacks.split(",")), sizes=tuple(options.sizes.split(",")), strata=("cold",),
        per_stratum=5, seeds_per_target=3, control_seeds=3, profile=profile,
    )  # fmt: skip
    probe, protocol, store = PromotionProbe(config, 0), Protocol((10, 20)), Store(work / "cells")
    plan = make_plan(target, [probe], protocol, store)
    with progress(f"{options.data} {options.model}") as step:
        results, failures = run_plan(plan, target, protocol, store, progress=step)
    assert not failures, failures
    print(f"{options.data}, {options.model} {options.loss}: clean NDCG@20 {target.stored_metrics['ndcg@20']:.4f}\n")
    print("| attack | size | measure | clean | clones | attacked | difference, 95 % interval over targets |")
    print("|---|---|---|---:|---:|---:|---|")
    for found in probe.evidence(target, results):
        if found.estimate is None or ".utility." in found.id:
            continue
        low, high = interval([u.value for u in found.units], [u.cluster for u in found.units], 0.95) or (0.0, 0.0)
        head = f"| {found.details['attack']} | {found.details['size']} | {found.measure}"
        if ".visibility." in found.id:  # of the accounts alone: nothing to subtract
            clones = found.baseline.get("clones", float("nan"))
            print(f"{head} | | {clones:.3f} | {found.estimate:.3f} | [{low:.3f}, {high:.3f}] |")
            continue
        clean, clones = found.details["control"], found.details["clone_control"]
        print(
            f"{head} | {clean:.4f} | {clones:.4f} "
            f"| {found.details['attacked']:.4f} | {found.estimate:+.4f} [{low:+.4f}, {high:+.4f}] |"
        )


if __name__ == "__main__":
    main()
