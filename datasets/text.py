"""Bare text of two research programs: LightGCN-PyTorch (user item item ...) and SASRec.pytorch (user item)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl

from .columns import Columns, part_of, part_order
from .errors import DataError
from .rows import Raw, Source
from .sheet import Sheet, read_sheet
from .source import Place

NAME = "text"
NAMES_COLUMNS = False

_NUMBERS = re.compile(r"\d+( +\d+)* *")


def recognise(place: Place) -> str | None:
    """Which of the two, if the lines are whole numbers with spaces between, else None."""
    files = _files(place)
    widths = [len(line.split()) for path in files for line in place.first_lines(path)]
    if not widths:
        return None
    if place.is_folder and not any(part == "train" for part in files.values()):
        return None
    if set(widths) == {2} and len(files) == 1:
        return "SASRec.pytorch text"
    return "LightGCN-PyTorch text" if (max(widths) > 1 and len(set(widths)) > 1) or place.is_folder else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read pairs, or users with all their items.

    In SASRec's text the order of lines is the order of time: the position within the user becomes the time.

    Raises:
        DataError: the lines are not whole numbers.
    """
    kind = recognise(place)
    if kind is None:
        raise DataError(f"{place.path}: no text of whole numbers (user item ...)")
    files = _files(place)
    frames: list[pl.DataFrame] = []
    sources: list[Source] = []
    notes: list[str] = []
    names: list[str] = []
    for path, part in files.items():
        sheet = read_sheet(path, "\x1f", ["line"], quoted=False, seen=place.head(path))
        events, lines = _pairs(sheet, notes)
        sources.append(Source(path, events.height, lambda row, lines=lines: int(lines[row])))  # type: ignore[misc]
        frames.append(events if part is None else events.with_columns(pl.lit(part).alias("part")))
        names.append(path.name)
    events = pl.concat(frames)
    if kind.startswith("SASRec"):
        position = pl.int_range(pl.len(), dtype=pl.Int64).over("user")
        events = events.with_columns(position.alias("time"))
        notes.append("times are positions within a user (the order of lines), not dates")
    columns = {"user": "1", "item": "2"}
    return Raw(f"{kind} ({', '.join(names)})", events, sources, columns, dated=False, notes=notes)


def _files(place: Place) -> dict[Path, str | None]:
    """The files whose lines are whole numbers, but for a few damaged ones, with the part each is."""
    parts: dict[Path, str | None] = {}
    for path in place.files.values():
        part = part_of(path.name.removesuffix(".gz").removesuffix(".txt"))
        if place.is_folder and part is None:
            continue
        lines = place.first_lines(path)
        if lines and sum(bool(_NUMBERS.fullmatch(line)) for line in lines) >= 0.95 * len(lines):
            parts[path] = part if place.is_folder else None
    return dict(sorted(parts.items(), key=lambda each: part_order(each[1])))


def _pairs(sheet: Sheet, notes: list[str]) -> tuple[pl.DataFrame, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """One row per event, and the line each came from."""
    lines = sheet.frame.with_columns(pl.Series("number", _numbers(sheet))).filter(pl.col("line").is_not_null())
    fields = pl.col("line").str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    frame = lines.select(fields.list.first().alias("user"), fields.list.slice(1).alias("item"), pl.col("number"))
    lone = int((frame["item"].list.len() == 0).sum())
    if lone:
        notes.append(f"{sheet.path.name}: {lone:,} users have no items; they are not in this part")
        frame = frame.filter(pl.col("item").list.len() > 0)
    events = frame.explode("item")
    wrong = ~(pl.col("user").str.contains(r"^\d+$") & pl.col("item").str.contains(r"^\d+$"))
    reason = pl.when(wrong).then(pl.lit("user and items must be whole numbers")).otherwise(None)
    events = events.with_columns(reason.cast(pl.String).alias("error"))
    return events.drop("number"), events["number"].to_numpy()


def _numbers(sheet: Sheet) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    if sheet.lines is not None:
        return sheet.lines
    return np.arange(1, sheet.frame.height + 1, dtype=np.int64)
