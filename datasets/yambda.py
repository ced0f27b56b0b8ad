"""Yambda (Yandex Music, 2025): Parquet files of listens, likes and the like, flat or one row a user (sequential).

Columns uid, item_id, timestamp and is_organic; listens have played_ratio_pct and track_length_seconds, multi_event
has event_type too. In the sequential files all but uid are lists. `timestamp` is seconds in steps of 5 from a start
that was not published: differences are real, dates are not known. The numbers are unsigned and their differences
wrap, so times become signed ones here.

A listen counts if played_ratio_pct is at least 50, as in the benchmark code published with the data. is_organic = 0
marks what the platform's own recommender led to: how much of the log that is gets noted, since such events tell of
the recommender as much as of the users.

Memory while reading: 17 bytes an event that counts, and what the reader holds of the needed columns of some row
groups; for sequential files all events of the needed columns at worst.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from .columns import Columns
from .errors import DataError
from .rows import Raw, Source
from .source import Place

NAME = "yambda"
NAMES_COLUMNS = False

LISTENED = 50
"""Least played_ratio_pct, in percent of the track, at which a listen counts."""

_NEEDED = ("uid", "item_id", "timestamp", "is_organic")
_OPTIONAL = ("played_ratio_pct", "event_type")
_ORDER = ("listens", "multi_event", "likes")
_NO_SIGN = ("dislikes", "unlikes", "undislikes")
_REASONS = ("negative uid", "negative item_id", "listen without played_ratio_pct")


@dataclass
class ParquetRaw(Raw):
    """Rows of a Parquet file of which some were left out, so that messages name the file's own row.

    Attributes:
        row: row of `events` -> row of the file, from 0; None if they are the same.
    """

    row: Callable[[int], int] | None = None

    def where(self, row: int) -> str:
        """File and row of an event."""
        return f"{self.sources[0].path}: row {(row if self.row is None else self.row(row)) + 1}"


def recognise(place: Place) -> str | None:
    """Whether a Parquet file has Yambda's columns with whole numbers, or lists of them."""
    path = _file(place)
    return None if path is None else f"Yambda {'sequential' if _lists(_schema(place, path)) else 'flat'}"


def read(place: Place, wanted: Columns) -> Raw:
    """Read the events that count; of a folder the listens, else multi_event, else the likes.

    Raises:
        DataError: no such file; lists of one user that differ in length (names the row).
    """
    path = _file(place)
    if path is None:
        raise DataError(f"{place.path}: no Yambda file (Parquet with {', '.join(_NEEDED)})")
    schema = _schema(place, path)
    notes = [
        f"{each.name} is not read; name the file to read it" for each in _files(place) if each != path
    ]  # fmt: skip
    rows = pl.scan_parquet(path).select(name for name in (*_NEEDED, *_OPTIONAL) if name in schema).with_row_index("row")
    if _lists(schema):
        rows = _exploded(path, rows, _lists(schema), notes)
    kept = _counted(path, rows, schema, notes)
    events = kept.select(
        pl.col("uid").alias("user"), pl.col("item_id").alias("item"), pl.col("timestamp").cast(pl.Int64).alias("time"),
        "is_organic", "error",
    ).collect(engine="streaming")  # fmt: skip
    if events.height:
        led = int((events["is_organic"] == 0).sum())
        notes.append(
            f"{led:,} of {events.height:,} events ({led / events.height:.1%}) have is_organic = 0: "
            "the platform's own recommender led to them, a feedback loop"
        )
    notes.append("times are seconds in steps of 5 from an unknown start: differences are real, dates are not known")
    events = events.drop("is_organic" if events["error"].null_count() < events.height else ["is_organic", "error"])
    return ParquetRaw(
        f"Yambda {'sequential' if _lists(schema) else 'flat'} ({path.name})",
        events, [Source(path, events.height)], {"user": "uid", "item": "item_id", "time": "timestamp"},
        notes=notes,
        row=lambda row: int(kept.select("row").slice(row, 1).collect(engine="streaming").item()),
    )  # fmt: skip


