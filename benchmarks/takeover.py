"""What hijacked accounts of sequential victims are shown after a few planted events, on the embedded data.

    python benchmarks/takeover.py --work DIR [--models sasrec,gru4rec] [--events 2,5] [--targets 10] [--users 500]

Victims of at most 8 epochs; targets in each of three strata; the surrogate that chooses the events sees the whole log.
Each victim is asked twice: as a service that lists no consumed item again, and as one that does, where the target may
be planted too. Checkpoints and cells are kept in DIR and resume. Intervals are of the gain over targets, 95 % each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recaudit.attacks.takeover import TakeoverConfig, TakeoverProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.evidence import Evidence
from recaudit.audit.probe import Probe
from recaudit.audit.statistics import interval
from recaudit.audit.store import Store
from recaudit.cli.progress import progress
from recaudit.cli.train import train_and_save
from recaudit.datasets.demo import load_demo
from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.checkpoint import open_checkpoint
from recaudit.recommenders.target import Target


def main() -> None:
    """Ask what was not asked yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", default="sasrec,gru4rec", help="victims, with commas between")
    parser.add_argument("--events", default="2,5", help="numbers of planted events, with commas between")
    parser.add_argument("--targets", type=int, default=10, help="target items per stratum")
    parser.add_argument("--users", type=int, default=500, help="accounts taken over per target item")
    parser.add_argument("--jobs", type=int, default=None, help="cells at a time; a core each if not given")
    options = parser.parse_args()
    print("| victim | consumed items | events | stratum | before | random | in turn | polluted | gain | rank halves |")
    print("|---|---|---:|---|---:|---:|---:|---:|---|---|")
    for model in options.models.split(","):
        target = victim(options.work / model / "checkpoint", Recipe(model, {"max_epochs": 8}), load_demo())
        for relists in (False, True):
            for line in lines(target, relists, options):
                print(f"| {model} | {'listed again' if relists else 'hidden'} | {line} |", flush=True)


def victim(folder: Path, recipe: Recipe, data: LoadedLog) -> Target:
    """The trained victim, trained now if the folder has none."""
    try:
        return open_checkpoint(folder)
    except CheckpointError:
        train_and_save(folder, recipe, make_split(data, "leave-last-out", 0), 0, overwrite=True)
        return open_checkpoint(folder)


def asked(target: Target, probe: Probe, options: argparse.Namespace) -> Sequence[Evidence]:
    """What the check finds; cells are kept beside the checkpoint."""
    protocol, store = Protocol((20,)), Store(options.work / target.recipe.model / "cells")
    plan = make_plan(target, [probe], protocol, store)
    with progress(target.recipe.model) as step:
        results, failures = run_plan(plan, target, protocol, store, jobs=options.jobs, progress=step)
    assert not failures, failures
    return probe.evidence(target, results)


def lines(target: Target, relists: bool, options: argparse.Namespace) -> list[str]:
    """A line for each number of events and stratum."""
    events = tuple(int(text) for text in options.events.split(","))
    config = TakeoverConfig(events=events, users=options.users, per_stratum=options.targets, relists=relists)
    evidence = asked(target, TakeoverProbe(config, 0), options)
    found = []
    for hits, shift in zip(evidence[::2], evidence[1::2], strict=True):
        level = [hits.details.get(side) for side in ("before", "random", "alternated", "polluted")]
        shown = " | ".join("" if value is None else f"{value:.3f}" for value in level)
        head = f"{hits.details['events']} | {hits.details['stratum']} | {shown}"
        found.append(f"{head} | {with_interval(hits, 3)} | {with_interval(shift, 2)}")
    return found


def with_interval(evidence: Evidence, digits: int) -> str:
    """Estimate and 95 % interval over targets."""
    values, clusters = [unit.value for unit in evidence.units], [unit.cluster for unit in evidence.units]
    ends = interval(values, clusters, 0.95, resolution=evidence.resolution) or (float("nan"), float("nan"))
    mean, low, high = (f"{round(value, digits) + 0:+.{digits}f}" for value in (evidence.estimate or 0.0, *ends))
    return f"{mean} [{low}, {high}]"


if __name__ == "__main__":
    main()
