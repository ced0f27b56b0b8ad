"""How visible heuristic fake accounts are on MovieLens-100K: detectors without labels, and distances to genuine users.

    python benchmarks/visibility.py --data ../shared/data/movielens-100k

Ratings, 5 % fakes of the mean profile's length, one cold and one middling target; the range over three seeds of the
craft. "told" is FAP started from five of the fakes, as published, evaluated on the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from recaudit.attacks.detectors import propagated
from recaudit.attacks.injection import craft_only
from recaudit.attacks.visibility import auc, visibility
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import read_log

ATTACKS = ("random", "average", "love-hate", "bandwagon", "segment", "popular", "clone-and-push")
SHOWN = ("stealth/pca-varselect/auc", "stealth/fap/auc", "told", "stealth/nearest_cosine", "stealth/fake_cosine_mean")
KNOWN = 5


def targets(log: InteractionLog) -> dict[str, int]:
    """The item of five events and that of eighty with the smallest index, or the nearest ones."""
    return {name: int(np.abs(log.item_counts - events).argmin()) for name, events in (("cold", 5), ("middling", 80))}


def measured(log: InteractionLog, attack: str, target: int, seed: int) -> dict[str, float]:
    """All values of one set of accounts, the told detector's among them."""
    profiles = craft_only(log, attack, [target], "5%", seed=seed)
    found = {name: np.nan if value is None else value for name, value in visibility(log, profiles).items()}
    fakes = log.n_users + np.arange(profiles.n_accounts)
    suspicion = propagated(log.with_accounts(profiles), fakes[:KNOWN])
    others = np.setdiff1d(np.arange(log.n_users + profiles.n_accounts), fakes[:KNOWN])
    told = auc(suspicion[others], others >= log.n_users)
    return found | {"told": np.nan if told is None else told}


def main() -> None:
    """Print a Markdown row for each attack and target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    log = read_log(parser.parse_args().data).log
    print(
        "| attack | target | PCA-VarSelect | FAP | FAP told five fakes | nearest genuine cosine | cosine among fakes |"
    )
    print("|---|---|---:|---:|---:|---:|---:|")
    usual = {}
    for attack in ATTACKS:
        for name, target in targets(log).items():
            rows = [measured(log, attack, target, seed) for seed in range(3)]
            usual = rows[0]
            cells = [f"{min(r[key] for r in rows):.3f} to {max(r[key] for r in rows):.3f}" for key in SHOWN]
            print(f"| {attack} | {name} | {' | '.join(cells)} |")
    nearest, among = usual["stealth/usual_nearest_cosine"], usual["stealth/usual_cosine_mean"]
    print(f"| genuine users | | | | | {nearest:.3f} | {among:.3f} |")


if __name__ == "__main__":
    main()