def _file(place: Place) -> Path | None:
    found = _files(place)
    if len(found) > 1:
        stems = {path.stem: path for path in found}
        found = [stems[stem] for stem in _ORDER if stem in stems][:1]
    return found[0] if len(found) == 1 else None


def _files(place: Place) -> list[Path]:
    return [path for path in place.files.values() if _schema(place, path)]


def _schema(place: Place, path: Path) -> dict[str, pl.DataType]:
    """Column -> type of a file with Yambda's columns; empty if it is no such file."""
    try:
        if not place.head(path).parquet:
            return {}
        schema = dict(pl.read_parquet_schema(path))
    except (DataError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return {}
    if not set(_NEEDED) <= set(schema) or not schema["uid"].is_integer():
        return {}
    whole = [_whole(schema[name]) for name in ("item_id", "timestamp")]
    alike = len({isinstance(schema[name], pl.List) for name in (*_NEEDED[1:], *_OPTIONAL) if name in schema}) == 1
    return schema if all(whole) and alike else {}


def _whole(kind: pl.DataType) -> bool:
    """Whether a column holds whole numbers or lists of them."""
    return (kind.inner if isinstance(kind, pl.List) else kind).is_integer()


def _lists(schema: dict[str, pl.DataType]) -> list[str]:
    return [name for name in (*_NEEDED, *_OPTIONAL) if isinstance(schema.get(name), pl.List)]


def _exploded(path: Path, rows: pl.LazyFrame, lists: list[str], notes: list[str]) -> pl.LazyFrame:
    """One row an event of a file that has one row a user."""
    length = pl.col(lists[0]).list.len()
    differ = pl.any_horizontal((pl.col(name).list.len() != length).fill_null(True) for name in lists)
    odd = rows.filter(differ).select("row").head(1).collect()
    if odd.height:
        raise DataError(f"{path}: row {odd.item() + 1}: its lists differ in length or are missing; write the file anew")
    empty = int(rows.select((length == 0).sum()).collect(engine="streaming").item())
    if empty:
        notes.append(f"{empty:,} users have no events; they are not in the log")
    return rows.filter(length > 0).explode(lists)


def _counted(path: Path, rows: pl.LazyFrame, schema: dict[str, pl.DataType], notes: list[str]) -> pl.LazyFrame:
    """The rows that count as positive, and those that are wrong with column `error`; the others go to a note."""
    never = pl.lit(False)
    listen = pl.col("event_type").cast(pl.String).eq_missing("listen") if "event_type" in schema else pl.lit(True)
    ratio = pl.col("played_ratio_pct") if "played_ratio_pct" in schema else None
    brief = never if ratio is None else listen & (ratio < LISTENED).fill_null(False)
    wrong = (
        (pl.col("uid") < 0).fill_null(False),
        (pl.col("item_id") < 0).fill_null(False),
        never if ratio is None else listen & ratio.is_null(),
    )
    error = pl.coalesce(pl.when(is_so).then(pl.lit(why)) for is_so, why in zip(wrong, _REASONS, strict=True))
    total, others, short = rows.select(
        pl.len(), (~listen).sum().cast(pl.Int64).alias("others"), brief.sum().cast(pl.Int64).alias("short")
    ).collect(engine="streaming").row(0)  # fmt: skip
    if "event_type" in schema:
        notes.append(f"of {total:,} events {others:,} are no listens (event_type); left out")
    if ratio is not None:
        notes.append(
            f"a listen counts if played_ratio_pct >= {LISTENED}: {short:,} of {total:,} rows left out as shorter"
        )
    elif path.stem in _NO_SIGN:
        notes.append(f"every row is one of the {path.stem}, which are no sign of liking")
    else:
        notes.append("no played_ratio_pct: every row counts")
    return rows.with_columns(error.cast(pl.Enum(_REASONS)).alias("error")).filter(
        pl.col("error").is_not_null() | (listen & ~brief)
    )
