"""What detectors without labels make of fake accounts on MovieLens-100K without ratings: AUC, and CPU time.

    python benchmarks/detectors.py --data ../shared/data/movielens-100k

1 % fakes of the mean profile's length. Mean AUC over seeds of the craft and targets, .5 by chance; the last column is
CPU seconds of a detector on one log. Nothing is trained but the surrogates of attacks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from recaudit.attacks.injection import craft_only
from recaudit.attacks.visibility import auc
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import read_log
from recaudit.defenses.base import Detector
from recaudit.defenses.catalogue import build, names


def main() -> None:
    """Print a Markdown row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--attacks", default="random,bandwagon,popular,clone-and-push,pga", help="commas between")
    parser.add_argument("--targets", default="62,785,1077", help="ids of target items, with commas between")
    parser.add_argument("--accounts", default="1%", help="share or number of fakes")
    parser.add_argument("--seeds", type=int, default=3, help="crafts for each attack and target")
    options = parser.parse_args()
    log = replace(read_log(options.data).log, value=None)
    detectors = {name: built for name in names() if isinstance(built := build(name), Detector)}
    attacks = options.attacks.split(",")
    found: dict[str, dict[str, list[float]]] = {name: {attack: [] for attack in attacks} for name in detectors}
    seconds: dict[str, list[float]] = {name: [] for name in detectors}
    for attack in attacks:
        for attacked, seed in logs(log, attack, options):
            fake = np.arange(attacked.n_users) >= log.n_users
            for name, detector in detectors.items():
                begin = time.process_time()
                value = auc(detector.suspicion(attacked, seed), fake)
                seconds[name].append(time.process_time() - begin)
                assert value is not None
                found[name][attack].append(value)
    print(f"| detector | {' | '.join(attacks)} | CPU s |")
    print(f"|---|{'---:|' * len(attacks)}---:|")
    for name, by_attack in found.items():
        cells = " | ".join(f"{np.mean(values):.2f}" for values in by_attack.values())
        print(f"| `{name}` | {cells} | {np.mean(seconds[name]):.2f} |")


def logs(log: InteractionLog, attack: str, options: argparse.Namespace) -> Iterator[tuple[InteractionLog, int]]:
    """The log with fakes for each target and seed, and the seed."""
    index = {str(name): item for item, name in enumerate(log.item_ids)}
    for target in options.targets.split(","):
        for seed in range(options.seeds):
            profiles = craft_only(log, attack, [index[target]], options.accounts, seed=seed, kind="implicit")
            yield log.with_accounts(profiles), seed


if __name__ == "__main__":
    main()
