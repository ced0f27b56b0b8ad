"""OTTO's sessions (otto-de/recsys-dataset, 2022): JSON lines, one session a line with its clicks, carts and orders.

A line is {"session": 42, "events": [{"aid": 0, "ts": 1661200010000, "type": "clicks"}, ...]}. The sessions are the
users. Times are Unix milliseconds as published and seconds in copies made for Kaggle; which, their size tells.

The kinds of events are read as one and counted in a note; the layouts otto-clicks, otto-carts and otto-orders
(`ONE_KIND`), which have to be asked for by name, read one kind and leave the others out.

Memory while reading: 17 bytes an event (25 where ids exceed 32 bits), 4 bytes a line, and one chunk of `CHUNK`
characters, which takes about five times its size while it is taken apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .columns import Columns
from .errors import DataError
from .rows import Raw, Source
from .source import Place, iterate_lines

NAME = "otto"
NAMES_COLUMNS = False

KINDS = ("clicks", "carts", "orders")
"""What an event can be; column `kind` of the events."""

CHUNK = 1 << 24
"""How many characters are taken apart at once."""

_REASONS = (
    "no JSON object",
    "session is no whole number from 0",
    "no list of events",
    "aid is no whole number from 0",
    "ts is no whole number from 0",
    "type is not clicks, carts or orders",
)
_KIND = pl.Enum(KINDS)
_ERROR = pl.Enum(_REASONS)
_FIELDS: dict[str, pl.DataType] = {
    "user": pl.Int64(),
    "item": pl.Int64(),
    "time": pl.Int64(),
    "kind": _KIND,
    "error": _ERROR,
}
_SMALL = 1 << 32

_SPACE = "[ \t]*"
_WHOLE = "(?:0|[1-9][0-9]{0,17})"  # always fits 64 bits
_EVENT = r'\{ *"aid" *: *N *, *"ts" *: *N *, *"type" *: *"(?:clicks|carts|orders)" *\}'
_SOUND = (
    rf'^ *\{{ *"session" *: *N *, *"events" *: *\[ *(?:{_EVENT}(?: *, *{_EVENT})*)? *\] *\}}\s*$'
).replace(" *", _SPACE).replace("N", _WHOLE)  # fmt: skip
"""A line as published: nothing in it but what is needed, so that its numbers can be taken by their order."""

_Row = tuple[int | None, int | None, int | None, str | None, str | None]
_Counts = NDArray[np.uint32]


def recognise(place: Place) -> str | None:
    """Whether a line begins as a session with a list of events does."""
    return "OTTO sessions" if _file(place) is not None else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read the events of all kinds, in the order of the file.

    Raises:
        DataError: no file of sessions; damaged gzip; a line of more than 64 MiB.
    """
    return _read(place, None)


class OneKind:
    """The layout that reads the events of one kind alone; never guessed, only asked for by its name."""

    NAMES_COLUMNS = False

    def __init__(self, kind: str) -> None:
        """Name the layout after its kind, one of `KINDS`."""
        self.NAME = f"otto-{kind}"
        self._kind = kind

    def recognise(self, place: Place) -> str | None:
        """None: without a name, all kinds are read."""
        return None

    def read(self, place: Place, wanted: Columns) -> Raw:
        """Read the events of the kind, in the order of the file; raises as `read` of the module does."""
        return _read(place, self._kind)


ONE_KIND = tuple(OneKind(kind) for kind in KINDS)
"""The layouts of one kind each."""


def _file(place: Place) -> Path | None:
    """The file of sessions; of several that of the train part."""
    found = _files(place)
    if len(found) > 1:
        found = [path for path in found if "train" in path.name.lower()]
    return found[0] if len(found) == 1 else None


def _files(place: Place) -> list[Path]:
    return [path for path in place.files.values() if any(map(_begins, place.first_lines(path)[:20]))]


def _begins(line: str) -> bool:
    return (
        re.match(r'\s*\{\s*"(session"\s*:\s*\d+\s*,\s*"events"\s*:\s*\[|events"\s*:\s*\[\s*\{\s*")', line) is not None
    )


def _read(place: Place, only: str | None) -> Raw:
    path = _file(place)
    if path is None:
        raise DataError(f'{place.path}: no OTTO sessions (lines such as {{"session": 1, "events": [...]}})')
    frames = [_small(pl.DataFrame(schema=_FIELDS))]
    counts: list[_Counts] = [np.empty(0, np.uint32)]
    kinds = dict.fromkeys(KINDS, 0)
    empty = 0
    encoding = place.head(path).encoding.replace("latin-1", "utf-8")  # JSON is UTF-8; what is not gets reported
    for lines in _chunks(path, encoding):
        events, without = _events(lines)
        empty += without
        for kind, count in events["kind"].drop_nulls().value_counts().iter_rows():
            kinds[kind] += count
        if only is not None:
            events = events.filter((pl.col("kind") == only) | pl.col("error").is_not_null())
        counts.append(np.bincount(events["line"].to_numpy(), minlength=len(lines)).astype(np.uint32))
        frames.append(_small(events.drop("line")))
    ends = np.cumsum(np.concatenate(counts), dtype=np.int64)
    raw = Raw(
        f"OTTO sessions{'' if only is None else f', {only} only'} ({path.name})",
        pl.concat(frames, how="diagonal_relaxed"),
        [Source(path, int(ends[-1]) if len(ends) else 0, lambda row: int(np.searchsorted(ends, row, "right")) + 1)],
        {"user": "session", "item": "aid", "time": "ts"},
    )
    raw.notes += _notes(kinds, only, empty, raw.events["time"])
    raw.notes += [
        f"{each.name} is not read: its sessions are not those of {path.name}; name the file to read it"
        for each in _files(place)
        if each != path
    ]
    return raw


