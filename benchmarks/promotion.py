"""Attacks on real data: hit rate and log2 rank of cold targets, clean and attacked, and how visible the accounts are.

    python benchmarks/promotion.py --shared ../shared --work DIR --data automotive --profile 25 [--recipe loss=bpr]
    python benchmarks/promotion.py --work DIR --data embedded --model sasrec --sizes 1% \\
        --attacks random,gradient-sequences,dp-sequences,dual-promotion

Levels rather than differences alone, clean, cloned and attacked, where `attacks.py` ranks all attacks. Five cold
targets, three seeds, refits from scratch; profiles of the method note are 25 items on Automotive, 85 on
MovieLens-100K. Cells are kept in DIR, which belongs to one recipe, and resume.
"""

from __future__ import annotations

import argparse

from victims import add_options, prepared

from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.experiment import PromotionProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.statistics import interval
from recaudit.audit.store import Store
from recaudit.cli.progress import progress


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "1%,5%")
    parser.add_argument("--attacks", default="random,bandwagon", help="names, with commas between")
    parser.add_argument("--profile", type=int, help="events of an account; the mean genuine profile if not given")
    options = parser.parse_args()
    target, work = prepared(options)
    config = InjectionConfig(
        attacks=tuple(options.attacks.split(",")), sizes=tuple(options.sizes.split(",")), strata=("cold",),
        per_stratum=5, seeds_per_target=3, control_seeds=3, profile=options.profile,
    )  # fmt: skip
    probe, protocol, store = PromotionProbe(config, 0), Protocol((10, 20)), Store(work / "cells")
    plan = make_plan(target, [probe], protocol, store)
    with progress(f"{options.data} {options.model}") as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    print(f"{options.data}, {options.model} {options.recipe}: clean NDCG@20 {target.stored_metrics['ndcg@20']:.4f}\n")
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
