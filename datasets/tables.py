"""CSV, TSV and Parquet tables: one file, or a folder of interactions.csv with items.csv and users.csv."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import polars as pl

from .columns import USUAL, Columns, part_of, part_order, resolve, usual
from .errors import DataError
from .rows import Raw, Source, source_of
from .sheet import Sheet, read_sheet, split_line
from .sides import standard
from .source import Place, shown

NAME = "table"
NAMES_COLUMNS = True

_EVENTS = "interactions interaction ratings rating events event log logs inter reviews transactions clicks"
_ITEMS = "items item movies movie products product books catalogue catalog titles"
_USERS = "users user customers profiles"
_ENDINGS = ("csv", "tsv", "txt", "dat", "data", "parquet", "pq")
_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar", " ": "space", "::": "double colon"}


def stem(name: str) -> str:
    """A file's name less .gz and the ending: "ratings" of "ratings.csv.gz"; the name if it is no table."""
    bare = name.removesuffix(".gz")
    start, dot, ending = bare.rpartition(".")
    return start.lower() if dot and ending.lower() in _ENDINGS else name


def recognise(place: Place) -> str | None:
    """What kind of table lies there, in words, or None."""
    if not place.is_folder:
        head = place.head(place.path)
        return "Parquet table" if head.parquet else "table" if _separator(_lines(place, place.path)) else None
    files = _event_files(place)
    return "folder of tables" if files else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read the events and the side tables beside them.

    Raises:
        DataError: no column for users or items; a file that cannot be read.
    """
    files: list[tuple[Path, str | None]] = [(place.path, None)]
    if place.is_folder:
        files = _event_files(place)
    if not files:
        raise DataError(f"{place.path}: no table of interactions in this folder; name the file itself")
    raw = _read_events(place, files, wanted)
    named = place.is_folder or stem(place.path.name) in _EVENTS.split()
    used = {path.name for path, _ in files}
    if named:
        raw.items = _side(place, _ITEMS, "item", raw, used)
        raw.users = _side(place, _USERS, "user", raw, used)
    if place.is_folder and (unread := sorted(set(place.files) - used - {"README.md"})):
        raw.notes.append("not read: " + ", ".join(unread[:8]) + (" ..." if len(unread) > 8 else ""))
    return raw


def _event_files(place: Place) -> list[tuple[Path, str | None]]:
    """The files of events and the part each stands for (None: all)."""
    tables = {name: path for name, path in place.files.items() if stem(name) != name}
    known = [path for word in _EVENTS.split() for name, path in tables.items() if stem(name) == word]
    if known:
        return [(known[0], None)]
    parts = [(path, part_of(stem(name))) for name, path in tables.items()]
    split = [each for each in parts if each[1]]
    if any(part == "train" for _, part in split):
        return sorted(split, key=lambda each: part_order(each[1]))
    sides = (_ITEMS + " " + _USERS + " readme").split()
    others = [path for name, path in tables.items() if stem(name) not in sides and _looks(place, path)]
    return [(others[0], None)] if len(others) == 1 else []


def _looks(place: Place, path: Path) -> bool:
    try:
        return place.head(path).parquet or _separator(_lines(place, path)) is not None
    except DataError:
        return False


def _lines(place: Place, path: Path) -> tuple[str, ...]:
    place.head(path)  # says what is wrong with the file, if anything is
    return place.first_lines(path)


def _separator(lines: tuple[str, ...]) -> str | None:
    """The separator under which the first lines have the same number of fields, two at least."""
    sample = lines[:50]
    if sample and sample[0].lstrip()[:1] in ("{", "["):
        return None  # JSON
    best: tuple[float, int, str] | None = None
    for separator in _SEPARATORS:
        widths = _widths(sample, separator)
        if not widths or widths[0] < 2 or (separator == " " and widths[0] > 8):
            continue
        agree = sum(width == widths[0] for width in widths) / len(widths)
        score = (round(agree, 1), widths[0] if separator != " " else 0, separator)
        if agree >= 0.5 and (best is None or score[:2] > best[:2]):
            best = score
    if best is None:
        return None
    return "::" if best[2] == "::" or all("::" in line for line in sample) else best[2]


def _widths(lines: tuple[str, ...], separator: str) -> list[int]:
    """The number of fields of each record; a record with quoted line breaks spans lines."""
    if len(separator) > 1 or not any('"' in line for line in lines):
        return [len(line.split(separator)) for line in lines]
    try:
        return [len(row) for row in csv.reader([line + "\n" for line in lines], delimiter=separator)]
    except csv.Error:
        return []


def _enclosed(line: str, separator: str) -> bool:
    """Whether some field of the line stands whole in double quotes."""
    return any(len(each) > 1 and each[0] == each[-1] == '"' for each in line.split(separator))


def _has_header(fields: list[str]) -> bool:
    names = [field.strip().lstrip("\ufeff") for field in fields]
    if usual(names, "user") or usual(names, "item"):
        return True
    return not any(_number(name) or not name for name in names)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_table(place: Place, path: Path) -> tuple[pl.DataFrame, Sheet | None, str]:
    """One table: its frame (text columns, or typed if Parquet), the sheet it is from, its kind in words."""
    head = place.head(path)
    if head.parquet:
        return pl.read_parquet(path), None, "Parquet"
    lines = _lines(place, path)
    separator = _separator(lines)
    if separator is None:
        raise DataError(f"{path}: no table: no separator (comma, tab, semicolon, bar, space) splits its lines")
    quoted = separator not in ("\t", "::") or any(_enclosed(line, separator) for line in lines)
    fields = split_line(lines[0], separator, quoted)
    header = _has_header(fields)
    names = None
    if not header:
        usual_order = ["user", "item", "rating", "time"]
        names = [f"column_{n}" for n in range(1, len(fields) + 1)]
        if len(fields) <= 4:
            names = usual_order[: len(fields)]
    sheet = read_sheet(path, separator, names, quoted, head)
    if not header:
        sheet.notes.append(f"{path.name}: no header; columns taken as {', '.join(sheet.frame.columns)}")
    if header and separator != " " and all(name.startswith(" ") for name in fields[1:]):
        sheet = replace(sheet, frame=sheet.frame.with_columns(pl.all().str.strip_chars_start(" ")))
        sheet.notes.append(f"{path.name}: spaces after the separator are no part of the fields")
    kind = f"{_SEPARATORS[separator]}-separated, {head.encoding}"
    return sheet.frame, sheet, kind


def _columns_of(place: Place, path: Path) -> tuple[list[str], Sheet | None, str]:
    """The columns of a table, before the rows of Parquet are read: only what is needed shall be."""
    if place.head(path).parquet:
        return list(pl.read_parquet_schema(path)), None, "Parquet"
    frame, sheet, kind = read_table(place, path)
    return frame.columns, sheet, kind


def _read_events(place: Place, files: list[tuple[Path, str | None]], wanted: Columns) -> Raw:
    frames: list[pl.DataFrame] = []
    sources: list[Source] = []
    notes: list[str] = []
    kinds: list[str] = []
    roles: dict[str, str] = {}
    for path, part in files:
        names, sheet, kind = _columns_of(place, path)
        roles = resolve(str(path), names, wanted)
        frame = sheet.frame if sheet is not None else pl.read_parquet(path, columns=[*dict.fromkeys(roles.values())])
        if sheet is not None:
            notes += sheet.notes
        sources.append(Source(path, frame.height) if sheet is None else source_of(sheet))
        events = frame.select([_as_text(path, frame, name).alias(role) if role in ("user", "item", "split")
                               else pl.col(name).alias(role) for role, name in roles.items()])  # fmt: skip
        if part:
            events = events.with_columns(pl.lit(part).alias("split"))
        if sheet is not None and sheet.errors is not None:
            events = events.with_columns(sheet.errors.alias("error"))
        frames.append(events)
        kinds.append(f"{path.name}: {kind}")
        unused = [name for name in names if name not in roles.values()]
        if unused:
            notes.append(f"{path.name}: columns not used: " + ", ".join(unused[:12]))
    try:
        events = pl.concat(frames, how="diagonal" if any("error" in each.columns for each in frames) else "vertical")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{place.path}: the parts have different columns") from error
    guessed = [f"{role} = {name}" for role, name in roles.items() if getattr(wanted, role, None) is None]
    if guessed and not any("no header" in note for note in notes):
        notes.insert(0, "columns by their names: " + ", ".join(guessed))
    dated = roles.get("time", "").lower() not in ("position", "order")
    if "time" in roles and not dated:
        notes.append(f"times are positions within a user ({roles['time']}), not dates")
    if "split" in events.columns:
        events = _parts(events, roles.get("split", "split"), notes)
    return Raw(f"{'; '.join(kinds)}", events, sources, roles, dated=dated, notes=notes)


def _as_text(path: Path, frame: pl.DataFrame, name: str) -> pl.Expr:
    """Ids as text; whole numbers that a missing value has turned into decimals lose their .0."""
    kind = frame.schema[name]
    if kind.is_nested():
        raise DataError(f"{path}: column {name!r} holds lists; a log has one event a row: explode it first")
    column = pl.col(name)
    if kind.is_float():
        whole = frame.select((column.is_null() | column.is_nan() | (column.floor() == column)).all()).item()
        column = column.fill_nan(None).cast(pl.Int64, strict=False) if whole else column
    return column.cast(pl.String)


def _parts(events: pl.DataFrame, name: str, notes: list[str]) -> pl.DataFrame:
    """The split column as parts, if most of its words are known, the others being bad rows; else it is not used."""
    words = events["split"].unique().to_list()
    meaning = {word: found for word in words if word and (found := part_of(word))}
    part = events["split"].replace_strict(meaning, default=None, return_dtype=pl.String)
    if "train" not in meaning.values() or part.null_count() > 0.5 * len(part):
        unknown = sorted(shown(word) for word in words if word not in meaning)[:4]
        notes.append(f"column {name} is not used as a split: {', '.join(unknown)} is not train, valid or test")
        return events.drop("split")
    if part.null_count():
        earlier = [pl.col("error")] if "error" in events.columns else []
        reason = pl.when(part.is_null()).then(pl.lit(f"column {name!r} is not train, valid or test"))
        events = events.with_columns(pl.coalesce(*earlier, reason.otherwise(None)).alias("error"))
    return events.drop("split").with_columns(part.alias("part"))


def _side(place: Place, stems: str, role: str, raw: Raw, used: set[str]) -> pl.DataFrame | None:
    """The side table of a role beside the events, with its id column called `id`."""
    names = [f"{word}.{ending}" for word in stems.split() for ending in _ENDINGS]
    path = place.beside(*names)
    if path is None or path.name in used:
        return None
    frame, _, _ = read_table(place, path)
    names = [name for name in frame.columns if name in ("id", raw.columns[role])]
    key = names[-1] if names else usual(frame.columns, role)
    if key is None:
        raw.notes.append(f"{path.name}: no column of {role} ids ({USUAL[role].split()[1]}); not used")
        return None
    used.add(path.name)
    lists = [name for name, kind in frame.schema.items() if kind == pl.List(pl.String)]
    table = frame.with_columns(_as_text(path, frame, key).alias(key), *(pl.col(name).list.join("|") for name in lists))
    table = table.rename({"id": "id_"} if key != "id" and "id" in table.columns else {}).rename({key: "id"})
    raw.notes.append(f"{role}s: {table.width - 1} columns from {path.name}")
    return standard(table) if role == "item" else table
