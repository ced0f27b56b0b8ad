"""Amazon reviews as UCSD publishes them: JSON lines of 2014, 2018, 2023, and the rating-only files."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from .columns import Columns
from .errors import DataError
from .rows import Raw, Source, source_of
from .sheet import read_sheet
from .source import Place, iterate_lines

NAME = "amazon"
NAMES_COLUMNS = False

_ASIN = re.compile(r"B[0-9A-Z]{9}|\d{9}[\dX]")
_REVIEWER = re.compile(r"A[0-9A-Z]{8,30}")
_KEYS = {
    "2014/2018": {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"},
    "2023": {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"},
}
_BLOCK = 200_000
_DEPTH = 50
_LONGEST_META = 1 << 20


def recognise(place: Place) -> str | None:
    """Which edition it is, by the keys of the first line or by what the ids of the columns look like."""
    path = _reviews(place)
    if path is None:
        return None
    edition = _edition(place, path)
    return f"Amazon reviews {edition}" if edition else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read user, item, rating and time; review texts and reviewers' names are not read.

    Raises:
        DataError: the file is not as published.
    """
    path = _reviews(place)
    edition = _edition(place, path) if path is not None else None
    if path is None or edition is None:
        raise DataError(f"{place.path}: no Amazon reviews (JSON lines or a rating-only file)")
    raw = _rating_only(place, path, edition) if edition.startswith("rating-only") else _json(place, path, edition)
    meta = _meta_file(path)
    if meta is not None:
        raw.items = _items(meta, set(raw.events["item"].drop_nulls().unique().to_list()), raw.notes)
    return raw


def _reviews(place: Place) -> Path | None:
    found = [path for path in place.files.values() if not path.name.startswith("meta_") and _edition(place, path)]
    return found[0] if len(found) == 1 else None


def _edition(place: Place, path: Path) -> str | None:
    lines = place.first_lines(path)[:200]
    if not lines:
        return None
    if lines[0].lstrip().startswith("{"):
        record = _record(lines[0])
        if isinstance(record, dict):
            for edition, keys in _KEYS.items():
                if keys["user"] in record and (keys["item"] in record or "asin" in record):
                    return edition
        return None
    rows = [line.split(",") for line in lines]
    if any(len(row) != 4 for row in rows):
        return None
    for edition, user, item in (("rating-only 2014", 0, 1), ("rating-only 2018", 1, 0)):
        fits = sum(bool(_REVIEWER.fullmatch(row[user]) and _ASIN.fullmatch(row[item])) for row in rows)
        if fits > 0.9 * len(rows):
            return edition
    return None


def _rating_only(place: Place, path: Path, edition: str) -> Raw:
    names = ["user", "item", "rating", "time"] if edition.endswith("2014") else ["item", "user", "rating", "time"]
    sheet = read_sheet(path, ",", names, quoted=False, seen=place.head(path))
    events = sheet.frame if sheet.errors is None else sheet.frame.with_columns(sheet.errors.alias("error"))
    notes = [*sheet.notes, f"no header; column order {', '.join(names)} told by the form of the ids"]
    return Raw(f"Amazon reviews {edition} ({path.name})", events, [source_of(sheet)], notes=notes)


def _record(line: str) -> Any:
    """One line as JSON, or None; nesting is bounded before it is parsed."""
    if len(line) > 64 and max(line.count("["), line.count("{")) > _DEPTH and _depth(line) > _DEPTH:
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _depth(line: str) -> int:
    signs = np.frombuffer(line.encode("utf-8", "replace"), np.uint8)
    steps = np.isin(signs, (91, 123)).astype(np.int64) - np.isin(signs, (93, 125))
    return int(np.cumsum(steps).max(initial=0))


def _json(place: Place, path: Path, edition: str) -> Raw:
    keys = _KEYS[edition]
    frames: list[pl.DataFrame] = []
    lines: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    by_asin = 0
    encoding = place.head(path).encoding.replace("latin-1", "utf-8")  # JSON is UTF-8; what is not gets reported
    for block, numbers, fallbacks in _blocks(path, encoding, keys):
        frames.append(pl.DataFrame(block, schema=dict.fromkeys([*keys, "error"], pl.String), orient="row"))
        lines.append(np.array(numbers, np.int64))
        by_asin += fallbacks
    where = np.concatenate(lines) if lines else np.empty(0, np.int64)
    events = pl.concat(frames) if frames else pl.DataFrame(schema=dict.fromkeys(keys, pl.String))
    notes = [f"{by_asin:,} events without parent_asin: asin taken"] if by_asin else []
    source = Source(path, events.height, lambda row: int(where[row]))
    return Raw(f"Amazon reviews {edition} ({path.name})", events, [source], dict(keys), notes=notes)


