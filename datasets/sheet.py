"""Delimited text as a frame of text columns: fast when the file is sound, exact about lines when it is not."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import polars as pl

from .errors import DataError
from .log import Int64
from .source import Head, as_utf8, head, open_bytes

_BLOCK = 200_000
_STAND_IN = "\x1f"  # one byte that takes the place of a separator of several characters


@dataclass(frozen=True, eq=False)
class Sheet:
    """The rows of one file.

    Attributes:
        path: the file.
        frame: text columns, one row per record; empty fields are null.
        errors: text [rows], why a row cannot be used, or null; None if every row has the right width.
        notes: what was guessed.
        lines: int64 [rows], the line each row begins at, if known from the reading.
        first_line: the line of the first row when every record is one line; 0 where that is not sure.
    """

    path: Path
    frame: pl.DataFrame
    errors: pl.Series | None = None
    notes: list[str] = field(default_factory=list)
    lines: Int64 | None = None
    first_line: int = 0
    _again: tuple[str, str, bool] = ("utf-8", ",", True)

    def line(self, row: int) -> int:
        """The line (from 1) in the file where a row begins."""
        if self.lines is not None:
            return int(self.lines[row])
        if self.first_line:
            return self.first_line + row
        encoding, separator, header = self._again
        with io.TextIOWrapper(open_bytes(self.path), encoding, newline="") as text:
            reader = csv.reader(text, delimiter=separator)
            for _ in islice(reader, row + header):
                pass
            return reader.line_num + 1


def split_line(line: str, separator: str, quoted: bool = True) -> list[str]:
    """One line cut into fields as the reader will cut it."""
    if not quoted or '"' not in line or len(separator) > 1:
        return line.split(separator)
    return next(csv.reader([line], delimiter=separator), [])


def read_sheet(
    path: Path,
    separator: str,
    names: list[str] | None = None,
    quoted: bool = True,
    seen: Head | None = None,
    encoding: str | None = None,
) -> Sheet:
    """Read a delimited text file with every field as text.

    Args:
        path: the file, possibly gzip.
        separator: one or more characters.
        names: the columns if the file has no header; else None.
        quoted: whether double quotes enclose fields.
        seen: its beginning, if it was looked at already.
        encoding: the encoding if it is known by the format.

    Raises:
        DataError: damaged or unreadable; a quote that never closes (names the line).
    """
    seen = seen or head(path)
    encoding = encoding or seen.encoding
    source: Path | bytes = path
    if not seen.plain or encoding != "utf-8":
        source = as_utf8(path, encoding)
    if len(separator) > 1:
        source = source if isinstance(source, bytes) else as_utf8(path, encoding)
        source = source.replace(separator.encode(), _STAND_IN.encode())
        separator = _STAND_IN
    header = names is None
    if names is None:
        names = _unique(split_line(seen.lines[0].lstrip("\ufeff"), separator, quoted))
    sheet = Sheet(
        path, pl.DataFrame(), first_line=1 + header if not quoted else 0, _again=(encoding, separator, header)
    )
    try:
        frame = _fast(source, separator, names, quoted, header)
    except pl.exceptions.PolarsError as error:
        if "utf-8" not in str(error) or encoding == "latin-1":
            frame = None
        else:
            again = read_sheet(path, separator, None if header else names, quoted, seen, "latin-1")
            return replace(again, notes=[f"{path.name}: not valid UTF-8, read as latin-1", *again.notes])
    if frame is None:
        frame, errors, lines = _exact(path, source, separator, names, quoted, header)
        return replace(sheet, frame=frame, errors=errors, lines=lines)
    return replace(sheet, frame=frame)


def _fast(source: Path | bytes, separator: str, names: list[str], quoted: bool, header: bool) -> pl.DataFrame | None:
    """The frame, or None if rows differ in width or are blank, which the exact reading tells apart."""
    quote = '"' if quoted else None
    try:
        frame = pl.read_csv(
            source, has_header=False, skip_rows=int(header), separator=separator, quote_char=quote, infer_schema=False
        )
    except pl.exceptions.NoDataError:
        return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
    if frame.width != len(names):
        return None
    frame.columns = names
    suspects = [column for column in frame if column.null_count()]
    if len(suspects) == frame.width and frame.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        return None
    return frame


def _exact(
    path: Path, source: Path | bytes, separator: str, names: list[str], quoted: bool, header: bool
) -> tuple[pl.DataFrame, pl.Series, Int64]:
    """Row by row, with the line of every row; one that is wider than the header gets a reason."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else open_bytes(source)
    text = io.TextIOWrapper(stream, "utf-8", newline="")
    width = len(names)
    if quoted:
        reader = csv.reader(text, delimiter=separator, strict=True)
    else:
        reader = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_NONE)
    frames: list[pl.DataFrame] = []
    reasons: list[str | None] = []
    lines: list[int] = []
    rows: list[list[str | None]] = []
    begin = 1
    try:
        for number, fields in enumerate(reader):
            line, begin = begin, reader.line_num + 1
            if (number == 0 and header) or not fields or (width > 1 and fields == [""]):
                continue
            reasons.append(f"{len(fields)} fields instead of {width}" if len(fields) > width else None)
            lines.append(line)
            rows.append([each or None for each in (fields + [""] * width)[:width]])
            if len(rows) == _BLOCK:
                frames.append(_frame(rows, names))
                rows = []
    except csv.Error as error:
        raise DataError(f"{path}: line {begin}: {error}; mend the quotes or the line there") from error
    finally:
        text.close()
    frames.append(_frame(rows, names))
    return pl.concat(frames), pl.Series("error", reasons, pl.String), np.array(lines, np.int64)


def _frame(rows: list[list[str | None]], names: list[str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    result = []
    for place, name in enumerate(names, 1):
        name = name.strip() or f"column_{place}"
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return result
