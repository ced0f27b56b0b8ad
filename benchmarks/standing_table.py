"""Writes reports/data/standing.json, the shipped table of reference victims, from run records.

    python benchmarks/standing.py --shared ../shared --work DIR --preset quick      # makes the runs
    python benchmarks/standing_table.py --data movietweetings DIR/movietweetings    # adds them to the table

Every finished `run.json` below the folders becomes an entry under the given name of the data; an entry with the same
data, policy and model is replaced, others stay (`--fresh` begins anew). Runs that did not finish are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recaudit.audit.files import write_whole
from recaudit.cli.records import read_run
from recaudit.reports.standing import SHIPPED, Reference, Table, load, reference

NOTE = "benchmarks/standing_table.py, from the records of finished runs"


def merged(old: Table, new: list[Reference]) -> Table:
    """The old entries with the new ones in the place of their predecessors, in a fixed order."""
    entries = {
        (entry.data_fingerprint, entry.policy_digest, entry.model_fingerprint): entry
        for entry in (*old.references, *new)
    }
    ordered = sorted(entries.values(), key=lambda e: (e.data, e.preset, e.policy_digest, e.label, e.model_fingerprint))
    return Table(made_by=NOTE, references=tuple(ordered))


def found_below(folders: list[Path], data: str) -> list[Reference]:
    """Entries of all finished runs below some folders."""
    entries = []
    for path in sorted(path for folder in folders for path in folder.rglob("run.json")):
        run = read_run(path.parent)
        if run.status != "complete":
            print(f"{path}: did not finish, left out")
            continue
        entries.append(reference(run, data))
    return entries


def main() -> None:
    """Read runs, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--data", required=True, help="name of the data, for people")
    parser.add_argument("--out", type=Path, default=SHIPPED)
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    old = load(options.out) if options.out.is_file() and not options.fresh else Table(made_by=NOTE)
    new = found_below(options.folders, options.data)
    table = merged(old, new)
    write_whole(options.out, (table.model_dump_json(indent=1) + "\n").encode())
    print(f"{options.out}: {len(new)} runs read, {len(table.references)} references")


if __name__ == "__main__":
    main()
