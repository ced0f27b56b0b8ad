"""Make the embedded data from the MovieTweetings 100K snapshot: python benchmarks/make_embedded.py SNAPSHOT_FOLDER.

The snapshot folder holds interactions.csv.gz and items.csv.gz. The result is the 10-core, rows in the order of
the snapshot, gzip without a time stamp, so that the same library writes the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from pathlib import Path
from typing import Any

from recaudit.datasets.filters import k_core
from recaudit.datasets.read import read_log

TARGET = Path(__file__).resolve().parents[1] / "datasets" / "embedded"


def write(name: str, header: list[str], rows: list[tuple[Any, ...]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    with (TARGET / name).open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
        packed.write(text.getvalue().encode())
    print(f"{name}: {len(rows):,} rows, {(TARGET / name).stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("snapshot", type=Path)
    log = k_core(read_log(parser.parse_args().snapshot).log, users=10, items=10)
    if log.value is None or log.time is None or log.items is None:
        parser.error("the snapshot lacks ratings, times or items.csv.gz")
    ratings = [f"{value:g}" for value in log.value.tolist()]
    events = zip(
        log.user_ids[log.user].tolist(), log.item_ids[log.item].tolist(), ratings, log.time.tolist(), strict=True
    )
    write("interactions.csv.gz", ["user_id", "item_id", "rating", "timestamp"], list(events))
    films = zip(log.item_ids.tolist(), *(log.items[name].tolist() for name in ("title", "year", "genres")), strict=True)
    write("items.csv.gz", ["item_id", "title", "year", "genres"], sorted(films))


if __name__ == "__main__":
    main()
