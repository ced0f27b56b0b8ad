"""Where methods that push forgotten pairs down stop, beside where retrains put these pairs.

    python benchmarks/unlearning_mark.py --shared ../shared --work DIR --data movielens-100k --model mf
        [--recipe dim=32,max_epochs=30] [--requests pairs:80,part-of-users:1000,rank:0-8] [--draws 3] [--retrains 2]
    python benchmarks/unlearning_mark.py --table

No method is run: a mark is read from the model before and the retain set alone. Three are compared, as rho of the mean
percentile (0 where retrains put the forgotten pairs, 1 where the model before does): that of the methods, the mean of
held-out pairs as popular, that of held-out pairs as they come. `rank:A-B` are half the events of the items of these
ranks of popularity; other requests are those of `recaudit unlearn draw`. Rows replace older ones of the same draw.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from victims import add_options, prepared

from recaudit.cli.progress import progress
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.seeding import derive, rng
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.catalogue import fit, reads_order
from recaudit.recommenders.target import Target
from recaudit.unlearn.approximate.easy import as_easy, hints
from recaudit.unlearn.approximate.watch import Watch
from recaudit.unlearn.base import Served
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request

EACH = ["data", "model", "request", "draw"]
RULES = {"rule": "the mark", "popular": "as popular", "held": "as they come"}
REQUESTS = "pairs:80,pairs:400,pairs:4000,part-of-users:1000,rank:0-8,rank:100-140,rank:600-900,users:1000"


def main() -> None:
    """Run all draws and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "")
    parser.add_argument("--requests", default=REQUESTS)
    parser.add_argument("--draws", type=int, default=3, help="requests of each kind and size")
    parser.add_argument("--retrains", type=int, default=2, help="for each of them")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "unlearning_mark.csv")
    parser.add_argument("--table", action="store_true", help="print the rows' table, run nothing")
    options = parser.parse_args()
    if not options.table:
        target, _ = prepared(options)
        kinds = options.requests.split(",")
        with progress(f"{options.data} {options.model}") as step:
            for place, (kind, number) in enumerate((kind, number) for kind in kinds for number in range(options.draws)):
                rows = pd.DataFrame([measured(target, options, kind, number)])
                old = pd.read_csv(options.rows) if options.rows.exists() else rows.head(0)
                joined = pd.concat([old, rows]).drop_duplicates(EACH, keep="last")
                joined.sort_values(EACH).to_csv(options.rows, index=False)
                step(place + 1, len(kinds) * options.draws, f"{kind}, {number}")
    table(pd.read_csv(options.rows))


def measured(target: Target, options: argparse.Namespace, kind: str, number: int) -> dict[str, Any]:
    """The row of one request."""
    log = target.split.train
    request = asked(log, kind, number)
    kept = request.retained(log)
    served = Served(target.recipe, log, target.model, held_out=target.split.valid)
    watch = Watch(served, request, kept, number)
    assert watch.start is not None, "there are held-out pairs"
    retrains = [fit(target.recipe, kept, derive(3, turn)) for turn in range(options.retrains)]
    found = [watch.look(model).forgotten for model in retrains]
    popular = watch.start.level
    if watch.folded is None and not reads_order(target.recipe):
        held = percentiles(target.model, *watch.controls, watch.history)
        own, other = (hints(None, kept, pairs, watch.history) for pairs in (watch.forgotten, watch.controls))
        popular = float(as_easy(own, other, held) @ held)
    return {
        "data": options.data, "model": options.model, "request": kind, "draw": number, "pairs": len(watch.forgotten[0]),
        "before": watch.start.forgotten, "retrains": float(np.mean(found)), "spread": float(np.std(found, ddof=1)),
        "rule": watch.start.mark(watch.easier), "popular": popular, "held": watch.start.held,
    }  # fmt: skip


def asked(log: InteractionLog, kind: str, number: int) -> Request:
    """The request of a draw."""
    name, _, size = kind.partition(":")
    if name != "rank":
        return draw(log, name, int(size), number)  # type: ignore[arg-type]
    first, last = map(int, size.split("-"))
    items = np.argsort(-log.item_counts, kind="stable")[first:last]
    rows = np.flatnonzero(np.isin(log.item, items))
    half = rng(number, "mark", kind).choice(rows, len(rows) // 2, replace=False)
    return Request.of(log, f"half the events of items {size}", rows=np.sort(half))


def table(rows: pd.DataFrame) -> None:
    """Root mean square of rho over draws, and its mean in brackets, for each rule."""
    print(f"| victim | request | draws | before | retrains | {' | '.join(RULES.values())} |")
    print(f"|---|---|---:|---:|---:|{'---|' * len(RULES)}")
    for (data, model, request), own in rows.groupby(EACH[:3], sort=False):
        print(f"| {data}, {model} | {request} | {len(own)} | {own.before.mean():.3f} | ", end="")
        print(f"{own.retrains.mean():.3f} | {' | '.join(told(own, rule) for rule in RULES)} |")


def told(own: pd.DataFrame, rule: str) -> str:
    """Of one rule."""
    rho = (own[rule] - own.retrains) / (own.before - own.retrains)
    return f"{np.sqrt(np.square(rho).mean()):.2f} ({rho.mean():+.2f})"


if __name__ == "__main__":
    main()
