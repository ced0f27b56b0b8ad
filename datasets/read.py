"""Reading a log from any known layout: what it is gets found out by looking, and said."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from . import amazon, amazon_m2, atomic, movielens, otto, streaming_sessions, tables, text, yambda
from .columns import Columns
from .errors import DataError, unknown_name
from .log import InteractionLog
from .rows import Raw, assemble
from .source import Place


class Layout(Protocol):
    """What a module that reads one family of layouts offers.

    Attributes:
        NAME: how a caller asks for it.
        NAMES_COLUMNS: whether the caller may name the columns.
    """

    NAME: str
    NAMES_COLUMNS: bool

    def recognise(self, place: Place) -> str | None:
        """The layout in words if this is one, by looking at the content; else None."""

    def read(self, place: Place, wanted: Columns) -> Raw:
        """The rows of the place."""


LAYOUTS: tuple[Layout, ...] = (
    atomic, movielens, amazon, otto, *otto.ONE_KIND, amazon_m2, yambda, streaming_sessions, text, tables,
)  # fmt: skip
"""In the order they are asked; the tables come last because they take almost anything."""


@dataclass(frozen=True, eq=False)
class LoadedLog:
    """A log as it came from its files.

    Attributes:
        log: all events, in the order of the files.
        layout: what was recognised, for people.
        parts: train, valid, test over the same users and items, where the files give a split; else empty.
        notes: guesses made, rows left out, repeats found, one sentence each.
        dated: False where `log.time` is only an order within each user.
    """

    log: InteractionLog
    layout: str = "given"
    parts: dict[str, InteractionLog] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    dated: bool = True


def read_log(
    path: str | Path,
    *,
    user: str | None = None,
    item: str | None = None,
    rating: str | None = None,
    time: str | None = None,
    layout: str | None = None,
    report: Callable[[str], None] | None = None,
) -> LoadedLog:
    """Read interactions from a file or folder in any layout of `LAYOUTS`.

    Ids are read as text. Users and items are numbered by first appearance in the files. A row that lacks an id
    or has no readable rating or time is left out, counted and shown; above 0.1 % of the rows reading stops.

    Args:
        path: a file or a folder.
        user: name of the column of users, if it is not to be guessed; likewise item, rating, time.
        item: see user.
        rating: see user.
        time: see user.
        layout: name of a layout, if it is not to be recognised.
        report: called with the layout and each note, for example to print them.

    Raises:
        DataError: it is no log, is damaged, or too many of its rows cannot be used. One line.
    """
    path = Path(path)
    wanted = Columns(user, item, rating, time)
    try:
        place = Place.at(path)
        reader = _choose(place, wanted, layout)
        raw = reader.read(place, wanted)
        log, parts = assemble(raw)
    except DataError as error:
        raise DataError(_one_line(str(error))) from error
    except (
        OSError, EOFError, ValueError, OverflowError, MemoryError, zlib.error, csv.Error,
        pl.exceptions.PolarsError, pl.exceptions.PanicException,
    ) as error:  # fmt: skip
        reason = str(error).split("\n")[0] or type(error).__name__
        raise DataError(_one_line(f"{path}: cannot be read ({reason[:200]})")) from error
    if report is not None:
        for line in (raw.layout, *raw.notes):
            report(line)
    return LoadedLog(log, raw.layout, parts, raw.notes, raw.dated)


def _choose(place: Place, wanted: Columns, name: str | None) -> Layout:
    """The layout asked for, or the first that recognises the place."""
    if name is not None:
        known = {each.NAME: each for each in LAYOUTS}
        if name not in known:
            raise unknown_name("layout", name, known)
        if wanted.given and not known[name].NAMES_COLUMNS:
            raise DataError(f"{place.path}: the columns of layout {name!r} are fixed; name none")
        return known[name]
    for reader in LAYOUTS:
        if (reader.NAMES_COLUMNS or not wanted.given) and reader.recognise(place):
            return reader
    if not place.is_folder:
        place.head(place.path)  # says what is wrong with the file, if anything is
        raise DataError(f"{place.path}: no log: its lines are not {_KNOWN}")
    if not place.files:
        raise DataError(f"{place.path}: the folder holds no files")
    raise DataError(f"{place.path}: nothing in this folder is a known layout ({_KNOWN}); name the file itself")


_KNOWN = (
    "CSV, TSV or Parquet tables, RecBole atomic files, MovieLens, Amazon reviews, OTTO sessions, Amazon-M2, Yambda, "
    "Music Streaming Sessions, LightGCN or SASRec text"
)


def _one_line(message: str) -> str:
    return " ".join(message.split())
