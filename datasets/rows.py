"""From the rows a layout reads to a log: ids numbered, numbers parsed, unusable rows counted and shown."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .errors import DataError
from .ids import close_gaps, impossible, number
from .log import Int32, Int64, InteractionLog
from .sheet import Sheet
from .sides import align
from .source import shown

TOLERATED = 0.001
"""Share of unusable rows above which reading stops."""

_SHOWN = 3


@dataclass(frozen=True)
class Source:
    """A stretch of rows that came from one file.

    Attributes:
        path: the file.
        rows: how many.
        line: row within the file -> line number, from 1; None where a file has no lines (Parquet: row numbers).
    """

    path: Path
    rows: int
    line: Callable[[int], int] | None = None


@dataclass
class Raw:
    """What a layout hands over.

    Attributes:
        layout: the layout in words.
        events: columns `user`, `item` (text), perhaps `rating`, `time` (text or numbers), `part`
            (train, valid, test), `error` (text: why the row cannot be used, else null).
        sources: the files the rows came from, in the order of the rows.
        columns: role -> what the column is called in the file.
        users: side table with a text column `id`, or None; likewise items.
        dated: False where the times are positions only.
        notes: guesses.
    """

    layout: str
    events: pl.DataFrame
    sources: list[Source]
    columns: dict[str, str] = field(default_factory=dict)
    users: pl.DataFrame | None = None
    items: pl.DataFrame | None = None
    dated: bool = True
    notes: list[str] = field(default_factory=list)

    def where(self, row: int) -> str:
        """File and line of a row."""
        starts = np.cumsum([0] + [source.rows for source in self.sources]).tolist()
        place = min(bisect_right(starts, row) - 1, len(self.sources) - 1)
        source, inside = self.sources[place], row - starts[place]
        return f"{source.path}: " + (f"row {inside + 1}" if source.line is None else f"line {source.line(inside)}")


def source_of(sheet: Sheet) -> Source:
    """The source that a sheet's rows come from."""
    return Source(sheet.path, sheet.frame.height, sheet.line)


@dataclass
class _Column:
    """A parsed column: values, which rows are bad, and how to say why."""

    values: NDArray[np.generic]
    bad: NDArray[np.bool_]
    why: str


def assemble(raw: Raw) -> tuple[InteractionLog, dict[str, InteractionLog]]:
    """The log and its given parts; what was left out or stands out goes to `raw.notes`.

    Users and items are numbered by first appearance. Items that only the side table knows are not added.

    Raises:
        DataError: no events, or more than 0.1 % of the rows cannot be used (file, line, column, remedy).
    """
    events = raw.events
    if events.height == 0:
        raise DataError(f"{raw.sources[0].path}: holds no events")
    distinct_users, user = number(events["user"])
    distinct_items, item = number(events["item"])
    columns = {"user": _check_ids(distinct_users, user), "item": _check_ids(distinct_items, item)}
    if "rating" in events.columns:
        columns["rating"] = _ratings(events["rating"])
    if "time" in events.columns:
        columns["time"] = _times(events["time"])
    keep = _keep(raw, columns)
    users, user_ids = close_gaps(user[keep], distinct_users)
    items, item_ids = close_gaps(item[keep], distinct_items)
    value = columns["rating"].values[keep].astype(np.float32) if "rating" in columns else None
    time = _seconds(columns["time"].values[keep].astype(np.int64), raw) if "time" in columns else None
    log = InteractionLog(
        users, items, user_ids, item_ids, value, time,
        align(raw.users, user_ids, "users", raw.notes), align(raw.items, item_ids, "items", raw.notes),
    )  # fmt: skip
    parts = _parts(raw, log, keep)
    _note_repeats(raw, log, parts)
    return log, parts


def _check_ids(distinct: pl.Series, codes: Int32) -> _Column:
    odd = impossible(distinct)
    bad = codes < 0
    if odd.any():
        bad |= np.append(odd, False)[codes]
    return _Column(codes, bad, "is no id (missing, too long, or with a line break or NUL)")


def _ratings(column: pl.Series) -> _Column:
    numbers = column
    if column.dtype == pl.String:
        numbers = column.cast(pl.Float64, strict=False)
        if numbers.null_count() > column.null_count():
            numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    values = numbers.cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    return _Column(single, ~np.isfinite(single), "is no rating")


