"""Music Streaming Sessions Dataset (Spotify; Brost, Mehrotra and Jehan, WWW 2019): CSV logs, one play a row.

Columns session_id, session_position (from 1), track_id_clean (track_id in some copies), skip_1, skip_2, skip_3,
not_skipped and more, of which only the four needed are read. The sessions are the users. The date is known to the
hour only, so the position in the session is the time.

A play counts unless skip_2 is true ("the track was only played briefly"), which is what the challenge of 2019 asked
to predict.

Memory while reading: about 12 bytes a play that counts, each distinct id once, and the CSV reader's own (measured:
in all 0.3 GB for a log of 178 MB, 0.6 GB for one of 534 MB, one log at a time). Logs that are compressed, not UTF-8
or hold blank lines are held whole as text, one at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from .columns import Columns
from .errors import DataError
from .rows import Raw, Source
from .sheet import read_sheet, split_line
from .source import Place

NAME = "streaming-sessions"
NAMES_COLUMNS = False

_TRACK = ("track_id_clean", "track_id")
_REASONS = (
    "skip_2 is neither true nor false",
    "session_position is no whole number from 0",
    "more fields than columns",
)
_YES, _NO = ("true", "1"), ("false", "0")


@dataclass(frozen=True)
class _File:
    """One log: its rows as lazy text columns index, user, item, place, skip, wide, and where row `index` stands."""

    rows: pl.LazyFrame
    line: Callable[[int], int]


def recognise(place: Place) -> str | None:
    """Whether a header has session_id, session_position, a track and skip_2."""
    return "Music Streaming Sessions" if _files(place) else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read the plays that count from the log or from all logs of the folder, in the order of their names.

    Raises:
        DataError: no such file; damaged gzip.
    """
    files = _files(place)
    if not files:
        raise DataError(f"{place.path}: no streaming sessions (session_id, session_position, track_id_clean, skip_2)")
    frames: list[pl.DataFrame] = []
    sources: list[Source] = []
    notes = ["sessions are taken as users"]
    total = skipped = 0
    for path in files:
        events, source, rows, left_out = _read(place, path, notes)
        frames.append(events)
        sources.append(source)
        total, skipped = total + rows, skipped + left_out
    notes.append(f"a play counts unless skip_2 is true (only played briefly): {skipped:,} of {total:,} rows left out")
    notes.append("times are positions within a session, not dates (the hour is all that is known)")
    events = pl.concat(frames)
    if events["error"].null_count() == events.height:
        events = events.drop("error")
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    columns = {"user": "session_id", "item": _track(_header(place, files[0])), "time": "session_position"}
    return Raw(f"Music Streaming Sessions ({files[0].name}{more})", events, sources, columns, dated=False, notes=notes)


def _files(place: Place) -> list[Path]:
    needed = {"session_id", "session_position", "skip_2"}
    return [
        path
        for path in place.files.values()
        if needed <= set(names := _header(place, path)) and _track(names)
    ]  # fmt: skip


def _header(place: Place, path: Path) -> list[str]:
    lines = place.first_lines(path)
    return [name.strip() for name in split_line(lines[0].lstrip("\ufeff"), ",")] if lines else []


def _track(names: list[str]) -> str:
    return next((name for name in _TRACK if name in names), "")


def _read(place: Place, path: Path, notes: list[str]) -> tuple[pl.DataFrame, Source, int, int]:
    """The events that count (and the bad rows), their source, how many rows there are, how many were left out."""
    track = _track(_header(place, path))
    columns = [
        pl.col(name).alias(role)
        for name, role in (("session_id", "user"), (track, "item"), ("session_position", "place"), ("skip_2", "skip"))
    ]
    file: _File | None = None
    if place.head(path).plain:
        rows = pl.scan_csv(path, infer_schema=False).select(*columns, pl.lit(False).alias("wide"))
        file = _File(rows.with_row_index("index"), lambda index: index + 2)
        try:
            found = _collect(file)
        except pl.exceptions.PolarsError:
            file = None  # not UTF-8, or lines that the quick reader does not understand
        else:
            if found[2]:
                file = None  # blank lines
    if file is None:
        sheet = read_sheet(path, ",", None, True, place.head(path))
        notes += sheet.notes
        wide = pl.lit(False) if sheet.errors is None else pl.lit(sheet.errors.is_not_null())
        rows = sheet.frame.select(*columns).with_columns(wide.alias("wide")).lazy()
        file = _File(rows.with_row_index("index"), sheet.line)
        found = _collect(file)
    events, total, _ = found
    return events, Source(path, events.height, _line_of(file)), total, total - events.height


def _kept(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The rows that count or are bad, the latter with column `error`."""
    skip = pl.col("skip").str.strip_chars().str.to_lowercase()
    position = pl.col("place").str.strip_chars().cast(pl.Int32, strict=False)
    error = pl.coalesce(
        pl.when(pl.col("wide")).then(pl.lit(_REASONS[2])),
        pl.when(~skip.is_in([*_YES, *_NO]).fill_null(False)).then(pl.lit(_REASONS[0])),
        pl.when(~(position >= 0).fill_null(False)).then(pl.lit(_REASONS[1])),
    )
    bad = pl.col("error").is_not_null() | pl.col("user").is_null() | pl.col("item").is_null()
    return rows.with_columns(
        error.cast(pl.Enum(_REASONS)).alias("error"), position.alias("time"), skip.is_in(_YES).alias("brief")
    ).filter(bad | ~pl.col("brief"))


def _collect(file: _File) -> tuple[pl.DataFrame, int, int]:
    """The events, how many rows the file has, and how many of them are blank."""
    ids = (pl.col(role).cast(pl.Categorical) for role in ("user", "item"))
    blank = pl.all_horizontal(pl.col("user", "item", "place", "skip").is_null())
    events, counts = pl.collect_all(
        [_kept(file.rows).select(*ids, "time", "error"), file.rows.select(pl.len(), blank.sum().alias("blank"))],
        engine="streaming",
    )
    total, blanks = counts.row(0)
    return events, int(total), int(blanks)


def _line_of(file: _File) -> Callable[[int], int]:
    """Row of the events -> line; the file is gone through again, which only a message needs."""

    def line(row: int) -> int:
        return file.line(int(_kept(file.rows).select("index").slice(row, 1).collect(engine="streaming").item()))

    return line
