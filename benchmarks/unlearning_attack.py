"""Does forgetting the accounts of an attack undo the attack, and is a model that forgot easier to attack?

    python benchmarks/unlearning_attack.py --shared ../shared --work DIR --data movielens-100k --model lightgcn
        [--recipe dim=32,max_epochs=30] [--attack popular] [--sizes 1%] [--methods influence,ascent-repair] [--seeds 3]

For each target and seed a victim is trained on the poisoned log, each method forgets the injected accounts, and the
target's rank for the genuine users who lack it is compared with that under a retrain without them: 0 is the retrain,
"do-nothing" what the attack had gained. With `--new` the model in service forgets half the events of random users
(1,000), then the accounts arrive and it is trained on for five epochs, as it stands: how often the target's rank halves
by that, for each method beside a retrain and beside the model that forgot nothing. Intervals are over targets.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from victims import DATA, add_options, prepared, shown

from recaudit.attacks.injection import craft_only
from recaudit.cli.progress import progress
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import derive
from recaudit.recommenders.base import Model, Recommender
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.target import Target
from recaudit.unlearn.base import Served
from recaudit.unlearn.catalogue import build
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request

KEYS = ["data", "model", "attack", "size", "accounts", "method", "item", "seed"]
EPOCHS = 5  # of training on, after the accounts have arrived


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "1%")
    parser.add_argument("--attack", default="popular")
    parser.add_argument("--methods", default="do-nothing,influence,ascent-repair,unlearn-rec")
    parser.add_argument("--targets", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "unlearning_attack.csv")
    parser.add_argument("--table", action="store_true", help="print the rows' table, run nothing")
    parser.add_argument("--new", action="store_true", help="attack what is left after a request, by new accounts")
    options = parser.parse_args()
    if options.table:
        return table(pd.read_csv(options.rows))
    target, _ = prepared(options)
    log = target.split.train
    items = [int(np.flatnonzero(log.item_ids == name)[0]) for name in DATA[options.data][3]][: options.targets]
    methods = [name for name in options.methods.split(",") if build(name).why_not(target.recipe, log) is None]
    rows = []
    with progress(f"{options.attack} {options.sizes}") as step:
        for place, item in enumerate(items):
            for seed in range(options.seeds):
                rows += (attacked if options.new else measured)(target, options, item, seed, methods)
                step(place * options.seeds + seed + 1, len(items) * options.seeds, str(log.item_ids[item]))
    found = pd.DataFrame(rows)
    options.rows.parent.mkdir(exist_ok=True)
    old = pd.read_csv(options.rows, dtype={"item": str}) if options.rows.exists() else found.head(0)
    joined = pd.concat([old, found]).drop_duplicates(KEYS, keep="last").sort_values(KEYS)
    joined.to_csv(options.rows, index=False)
    table(joined)


def measured(
    target: Target, options: argparse.Namespace, item: int, seed: int, methods: list[str]
) -> list[dict[str, object]]:
    """A row for each method and one for the poisoned victim: how often the rank has halved against the retrain."""
    split = target.split
    accounts = craft_only(split.train, options.attack, [item], options.sizes, seed=derive(5, seed))
    log = split.train.with_accounts(accounts)
    held = replace(split.valid, user_ids=log.user_ids, users=log.users)
    request = Request.of(log, "injected", users=np.arange(split.train.n_users, log.n_users))
    clean = log_rank(target, fit(target.recipe, request.retained(log), derive(6, seed)), item)
    served = Served(target.recipe, log, fit(target.recipe, log, derive(6, seed)), held_out=held)
    head = named(target, options, "forgotten", item, seed)
    again = log_rank(target, fit(target.recipe, request.retained(log), derive(8, seed)), item)
    found: list[dict[str, object]] = [head | {"method": "another retrain", "left": round(clean - again, 5)}]
    for name in methods:
        unlearner = build(name)
        after = unlearner.forget(unlearner.prepare(served, seed), request, seed)
        found.append(head | {"method": name, "left": round(clean - log_rank(target, after.model, item), 5)})
    return found


def attacked(
    target: Target, options: argparse.Namespace, item: int, seed: int, methods: list[str]
) -> list[dict[str, object]]:
    """A row for each method and one for a retrain: how often new accounts halve the rank of the item."""
    split = target.split
    request = draw(split.train, "part-of-users", 1_000, seed)
    retained = request.retained(split.train)
    served = Served(target.recipe, split.train, target.model, held_out=split.valid)
    models: dict[str, Model] = {"retrain": fit(target.recipe, retained, derive(9, seed))}
    for name in methods:
        unlearner = build(name)
        models[name] = unlearner.forget(unlearner.prepare(served, seed), request, seed).trained
    found: list[dict[str, object]] = []
    for name, model in models.items():
        log = split.train if name == "do-nothing" else retained
        poisoned = log.with_accounts(craft_only(log, options.attack, [item], options.sizes, seed=derive(5, seed)))
        after = trained_on(target, model, poisoned, derive(10, seed))
        gain = log_rank(target, model, item) - log_rank(target, after, item)
        found.append(named(target, options, "new", item, seed) | {"method": name, "left": round(gain, 5)})
    return found


def trained_on(target: Target, model: Model, log: InteractionLog, seed: int) -> Model:
    """The model after a few more epochs on a log with more users, whose rows begin as in a fresh training."""
    start = fit(target.recipe, log, seed, epochs=1).state()
    for name, value in model.state().items():
        start[name][: len(value)] = value
    return fit(target.recipe, log, seed, start=start, epochs=EPOCHS)


def named(target: Target, options: argparse.Namespace, accounts: str, item: int, seed: int) -> dict[str, object]:
    """What a row is about."""
    head = {"data": options.data, "model": options.model, "attack": options.attack, "size": options.sizes}
    return head | {"accounts": accounts, "item": str(target.split.train.item_ids[item]), "seed": seed}


def log_rank(target: Target, model: Recommender, item: int) -> float:
    """Mean log2 rank of the item over the genuine users who lack it."""
    history = target.split.history
    ranks = rank(model, np.arange(history.n_users), history, 0, watch=np.array([item], np.int32)).watched[0]
    return float(np.log2(ranks[~np.isnan(ranks)].astype(np.float64)).mean())


def table(rows: pd.DataFrame) -> None:
    """What is left of the rank shift, or what new accounts gain, by method."""
    print("| victim | attack | accounts | method | log2 rank shift |\n|---|---|---|---|---|")
    for (data, model, attack, size, accounts, method), own in rows.groupby(KEYS[:6], sort=False):
        shift = shown(list(own.left), list(own.item.astype(str)), 2)
        print(f"| {data}, {model} | {attack} {size} | {accounts} | {method} | {shift} |")


if __name__ == "__main__":
    main()
