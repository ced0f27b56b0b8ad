"""Amazon-M2 (KDD Cup 2023): sessions_train.csv, one session a row, and products_train.csv beside it.

`prev_items` is a printed numpy array (quoted ids with spaces and line breaks between), `next_item` what came after
it. There are no users and no times: each row is a user of its own, called by its number in the file from 0, and the
position in the session, from 0, is the time. An id means a product only within its country, so items are called
locale:id.

Memory while reading: the whole file of sessions as text, then about 50 bytes an event; of the products only those
in the log, without their descriptions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from .columns import Columns
from .errors import DataError
from .log import Int64
from .rows import Raw, Source
from .sheet import read_sheet, split_line
from .source import Place

NAME = "amazon-m2"
NAMES_COLUMNS = False

_ITEM = r"""'[^'\r\n]+'|"[^"\r\n]+\""""
_ARRAY = rf"^\s*\[\s*(?:(?:{_ITEM})[\s,]*)*\]\s*$"
_SIDE = ("title", "brand", "price")


def recognise(place: Place) -> str | None:
    """Whether the header has prev_items and locale."""
    return "Amazon-M2 sessions" if _file(place) is not None else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read the sessions with their next items, the countries as side table of users, the products as that of items.

    Raises:
        DataError: no such file; a quote that never closes (names the line).
    """
    path = _file(place)
    if path is None:
        raise DataError(f"{place.path}: no Amazon-M2 sessions (columns prev_items, next_item, locale)")
    sheet = read_sheet(path, ",", None, True, place.head(path))
    sessions = sheet.frame.with_columns(
        pl.Series("error", sheet.errors if sheet.errors is not None else [None] * sheet.frame.height, pl.String)
    )
    notes = [*sheet.notes, "there are no users: each row, a session, is taken as one, called by its number from 0"]
    events, rows, empty = _events(sessions)
    notes.append("times are positions within a session, not dates; items are called locale:id")
    if "next_item" not in sessions.columns:
        notes.append(f"{path.name}: no column next_item; the sessions end with prev_items")
    if empty:
        notes.append(f"{empty:,} sessions have no items; they are not in the log")
    source = Source(path, events.height, lambda row: sheet.line(int(rows[row])))
    columns = {"user": "row", "item": "prev_items", "time": "position"}
    users = sessions.select(pl.int_range(pl.len()).cast(pl.String).alias("id"), "locale")
    raw = Raw(f"Amazon-M2 ({path.name})", events, [source], columns, users, dated=False, notes=notes)
    products = place.beside("products_train.csv")
    if products is not None:
        raw.items = _products(place, products, events["item"].unique(), notes)
    return raw


def _file(place: Place) -> Path | None:
    found = [path for path in place.files.values() if {"prev_items", "locale"} <= set(_header(place, path))]
    if len(found) > 1:
        found = [path for path in found if path.name.startswith("sessions_train.csv")]
    return found[0] if len(found) == 1 else None


def _header(place: Place, path: Path) -> list[str]:
    lines = place.first_lines(path)
    return [name.strip() for name in split_line(lines[0].lstrip("\ufeff"), ",")] if lines else []


def _events(sessions: pl.DataFrame) -> tuple[pl.DataFrame, Int64, int]:
    """One row an item of a session, the row of the file each came from, int64 [E], and how many sessions are empty."""
    previous, following = pl.col("prev_items"), pl.lit(None, pl.String)
    reasons = [
        pl.col("error"),
        pl.when(pl.col("locale").is_null()).then(pl.lit("no locale")),
        pl.when(previous.is_null()).then(pl.lit("no prev_items")),
        pl.when(previous.str.contains(r"[\s\[]\.\.\.\s")).then(
            pl.lit("prev_items is cut: its middle is printed as ...")
        ),
        pl.when(~previous.str.contains(_ARRAY)).then(pl.lit("prev_items is no printed array of quoted ids")),
    ]
    if "next_item" in sessions.columns:
        following = pl.col("next_item")
        reasons.append(pl.when(following.is_null()).then(pl.lit("no next_item")))
    frame = sessions.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("user"), "locale", previous.alias("previous"),
        following.alias("next"), pl.coalesce(reasons).alias("error"),
    )  # fmt: skip
    sound = frame.filter(pl.col("error").is_null())
    ids = pl.concat_list(pl.col("previous").str.extract_all(_ITEM), "next").list.drop_nulls()
    listed = sound.select("user", "locale", ids.alias("id")).filter(pl.col("id").list.len() > 0)
    lengths = listed["id"].list.len().to_numpy().astype(np.int64)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    bare = pl.col("id").str.strip_chars("'\"")
    events = (
        listed.explode("id")
        .with_columns(pl.Series("time", np.arange(len(starts)) - starts, pl.Int32))
        .select("user", pl.concat_str("locale", pl.lit(":"), bare).alias("item"), "time")
    )
    empty = sound.height - listed.height
    bad = frame.filter(pl.col("error").is_not_null()).select("user", "error")
    if bad.height:
        events = pl.concat([events, bad], how="diagonal").sort("user", maintain_order=True)
    return events, events["user"].to_numpy().astype(np.int64), empty


def _products(place: Place, path: Path, wanted: pl.Series, notes: list[str]) -> pl.DataFrame | None:
    """Title, brand, price and locale of the items in the log, with column `id` as they are called there."""
    seen = place.head(path)
    names = _header(place, path)
    if not {"id", "locale", "title"} <= set(names):
        notes.append(f"{path.name}: no columns id, locale and title; not used")
        return None
    kept = [name for name in _SIDE if name in names]
    key = pl.concat_str("locale", pl.lit(":"), "id").alias("id")
    frame: pl.DataFrame | None = None
    if seen.plain:
        table = pl.scan_csv(path, infer_schema=False).select(key, "locale", *kept)
        try:
            frame = table.filter(pl.col("id").is_in(wanted.implode())).collect(engine="streaming")
        except pl.exceptions.PolarsError:
            frame = None  # rows of different width, or not UTF-8: the exact reader says which
    if frame is None:
        sheet = read_sheet(path, ",", None, True, seen)
        frame = sheet.frame.select(key, "locale", *kept).filter(pl.col("id").is_in(wanted.implode()))
        notes += sheet.notes
    notes.append(f"items from {path.name}: {', '.join(['locale', *kept])}")
    return frame
