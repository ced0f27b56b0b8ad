"""What detectors make of fake accounts, without ratings: who is found, who is wronged, CPU time.

    python benchmarks/detectors.py --data ../shared/data/movielens-100k
    python benchmarks/detectors.py --detectors together,incoherence,incoherence:arm=permuted [--seeds 1]

Without --data the embedded films. 1 % fakes of the mean profile's length, five targets. AUC (.5 by chance) with
intervals over targets; then, over all attacks, average precision, precision at the true number of fakes, recall at 1 %
false alarms, and the share of the genuine users among the flagged 2 %, in all (Wilson interval over users) and by
thirds of activity.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from victims import fields

from recaudit.attacks.injection import craft_only
from recaudit.audit.statistics import interval
from recaudit.datasets.demo import load_demo
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import read_log
from recaudit.defenses.base import Detector
from recaudit.defenses.catalogue import build, names
from recaudit.defenses.protection import ACTIVITY, PREFIX, judged, weighed
from recaudit.recommenders.base import Recipe

MOVIELENS = "62,785,1077,1257,1419"
EMBEDDED = "1440292,0166924,0092099,1462769,1496422"
"""Targets: films with 10, 11, 13, 19 and 34 users."""


def main() -> None:
    """Print a Markdown row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--attacks", default="random,bandwagon,popular,clone-and-push,pga", help="commas between")
    parser.add_argument("--detectors", default="", help="names, each with settings if need be; all if not given")
    parser.add_argument("--targets", help="ids of target items, with commas between; five of these data if not given")
    parser.add_argument("--accounts", default="1%", help="share or number of fakes")
    parser.add_argument("--seeds", type=int, default=3, help="crafts for each attack and target")
    options = parser.parse_args()
    log = replace((read_log(options.data) if options.data else load_demo()).log, value=None)
    options.targets = options.targets or (MOVIELENS if options.data else EMBEDDED)
    chosen = options.detectors.split(",") if options.detectors else names()
    built = {text: build(text.partition(":")[0], fields(text.partition(":")[2], ";")) for text in chosen}
    detectors = {
        name: own
        for name, own in built.items()
        if isinstance(own, Detector) and own.why_not(Recipe("mf", {}), log) is None
    }
    rows = pd.DataFrame(measured(log, detectors, options))
    attacks = options.attacks.split(",")
    print(f"| detector | {' | '.join(attacks)} | CPU s |")
    print(f"|---|{'---|' * len(attacks)}---:|")
    for name, own in rows.groupby("detector", sort=False):
        cells = [_over_targets(part) for _, part in own.groupby("attack", sort=False)]
        print(f"| `{name}` | {' | '.join(cells)} | {own.seconds.mean():.2f} |")
    print("\n| detector | AP (by chance) | precision at A | recall at 1 % | false alarms | light | middle | heavy |")
    print("|---|---:|---:|---:|---|---:|---:|---:|")
    for name, own in rows.groupby("detector", sort=False):
        alarms = own.false_alarms.mean()
        low, high = binomtest(round(alarms * log.n_users), log.n_users).proportion_ci(0.95, "wilson")
        thirds = " | ".join(f"{own[f'false_alarms/{group}'].mean():.3f}" for group in ACTIVITY)
        print(f"| `{name}` | {own.ap.mean():.2f} ({own.ap_by_chance.mean():.3f}) | {own.precision.mean():.2f} | "
              f"{own.recall.mean():.2f} | {alarms:.3f} [{low:.3f}, {high:.3f}] | {thirds} |")  # fmt: skip


def measured(
    log: InteractionLog, detectors: dict[str, Detector], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """A row for each attack, target, seed and detector."""
    for attack in options.attacks.split(","):
        for attacked, target, seed in logs(log, attack, options):
            for name, detector in detectors.items():
                begin = time.process_time()
                suspicion = detector.suspicion(attacked, seed)
                seconds = time.process_time() - begin
                weights = detector.weights(suspicion, np.random.default_rng(seed))
                found = judged(suspicion, attacked, log.n_users) | weighed(weights, attacked, log.n_users)
                values = {key.removeprefix(PREFIX): value for key, value in found.items()}
                yield {"attack": attack, "detector": name, "target": target, "seconds": seconds, **values}


def _over_targets(rows: pd.DataFrame) -> str:
    """Mean AUC and its 95 % interval over targets."""
    low, high = interval(rows.auc.tolist(), rows.target.tolist(), 0.95) or (float("nan"), float("nan"))
    return f"{rows.auc.mean():.2f} [{max(low, 0.0):.2f}, {min(high, 1.0):.2f}]"


def logs(log: InteractionLog, attack: str, options: argparse.Namespace) -> Iterator[tuple[InteractionLog, str, int]]:
    """The log with fakes for each target and seed."""
    index = {str(name): item for item, name in enumerate(log.item_ids)}
    for target in options.targets.split(","):
        for seed in range(options.seeds):
            profiles = craft_only(log, attack, [index[target]], options.accounts, seed=seed, kind="implicit")
            yield log.with_accounts(profiles), target, seed


if __name__ == "__main__":
    main()