_Row = tuple[str | None, str | None, str | None, str | None, str | None]


def _blocks(path: Path, encoding: str, keys: dict[str, str]) -> Iterator[tuple[list[_Row], list[int], int]]:
    """Rows of events with their line numbers, and how many had to take `asin` for `parent_asin`."""
    rows: list[_Row] = []
    numbers: list[int] = []
    fallbacks = 0
    user, item, rating, time = keys.values()
    for number, line in enumerate(iterate_lines(path, encoding), 1):
        if not line.strip():
            continue
        record = _record(line)
        numbers.append(number)
        if isinstance(record, dict):
            thing = record.get(item)
            if thing is None and item != "asin":
                thing = record.get("asin")
                fallbacks += thing is not None
            ids = _text(record.get(user)), _text(thing)
            wrong = "an id that is not UTF-8" if any(each and "\ufffd" in each for each in ids) else None
            rows.append((*ids, _text(record.get(rating)), _text(record.get(time)), wrong))
        else:
            rows.append((None, None, None, None, "no JSON object"))
        if len(rows) == _BLOCK:
            yield rows, numbers, fallbacks
            rows, numbers, fallbacks = [], [], 0
    if rows:
        yield rows, numbers, fallbacks


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return re.sub("[\ud800-\udfff]", "\ufffd", value)  # lone surrogates cannot be written as UTF-8
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return repr(value) if abs(value) < 1e300 else "inf"
    return None


def _meta_file(path: Path) -> Path | None:
    bare = path.name.removesuffix(".gz")
    for ending in (".json", ".jsonl", ".csv"):
        bare = bare.removesuffix(ending)
    bare = re.sub(r"^(reviews|ratings)_|_(5|10)$|_5core$", "", bare)
    bare = re.sub(r"_(5|10)$", "", bare)
    for name in (f"meta_{bare}.json", f"meta_{bare}.jsonl"):
        for candidate in (path.parent / name, path.parent / (name + ".gz")):
            if candidate.is_file():
                return candidate
    return None


def _items(path: Path, wanted: set[str], notes: list[str]) -> pl.DataFrame | None:
    """Title, brand, categories, price and description of the items in the log.

    The lines of 2014 are printed Python dicts: read by `ast.literal_eval` on lines of bounded length and depth.
    """
    rows: list[tuple[str | None, ...]] = []
    unread = 0
    seen: set[str] = set()
    key = re.compile(r"""["'](?:parent_)?asin["']\s*:\s*["']([^"']+)["']""")
    for line in iterate_lines(path, "utf-8"):
        if not any(asin in wanted for asin in key.findall(line)):
            continue
        record = _record(line) or _literal(line)
        if not isinstance(record, dict):
            unread += 1
            continue
        asin = record.get("parent_asin") or record.get("asin")
        if not isinstance(asin, str) or asin not in wanted or asin in seen:
            continue
        seen.add(asin)
        words = (record.get(name) for name in ("title", "price", "description"))
        title, price, description = (_joined(each, " ") for each in words)
        brand = _joined(record.get("brand") or record.get("store"), " ")
        kinds = _joined(record.get("categories") or record.get("category"), "|")
        rows.append((asin, title, brand, kinds, price, description))
    if unread:
        notes.append(f"{unread:,} lines of {path.name} are neither JSON nor a printed dict; not used")
    if not rows:
        return None
    notes.append(f"items from {path.name}: title, brand, categories, price, description")
    names = ("id", "title", "brand", "categories", "price", "description")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def _literal(line: str) -> Any:
    if len(line) > _LONGEST_META or _depth(line) > _DEPTH:
        return None
    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _joined(value: Any, separator: str) -> str | None:
    """Words, or (nested) lists of words, as one text without repeats."""
    if isinstance(value, list):
        flat: list[str] = []
        for each in value:
            inner = each if isinstance(each, list) else [each]
            flat += [part for part in map(_text, inner) if part and part not in flat]
        return separator.join(flat) or None
    return _text(value)
