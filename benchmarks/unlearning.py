"""Who forgets, at what price: unlearners on one victim, requests of several kinds and sizes, kept as rows.

    python benchmarks/unlearning.py --shared ../shared --work DIR --data movielens-100k --model lightgcn
        [--recipe dim=32,max_epochs=30] [--requests part-of-users:1000,users:1000,pairs:4000]
        [--methods all | unlearn-rec,unlearn-rec:encoder=false;fine_tune=0,ascent-repair] [--seeds 3] [--draws 1]
    python benchmarks/unlearning.py --table | --plot docs/images/unlearning.svg

Every method forgets from the same checkpoint with each seed; eight retrains and four trainings with the forget set
stand beside it, for each draw of the request. CPU seconds of a request, and of what is prepared once, are each
method's own, of a retrain the mean of the eight. Cells are kept in DIR and resume; rows of a victim's method and
request replace its older ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from victims import add_options, fields, prepared

from recaudit.audit.bench import Protocol
from recaudit.audit.cell import Cell
from recaudit.audit.engine import Plan, run_plan
from recaudit.audit.evidence import CellResult
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.datasets.seeding import derive
from recaudit.fairness.side import ExposureMeasures
from recaudit.recommenders.catalogue import reads_order
from recaudit.recommenders.target import Target
from recaudit.unlearn.catalogue import build, names, unlearner_class
from recaudit.unlearn.check import CONTROLS, by_activity
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request
from recaudit.unlearn.trial import How, Trial
from recaudit.unlearn.verification import references
from recaudit.unlearn.verify.question import question
from recaudit.unlearn.verify.verdict import Verdict, verdict

KEYS = ["data", "model", "request", "method"]
EACH = [*KEYS, "draw", "seed"]
UTILITY = ("recall@20", "ndcg@20", "exposure/gini")
PROTOCOL = Protocol((10, 20), (ExposureMeasures(),))


def main() -> None:
    """Run what is missing, print the tables, or draw the cost curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser, "")
    parser.add_argument("--requests", default="part-of-users:1000,users:1000", help="kind:pairs, with commas between")
    parser.add_argument("--methods", default="all", help="names, each with settings if need be; all that fit")
    parser.add_argument("--seeds", type=int, default=3, help="forgettings of each method and request")
    parser.add_argument("--draws", type=int, default=1, help="requests of each kind and size")
    parser.add_argument("--rows", type=Path, default=Path(__file__).parent / "results" / "unlearning.csv")
    parser.add_argument("--table", action="store_true", help="print the tables of the rows")
    parser.add_argument("--plot", type=Path, help="draw seconds against request size into this file")
    options = parser.parse_args()
    if options.work is not None:
        rows = pd.DataFrame(measured(options))
        options.rows.parent.mkdir(exist_ok=True)
        old = pd.read_csv(options.rows) if options.rows.exists() else rows.head(0)
        joined = pd.concat([old, rows]).drop_duplicates(EACH, keep="last")
        joined.sort_values(EACH).to_csv(options.rows, index=False)
    found = pd.read_csv(options.rows)
    if options.plot is not None:
        draw_costs(found, options.plot)
    else:
        tables(found)


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each request, method and seed, and for each retrain."""
    target, work = prepared(options)
    log = target.split.train
    store = Store(work / "cells")
    texts = names() if options.methods == "all" else (*options.methods.split(","), *CONTROLS)
    methods = {text: (text.partition(":")[0], fields(text.partition(":")[2], ";")) for text in texts}
    methods = {text: own for text, own in methods.items() if build(*own).why_not(target.recipe, log) is None}
    methods.pop("retrain", None)
    for name in options.requests.split(","):
        for place in range(options.draws):
            kind, _, size = name.partition(":")
            request = draw(log, kind, int(size), place)  # type: ignore[arg-type]
            head = {"data": options.data, "model": options.model, "request": name, "draw": place}
            yield from judged(target, request, head, methods, store, options)


def judged(
    target: Target,
    request: Request,
    head: dict[str, Any],
    methods: dict[str, tuple[str, dict[str, Any]]],
    store: Store,
    options: argparse.Namespace,
) -> Iterator[dict[str, Any]]:
    """The rows of one request."""
    tried = {
        (text, seed): Cell(
            "inquiry", f"{request.label}, {text}, {seed}", derive(0, text, seed), inquiry=Trial(request, "forget", *own)
        )
        for text, own in methods.items()
        for seed in range(1 if text in CONTROLS else options.seeds)
    }
    plain = references(request, 8, 4, 0)
    groups = {
        text: references(request, 8, 4, 0, *own) if unlearner_class(own[0]).own_model else plain
        for text, own in methods.items()
    }
    cells = [
        *tried.values(),
        *(cell for own in (plain, *groups.values()) for group in own.values() for cell in group),
    ]
    keyed = {cell.key(target, PROTOCOL.describe()): cell for cell in cells}
    plan = Plan(keyed, (), (), frozenset(key for key in keyed if store.read(key, True)))
    with progress(f"{options.data} {options.model} {request.label}") as step:
        results, failures = run_plan(plan, target, PROTOCOL, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    asked = question(target.split, request, in_order=reads_order(target.recipe))
    checkpoint = results.arrays(tried["do-nothing", 0])
    head = head | {"events": len(request)}
    left = request.retained(target.split.train).user_counts

    def kept(name: str, seed: int, cell: Cell, found: Verdict) -> dict[str, Any]:
        arrays = results.arrays(cell)
        there = left[arrays["users"]] > 0  # who is gone is served by nobody
        sides = by_activity(arrays["ndcg@20"][there], target.split.train.user_counts[arrays["users"][there]])
        return row(head | {"method": name, "seed": seed}, results[cell], sides, found)

    clean, dirty = ([results.arrays(cell) for cell in plain[how]] for how in HOWS)
    for seed, cell in enumerate(plain["retrain"]):
        others = clean[:seed] + clean[seed + 1 :]
        found = verdict(clean[seed], others, dirty, asked.weights, groups=asked.groups, checkpoint=checkpoint)
        yield kept("retrain", seed, cell, found)
    for (text, seed), cell in tried.items():
        clean, dirty = ([results.arrays(own) for own in groups[text][how]] for how in HOWS)
        before = None if unlearner_class(methods[text][0]).own_model else checkpoint
        found = verdict(
            results.arrays(cell), clean, dirty, asked.weights, groups=asked.groups, checkpoint=before
        )  # fmt: skip
        yield kept(text, seed, cell, found)


HOWS: tuple[How, How] = ("retrain", "refit")


def row(head: dict[str, Any], result: CellResult, sides: dict[str, float], found: Verdict) -> dict[str, Any]:
    """What is kept of one model."""
    first, second = found.statistics[:2]
    described = {name: values[0] for name, values in found.described.items()}
    numbers = {
        "rho": first.rho, "rho_low": first.rho_interval[0], "rho_high": first.rho_interval[1], "power": first.power,
        "percentile": first.value, "auc": second.value, "auc_retrains": second.reference, "auc_before": second.before,
        **described, **{name: result.values.get(name) for name in UTILITY},
        **{f"ndcg@20 {name}": value for name, value in sides.items()},
    }  # fmt: skip
    costs = {
        "prepare_s": result.costs.get("prepare", 0.0),
        "forget_s": result.costs.get("forget", result.costs.get("fit")),
    }
    rounded = {name: None if value is None else round(float(value), 5) for name, value in (numbers | costs).items()}
    return head | rounded | {"outcome": found.outcome, "over": found.over}


def tables(rows: pd.DataFrame) -> None:
    """A table for each victim and request."""
    head = (
        "method|verdicts|rho|AUC against held-out|MI-BF|MI-NG|Recall@20|NDCG@20|of the active|Gini|request, s|"
        "prepared once, s|faster|pays after"
    )
    for key, part in rows.groupby(KEYS[:3], sort=False):
        retrain = part[part.method == "retrain"]
        draws = "" if part.draw.nunique() < 2 else f"{part.draw.nunique()} draws; "
        auc = f"AUC of retrains {retrain.auc.mean():.3f}, before {retrain.auc_before.mean():.3f}"
        known = f"{draws}{part.events.iloc[0]:,} events; {auc}"
        print(f"\n### {', '.join(key)}\n\n{known}; power {retrain.power.median():.0f}.\n")
        print(
            "| "
            + " | ".join(head.split("|"))
            + " |\n|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
        )
        order = part.groupby("method").rho.apply(lambda own: own.abs().mean()).sort_values().index
        for name in ["retrain", *(own for own in order if own != "retrain")]:
            own = part[part.method == name]
            told = ", ".join(f"{count} {word}" for word, count in own.outcome.value_counts().items())
            over = " (over-forgotten)" if own.over.any() else ""
            speed = retrain.forget_s.mean() / max(own.forget_s.mean(), 1e-3)
            gained = retrain.forget_s.mean() - own.forget_s.mean()
            pays = (
                "" if own.prepare_s.mean() < 0.1 else f"{own.prepare_s.mean() / gained:.1f}" if gained > 0 else "never"
            )
            faster, pays = (f"{speed:.1f}x", pays) if name not in ("retrain", *CONTROLS) else ("", "")
            cells = [
                name, told + over, spread(own.rho, 2), f"{own.auc.mean():.3f}", f"{own['MI-BF'].mean():.2f}",
                f"{own['MI-NG'].mean():.2f}", f"{own['recall@20'].mean():.4f}", spread(own["ndcg@20"], 4),
                _mean(own["ndcg@20 most active twentieth"], 4), _mean(own["exposure/gini"], 3),
                f"{own.forget_s.mean():.1f}", f"{own.prepare_s.mean():.1f}", faster, pays,
            ]  # fmt: skip
            print(f"| {' | '.join(cells)} |")


def _mean(values: pd.Series, digits: int) -> str:
    """Empty where nothing was measured."""
    return "" if values.isna().all() else f"{values.mean():.{digits}f}"


def spread(values: pd.Series, digits: int) -> str:
    """Mean and range over seeds and draws."""
    text = f"{values.mean():+.{digits}f}" if digits < 4 else f"{values.mean():.{digits}f}"
    return text if len(values) < 2 else f"{text} ({values.min():.{digits}f} to {values.max():.{digits}f})"


def draw_costs(rows: pd.DataFrame, path: Path) -> None:
    """Seconds of a request against its size, a line a method; filled where every verdict was "honoured"."""
    import matplotlib as mpl
    from matplotlib import pyplot

    victims = rows.groupby(["data", "model"]).request.nunique()
    victims = victims[victims > 2].index
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "recaudit"}):
        figure, axes = pyplot.subplots(
            1, len(victims), figsize=(6.4 * len(victims), 3.8), layout="constrained", squeeze=False
        )
        for axis, key in zip(axes[0], victims, strict=True):
            part = rows[(rows.data == key[0]) & (rows.model == key[1])]
            for place, (name, own) in enumerate(part[~part.method.isin(CONTROLS)].groupby("method")):
                line = own.groupby("events").agg(
                    seconds=("forget_s", "mean"), sound=("outcome", lambda o: (o == "honoured").all())
                )
                colour = "black" if name == "retrain" else f"C{place % 10}"
                axis.plot(line.index, line.seconds, color=colour, label=name, linewidth=1)
                for events, seconds, sound in line.itertuples():
                    axis.plot(events, seconds, "o", color=colour, fillstyle="full" if sound else "none", markersize=5)
            axis.set(xscale="log", yscale="log", xlabel="events of the request", title=", ".join(key))
            axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
        axes[0][0].set_ylabel("CPU seconds")
        figure.savefig(path, facecolor="white", metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