def _notes(kinds: dict[str, int], only: str | None, empty: int, times: pl.Series) -> list[str]:
    told = {kind: f"{count:,} {kind}" for kind, count in kinds.items()}
    notes = ["sessions are taken as users"]
    if only is None:
        notes.append(
            f"events of all kinds are read as one ({', '.join(told.values())}); "
            f"for one kind ask for layout {', '.join(each.NAME for each in ONE_KIND[:-1])} or {ONE_KIND[-1].NAME}"
        )
    else:
        notes.append(f"{told.pop(only)} are read; left out: {', '.join(told.values())}")
    if empty:
        notes.append(f"{empty:,} sessions have no events; they are not in the log")
    typical = times.median()
    if isinstance(typical, float) and 1e7 <= typical < 1e11:
        notes.append("times taken as seconds by their size, as in the copy made for Kaggle; OTTO has milliseconds")
    return notes


def _chunks(path: Path, encoding: str) -> Iterator[list[str]]:
    """The lines, at least `CHUNK` characters of them at a time."""
    lines: list[str] = []
    size = 0
    for line in iterate_lines(path, encoding):
        lines.append(line)
        size += len(line)
        if size >= CHUNK:
            yield lines
            lines, size = [], 0
    if lines:
        yield lines


def _events(lines: list[str]) -> tuple[pl.DataFrame, int]:
    """The events of some lines with column `line` (from 0), and how many sessions have none.

    Lines that are just as published are taken apart all at once, others one by one.
    """
    text = pl.Series("text", lines, pl.String)
    sound = text.str.contains(_SOUND)
    number = pl.int_range(len(lines), dtype=pl.UInt32, eager=True)
    events, empty = _sound_events(text.filter(sound), number.filter(sound))
    if sound.all():
        return events, empty
    rows: list[_Row] = []
    places: list[int] = []
    for place in number.filter(~sound).to_list():
        if not lines[place].strip():
            continue
        found = _odd_line(lines[place])
        rows += found
        places += [place] * len(found)
        empty += not found
    odd = pl.DataFrame(rows, schema=_FIELDS, orient="row").with_columns(pl.Series("line", places, pl.UInt32))
    return pl.concat([events, odd.select(events.columns)]).sort("line", maintain_order=True), empty


def _sound_events(text: pl.Series, number: pl.Series) -> tuple[pl.DataFrame, int]:
    """The same for lines that match `_SOUND`: their numbers are session, aid, ts, aid, ts, ..."""
    numbers = text.str.extract_all("[0-9]+")
    count = (numbers.list.len() - 1) // 2
    some = count > 0
    numbers, number, times = numbers.filter(some), number.filter(some), count.filter(some).to_numpy()
    pairs = numbers.list.slice(1).explode().cast(pl.Int64)
    kinds = text.filter(some).str.extract_all('"(?:clicks|carts|orders)"').explode().str.strip_chars('"')
    events = pl.DataFrame(
        {
            "line": np.repeat(number.to_numpy(), times),
            "user": np.repeat(numbers.list.first().cast(pl.Int64).to_numpy(), times),
            "item": pairs.gather_every(2),
            "time": pairs.gather_every(2, 1),
            "kind": kinds.cast(_KIND),
        }
    )
    return events.with_columns(pl.lit(None, _ERROR).alias("error")), int((~some).sum())


def _odd_line(line: str) -> list[_Row]:
    """The events of any other line: other spaces, more fields, or damage; a line without a session is one bad row."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        return [(None, None, None, None, _REASONS[0])]
    session, events = record.get("session"), record.get("events")
    if not _whole(session):
        return [(None, None, None, None, _REASONS[1])]
    if not isinstance(events, list):
        return [(session, None, None, None, _REASONS[2])]
    return [_odd_event(session, event) for event in events]


def _odd_event(session: int, event: Any) -> _Row:
    if not isinstance(event, dict):
        return session, None, None, None, _REASONS[2]
    item, time, kind = event.get("aid"), event.get("ts"), event.get("type")
    if not _whole(item):
        return session, None, None, None, _REASONS[3]
    if not _whole(time):
        return session, item, None, None, _REASONS[4]
    if kind not in KINDS:
        return session, item, time, None, _REASONS[5]
    return session, item, time, kind, None


def _whole(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _small(events: pl.DataFrame) -> pl.DataFrame:
    """Ids in 32 bits where they fit; no column of errors where there are none."""
    if events["error"].null_count() == events.height:
        events = events.drop("error")
    fits = [name for name in ("user", "item") if not (events[name] >= _SMALL).any()]
    return events.with_columns(pl.col(fits).cast(pl.UInt32))
