"""What a bagged recommender provably keeps of its lists on MovieLens-100K, by size of the bags and rule.

    python benchmarks/certificate.py --data ../shared/data/movielens-100k [--base itemknn] [--models 2000,10000]

Each row is an ensemble: the mean share of the audited accounts' current top 10 that provably stays for so many fake
accounts, the share of (audited account, little-known item) pairs where the item provably cannot enter for 1 and for 10
fakes, the median number of fakes at which at least one item stays (-1: not even without any), HR@10 on held-out events
of 500 accounts, and CPU seconds of all of it. "all": base models serve every account, our rule; "drawn": those they
were fitted to alone, the rule of PORE. Split leave-last-out, ratings not read. Nothing is kept.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from recaudit.attacks.targets import choose_targets
from recaudit.datasets.read import read_log
from recaudit.datasets.split import leave_last_out
from recaudit.defenses.certificate.bagging import Ensemble
from recaudit.defenses.certificate.inquiry import Certificate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target

FAKES = (0, 1, 2, 3, 5, 10)
LIST = 10


def main() -> None:
    """Print a Markdown row for each ensemble."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", choices=("itemknn", "cooccurrence"), default="itemknn", help="base model")
    parser.add_argument("--models", default="2000", help="base models, with commas between")
    parser.add_argument("--samples", default="20,50,200", help="accounts a base model, with commas between")
    parser.add_argument("--per-model", default="1,10", help="items a base model votes for, with commas between")
    parser.add_argument("--rules", default="all,drawn", help="all, drawn or both with a comma between")
    parser.add_argument("--users", type=int, default=50, help="audited accounts")
    parser.add_argument("--model", default="itemknn", help="the model whose utility stands beside, with its defaults")
    options = parser.parse_args()
    split = leave_last_out(replace(read_log(options.data).log, value=None))
    recipe = Recipe(options.model, {})
    target = Target("benchmark", fit(recipe, split.train, 0), recipe, split, 0, "", {})
    items = choose_targets(split.train, split.history, 10, 0, ("cold",)).items
    named = " | ".join(f"e = {e}" for e in FAKES)
    print(f"| rule | T | s | N' | {named} | shut, e = 1 | e = 10 | one stays | HR@10 | CPU s |")
    print(f"|---|---:|---:|---:|{'---:|' * len(FAKES)}---:|---:|---:|---:|---:|")
    numbers = ([int(text) for text in part.split(",")] for part in (options.models, options.samples, options.per_model))
    for rule, (models, sample, names) in product(options.rules.split(","), product(*numbers)):
        ensemble = Ensemble(models, sample, names, options.base, only_drawn=rule == "drawn")
        asked = Certificate(ensemble, LIST, 0.001, options.users, FAKES, items, utility_users=500)
        begin = time.process_time()
        values = asked.answer(target, 0).values
        seconds = time.process_time() - begin
        shares = " | ".join(f"{mean(values, f'e{e}/account/', '/share'):.3f}" for e in FAKES)
        shut = " | ".join(f"{mean(values, f'e{e}/target/', '/not_promotable'):.2f}" for e in (1, 10))
        most = f"{values['tolerated/one']:g} | {values['ensemble/hr@10']:.4f} | {seconds:.0f}"
        print(f"| {rule} | {models:,} | {sample} | {names} | {shares} | {shut} | {most} |", flush=True)
    print(f"\nHR@10 of {options.model}, fitted to all accounts: {values['model/hr@10']:.4f}")


def mean(values: dict[str, float | None], start: str, end: str) -> float:
    """The mean of all values with such names."""
    return float(
        np.mean(
            [
                value
                for name, value in values.items()
                if name.startswith(start) and name.endswith(end) and value is not None
            ]
        )
    )


if __name__ == "__main__":
    main()
