"""How often the verification of unlearning is right: verdicts on retrains, on models that forgot nothing, on new rows.

    python benchmarks/unlearning_verdicts.py --shared ../shared --work DIR --data movielens-100k --model lightgcn
        [--recipe dim=32,max_epochs=20] [--requests part:400,user:20] [--repetitions 20]
    python benchmarks/unlearning_verdicts.py --table

A request is drawn anew in every repetition: `part:N`, about N pairs, half the events of random users; `user:N`, N pairs
of one user; `users:N`, whole users. Nine retrains take turns as the model in question, judged by the other eight; five
trainings with the forget set take turns as do-nothing, and with new rows as rows-only, beside the other four. Retrains
are kept in DIR and resume; rows replace older ones of the same victim and request.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from victims import add_options, prepared

from recaudit.audit.cell import Cell
from recaudit.audit.engine import Plan, run_plan
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import derive, rng
from recaudit.recommenders.catalogue import fit, reads_order
from recaudit.recommenders.target import Target
from recaudit.unlearn.base import Served
from recaudit.unlearn.catalogue import build
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request
from recaudit.unlearn.trial import Trial
from recaudit.unlearn.verification import PROTOCOL
from recaudit.unlearn.verify.question import Question, answers, question
from recaudit.unlearn.verify.rows import Learnt, learnt
from recaudit.unlearn.verify.verdict import verdict

RETRAINS, REFITS = 8, 4
KEYS = ["data", "model", "request"]
WORDS = {"part": "part-of-users", "users": "users"}


def main() -> None:
    """Run what is missing, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "")
    parser.add_argument("--requests", default="part:400,user:20")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "unlearning_verdicts.csv")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.work is not None:
        rows = pd.DataFrame(measured(options))
        old = pd.read_csv(options.rows) if options.rows.exists() else rows.head(0)
        kept = old[~old[KEYS].agg("|".join, axis=1).isin(rows[KEYS].agg("|".join, axis=1))]
        pd.concat([kept, rows]).sort_values([*KEYS, "side", "repetition", "turn"]).to_csv(options.rows, index=False)
    table(pd.read_csv(options.rows))


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each verdict."""
    target, work = prepared(options)
    store = Store(work / "verdicts")
    served = [
        Served(target.recipe, target.split.train, fit(target.recipe, target.split.train, derive(7, "refit", turn)))
        for turn in range(REFITS + 1)
    ]
    rows_only = build("rows-only")
    has_rows = rows_only.why_not(target.recipe, target.split.train) is None
    for name in options.requests.split(","):
        for repetition in range(options.repetitions):
            request = drawn(target.split.train, name, repetition)
            asked = question(target.split, request, in_order=reads_order(target.recipe))
            retrains = kept(target, request, store, options)
            rows = learnt(target, request)

            def read(model: Any, asked: Question = asked, rows: Learnt | None = rows) -> dict[str, Any]:
                return {**answers(model, asked), **({} if rows is None else rows.kept(model.state()))}

            befores = [read(own.model) for own in served]
            cases = [("retrain", own, others, befores[1:]) for own, others in turns(retrains)]
            cases += [("do-nothing", own, retrains[1:], others) for own, others in turns(befores)]
            if has_rows:
                new = [read(rows_only.forget(own, request, 0).model) for own in served]
                cases += [
                    ("rows-only", own, retrains[1:], befores[:turn] + befores[turn + 1 :])
                    for turn, own in enumerate(new)
                ]
            counted: dict[str, int] = {}
            checkpoint = read(target.model)
            for side, after, clean, dirty in cases:
                found = verdict(after, clean, dirty, asked.weights, groups=asked.groups, checkpoint=checkpoint)
                first = found.statistics[0]
                turn = counted[side] = counted.get(side, -1) + 1
                yield {
                    "data": options.data, "model": options.model, "request": name, "repetition": repetition,
                    "side": side, "turn": turn, "outcome": found.outcome, "over": found.over,
                    "rho": round(first.rho, 4), "power": round(min(first.power, 1e6), 2), "pairs": found.pairs,
                }  # fmt: skip


def kept(target: Target, request: Request, store: Store, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The answers of nine retrains, trained now where they are missing; one that stands for all without a seed."""
    cells = [
        Cell("inquiry", f"{request.label}, retrain {turn}", derive(3, turn), inquiry=Trial(request, "retrain"))
        for turn in range(RETRAINS + 1)
    ]
    keyed = {cell.key(target, PROTOCOL.describe()): cell for cell in cells}
    plan = Plan(keyed, (), (), frozenset(key for key in keyed if store.read(key, True)))
    with progress(f"{options.model} {request.label}") as step:
        _, failures = run_plan(plan, target, PROTOCOL, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    return [dict(store.arrays(key)) for key in keyed]


def drawn(log: InteractionLog, name: str, repetition: int) -> Request:
    """The request of a repetition."""
    kind, _, size = name.partition(":")
    pairs = int(size)
    if kind != "user":
        return draw(log, WORDS[kind], pairs, derive(11, repetition))  # type: ignore[arg-type]
    stream = rng(11, "user", repetition)
    user = int(stream.choice(np.flatnonzero(log.user_counts >= 2 * pairs)))
    rows = stream.choice(np.flatnonzero(log.user == user), pairs, replace=False)
    return Request.of(log, f"{pairs} pairs of one user, {repetition}", rows=rows)


def turns(all_of: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    """Each one, and the others."""
    for place, own in enumerate(all_of):
        yield own, all_of[:place] + all_of[place + 1 :]


def table(rows: pd.DataFrame) -> None:
    """Shares of verdicts by side, with 95 % intervals (Clopper-Pearson) as if turns were independent."""
    print("| data, model | request | model in question | honoured | not honoured | inconclusive | verdicts | power |")
    print("|---|---|---|---|---|---|---:|---:|")
    for (data, model, request, side), own in rows.groupby([*KEYS, "side"], sort=False):
        shares = [share(int((own.outcome == name).sum()), len(own)) for name in OUTCOMES]
        power = own.power.median()
        told = f"{power:.0f}" if power < 1e5 else "no seed"
        print(f"| {data}, {model} | {request} | {side} | {' | '.join(shares)} | {len(own)} | {told} |")


OUTCOMES = ("honoured", "not honoured", "inconclusive")


def share(hits: int, of: int) -> str:
    """With its interval."""
    low = stats.beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return f"{hits / of:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
