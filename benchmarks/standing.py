"""Where the native models stand under a preset policy, on three data sets: the tables of docs/standing.md.

    python benchmarks/standing.py --shared ../shared --work DIR [--preset standard] [--models ease,mf] [--data ...]

Every audit is kept in DIR and resumes, so the command can be interrupted and widened.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from recaudit.audit.evidence import AuditRun, Finding
from recaudit.cli.progress import clock
from recaudit.cli.run import audit_into, prepare
from recaudit.cli.train import train_and_save
from recaudit.datasets.demo import load_demo
from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.read import LoadedLog, read_log
from recaudit.datasets.split import make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.checkpoint import open_checkpoint

MODELS = "popularity itemknn ease ials mf lightgcn simgcl sasrec gru4rec".split()
SHOWN = ("quality.ndcg@20", "exposure.qf@20", "exposure.gini@20")
SEQUENTIAL = {"sasrec", "gru4rec"}
FOLDERS = {"movielens-100k": "movielens-100k", "automotive": "legup-automotive"}


def data(name: str, shared: Path) -> LoadedLog:
    """One of the data sets by name."""
    return load_demo() if name == "movietweetings" else read_log(shared / "data" / FOLDERS[name])


def audited(name: str, model: str, options: argparse.Namespace) -> AuditRun:
    """The audit of one model on one data set."""
    folder = options.work / name / model
    try:
        target = open_checkpoint(folder / "checkpoint")
    except CheckpointError:
        split = make_split(data(name, options.shared), None, 0)
        train_and_save(folder / "checkpoint", Recipe(model, {}), split, 0, overwrite=True, quiet=True)
        target = open_checkpoint(folder / "checkpoint")
    policy, probes, protocol = prepare(None, options.preset, 0, [])
    return audit_into(target, policy, probes, protocol, folder / "audit", jobs=None, backend="loky", quiet=False)


def worst(run: AuditRun, measure: str) -> str:
    """The promotion finding of this measure with the largest estimate: value, interval and status."""
    found = [f for f in run.findings if f.check == "promotion" and f.measure == measure and f.estimate is not None]
    if not found:
        return "-"
    top: Finding = max(found, key=lambda finding: finding.estimate or 0.0)
    low, high = top.interval or (float("nan"), float("nan"))
    subject = ".".join(top.id.split(".")[1:-1])
    return f"{top.estimate:+.3f} [{low:+.3f}, {high:+.3f}] {top.status} ({subject})"


def row(model: str, run: AuditRun) -> str:
    """A line of the table."""
    values = {found.id: found.estimate for found in run.evidence}
    cells = ["-" if values.get(key) is None else f"{values[key]:.3f}" for key in SHOWN]
    hr, shift = worst(run, "hr@20"), worst(run, "log2_rank_shift")
    failed = sum(f.status == "fail" and f.severity == "error" for f in run.findings)
    open_ = sum(f.status == "inconclusive" for f in run.findings)
    return (
        f"| {model} | {' | '.join(cells)} | {hr} | {shift} "
        f"| {run.verdict} ({failed} failed, {open_} open) | {clock(sum(c.seconds for c in run.cells))} |"
    )


def main() -> None:
    """Audit what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--data", default="movietweetings,movielens-100k,automotive")
    options = parser.parse_args()
    for name in options.data.split(","):
        print(f"\n## {name}\n")
        print("| model | NDCG@20 | coverage | Gini | largest HR@20 gain | largest log2-rank shift | verdict | time |")
        print("|---|---:|---:|---:|---|---|---|---:|")
        for model in options.models.split(","):
            if name == "automotive" and model in SEQUENTIAL:
                continue  # the data have no times
            print(row(model, audited(name, model, options)), flush=True)
    print(json.dumps({"preset": options.preset}))


if __name__ == "__main__":
    main()