def _times(column: pl.Series) -> _Column:
    """Whole numbers, decimals or dates as int64; dates become Unix seconds."""
    if column.dtype.is_temporal():
        numbers = column.dt.epoch("s")
    elif column.dtype == pl.String:
        numbers = column.cast(pl.Int64, strict=False)
        if numbers.null_count() > column.null_count():
            numbers = _odd_times(column, numbers)
    elif column.dtype.is_float():
        numbers = _whole(column)
    else:
        numbers = column.cast(pl.Int64, strict=False)
    return _Column(numbers.fill_null(0).to_numpy(), numbers.is_null().to_numpy(), "is no time")


def _odd_times(column: pl.Series, numbers: pl.Series) -> pl.Series:
    decimals = _whole(column.str.strip_chars().cast(pl.Float64, strict=False))
    numbers = numbers.fill_null(decimals) if numbers.null_count() < len(numbers) else decimals
    if numbers.null_count() == len(numbers):  # no number anywhere: dates
        text = column.str.strip_chars()
        for form in ("%+", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%m %d, %Y"):
            dates = text.str.to_datetime(form, strict=False, time_unit="us", time_zone="UTC" if form == "%+" else None)
            if dates.null_count() < len(dates):
                return dates.dt.epoch("s")
    return numbers


def _whole(decimals: pl.Series) -> pl.Series:
    """Decimals as int64, null where they are NaN, infinite or out of range."""
    decimals = decimals.cast(pl.Float64)
    fits = decimals.is_finite() & (decimals.abs() < 2.0**62)
    return pl.select(pl.when(fits).then(decimals.floor()).otherwise(None)).to_series().cast(pl.Int64, strict=False)


def _keep(raw: Raw, columns: dict[str, _Column]) -> NDArray[np.bool_]:
    """Which rows can be used; counts and shows the others, or stops."""
    error = raw.events["error"] if "error" in raw.events.columns else None
    bad = np.zeros(raw.events.height, bool) if error is None else error.is_not_null().to_numpy().copy()
    for column in columns.values():
        bad |= column.bad
    count = int(bad.sum())
    if count == 0:
        return ~bad

    def tell(row: int) -> str:
        told = None if error is None else error[row]
        if told is None:
            role, column = next((role, column) for role, column in columns.items() if column.bad[row])
            told = f"column {raw.columns.get(role, role)!r}: {shown(raw.events[role][row])} {column.why}"
        return f"{raw.where(row)}: {told}"

    rows = np.flatnonzero(bad)[:_SHOWN].tolist()
    if count > TOLERATED * len(bad):
        raise DataError(
            f"{tell(rows[0])}; {count:,} of {len(bad):,} rows cannot be used (at most 0.1 % may be): "
            "mend or remove them, or name the right column"
        )
    more = f" and {count - len(rows):,} more" if count > len(rows) else ""
    raw.notes.append(f"{count:,} of {len(bad):,} rows left out: " + "; ".join(tell(row) for row in rows) + more)
    return ~bad


def _seconds(time: Int64, raw: Raw) -> Int64:
    """Milli-, micro- and nanoseconds, told by their size, as whole seconds."""
    if not raw.dated:
        return time
    typical = float(np.median(np.abs(time)))
    for unit, least, factor in (("nano", 1e17, 10**9), ("micro", 1e14, 10**6), ("milli", 1e11, 10**3)):
        if typical >= least:
            raw.notes.append(f"times read as {unit}seconds (by their size), kept as whole seconds")
            return time // factor
    if typical < 1e7:
        raw.notes.append("times are small numbers: taken as an order or as seconds from an unknown start")
    return time


def _parts(raw: Raw, log: InteractionLog, keep: NDArray[np.bool_]) -> dict[str, InteractionLog]:
    if "part" not in raw.events.columns:
        return {}
    part = raw.events["part"]
    masks = {name: (part == name).fill_null(False).to_numpy()[keep] for name in ("train", "valid", "test")}
    return {name: log.take(mask) for name, mask in masks.items() if mask.any()}


def _note_repeats(raw: Raw, log: InteractionLog, parts: dict[str, InteractionLog]) -> None:
    def pairs(part: InteractionLog) -> Int64:
        return np.sort(part.user.astype(np.int64) * log.n_items + part.item)

    keys = pairs(log)  # sorted: numpy's unique and isin hash, which is many times slower here
    repeats = int((keys[1:] == keys[:-1]).sum())
    if repeats:
        raw.notes.append(f"{repeats:,} events repeat an earlier user-item pair; kept")
    if "train" in parts:
        train = pairs(parts["train"])
        for name in [each for each in ("valid", "test") if each in parts]:
            keys = pairs(parts[name])
            both = int((train[np.searchsorted(train, keys).clip(max=len(train) - 1)] == keys).sum())
            if both:
                raw.notes.append(f"{both:,} of the {name} events are user-item pairs of the train part")
