"""How long a stream of requests lasts: one user after another is forgotten, utility and trace are looked at on the way.

    python benchmarks/unlearning_streams.py --shared ../shared --work DIR --data movielens-100k --model lightgcn
        [--recipe dim=32,max_epochs=30] [--methods influence,ascent-repair,unlearn-rec] [--steps 1,2,5,10,20,40]

At every look five retrains on what is left by then say where NDCG@20 may lie (95 % prediction interval by Student's
t) and where the forgotten users' pairs should stand; a method's residual is told as in a verification, beside two
trainings with everything. Rows are kept, so that a table can be printed again with --table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from victims import add_options, prepared

from recaudit.cli.progress import progress
from recaudit.datasets.seeding import derive, rng
from recaudit.recommenders.base import Recommender
from recaudit.recommenders.catalogue import fit, reads_order
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.target import Target
from recaudit.unlearn.base import Served
from recaudit.unlearn.catalogue import build
from recaudit.unlearn.request import Request
from recaudit.unlearn.verify.question import answers, question
from recaudit.unlearn.verify.residual import residual

RETRAINS, REFITS = 5, 2


def main() -> None:
    """Run and print, or print alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "")
    parser.add_argument("--methods", default="influence,ascent-repair,unlearn-rec")
    parser.add_argument("--steps", default="1,2,5,10,20,40", help="after how many requests to look")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "unlearning_streams.csv")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.work is not None:
        pd.DataFrame(measured(options)).to_csv(options.rows, index=False)
    table(pd.read_csv(options.rows))


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each look at each method."""
    target, _ = prepared(options)
    log = target.split.train
    looks = [int(text) for text in options.steps.split(",")]
    users = rng(0, "stream").permutation(np.flatnonzero(log.user_counts > 0))[: max(looks)].astype(np.int64)
    methods = {name: build(name) for name in options.methods.split(",")}
    held = target.split.valid
    now = {
        name: own.prepare(Served(target.recipe, log, target.model, held_out=held), 0) for name, own in methods.items()
    }
    seconds = dict.fromkeys(methods, 0.0)
    befores = [fit(target.recipe, log, derive(21, turn)) for turn in range(REFITS)]
    with progress("stream") as step:
        for place, user in enumerate(users.tolist(), 1):
            for name, own in methods.items():
                clock = time.process_time()
                request = Request.of(now[name].log, f"user {user}", users=np.array([user]))
                now[name] = own.forget(now[name], request, derive(22, place))
                seconds[name] += time.process_time() - clock
            step(place, len(users), f"{place} requests")
            if place in looks:
                gone = Request.of(log, "so far", users=users[:place])
                yield from looked(options, target, gone, place, now, seconds, befores)


def looked(
    options: argparse.Namespace,
    target: Target,
    gone: Request,
    place: int,
    now: dict[str, Served],
    seconds: dict[str, float],
    befores: list[Recommender],
) -> Iterator[dict[str, Any]]:
    """One look: retrains, and each method beside them."""
    log = target.split.train
    retained = gone.retained(log)
    asked = question(target.split, gone, in_order=reads_order(target.recipe))
    clean = [fit(target.recipe, retained, derive(23, place, turn)) for turn in range(RETRAINS)]
    level = [utility(target, gone, model) for model in clean]
    stands = [float(answers(model, asked)["forgotten"].mean()) for model in clean]
    dirty = [float(answers(model, asked)["forgotten"].mean()) for model in befores]
    dirty_level = [utility(target, gone, model) for model in befores]
    for name, served in now.items():
        own = utility(target, gone, served.model)
        ndcg = residual("ndcg", own, level, dirty_level)
        trace = residual("percentile", float(answers(served.model, asked)["forgotten"].mean()), stands, dirty)
        yield {
            "data": options.data, "model": options.model, "method": name, "requests": place, "events": len(gone),
            "ndcg": round(own, 5), "low": round(ndcg.interval[0], 5), "high": round(ndcg.interval[1], 5),
            "rho": round(trace.rho, 3), "rho_low": round(trace.rho_interval[0], 3),
            "rho_high": round(trace.rho_interval[1], 3), "seconds": round(seconds[name], 2),
        }  # fmt: skip


def utility(target: Target, gone: Request, model: Recommender) -> float:
    """NDCG@20 of the users who are still there."""
    history = gone.retained(target.split.train).plus(target.split.valid)
    test = target.split.test
    left = test.take(~np.isin(test.user, gone.users))
    return float(evaluate(model, left, history=history, cutoffs=(20,))["ndcg@20"])


def table(rows: pd.DataFrame) -> None:
    """By method and number of requests."""
    print("| victim | method | requests | events | NDCG@20 | a retrain's | inside | rho | CPU s so far |")
    print("|---|---|---:|---:|---:|---|---|---|---:|")
    for own in rows.sort_values(["data", "model", "method", "requests"]).itertuples():
        inside = "yes" if own.low <= own.ndcg <= own.high else "no"
        print(
            f"| {own.data}, {own.model} | {own.method} | {own.requests} | {own.events:,} | {own.ndcg:.4f} "
            f"| {own.low:.4f} to {own.high:.4f} | {inside} | {own.rho:+.2f} [{own.rho_low:+.2f}, {own.rho_high:+.2f}] "
            f"| {own.seconds:.0f} |"
        )


if __name__ == "__main__":
    main()
