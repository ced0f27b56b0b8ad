"""RecBole atomic files: X.inter, or X.train.inter with its parts, and X.user, X.item beside them."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from .columns import Columns, part_of, part_order, resolve
from .errors import DataError
from .rows import Raw, source_of
from .sheet import Sheet, read_sheet
from .sides import standard
from .source import Place

NAME = "recbole"
NAMES_COLUMNS = True

_FIELD = re.compile(r"(.+):(token|token_seq|float|float_seq)")


def recognise(place: Place) -> str | None:
    """Whether the header has RecBole's typed names (user_id:token)."""
    found = _event_files(place)
    return "RecBole atomic files" if found else None


def read(place: Place, wanted: Columns) -> Raw:
    """Read the events, the parts of a given split, and the side tables.

    Raises:
        DataError: several data sets in the folder; parts that are not train, valid, test.
    """
    files = _event_files(place)
    if not files:
        raise DataError(f"{place.path}: no RecBole .inter file with a typed header (user_id:token)")
    name = _dataset(files[0].name)
    if len({_dataset(path.name) for path in files}) > 1:
        raise DataError(f"{place.path}: several data sets ({', '.join(path.name for path in files)}); name one file")
    split = [path for path in files if _part(path.name)]
    split.sort(key=lambda path: part_order(part_of(_part(path.name) or "")))
    whole = [path for path in files if not _part(path.name)]
    notes = [f"{path.name} is not read: the given parts are" for path in whole] if split and whole else []
    frames, sources, roles = [], [], {}
    for path in split or whole:
        sheet = _sheet(place, path)
        names = [each.split(":")[0] for each in sheet.frame.columns]
        roles = resolve(str(path), names, _with_tokens(sheet.frame.columns, wanted))
        typed = dict(zip(names, sheet.frame.columns, strict=True))
        roles.pop("split", None)
        events = sheet.frame.select(pl.col(typed[column]).alias(role) for role, column in roles.items())
        if split:
            part = part_of(_part(path.name) or "")
            if part is None:
                raise DataError(f"{path}: part {_part(path.name)!r} is not train, valid or test; rename the file")
            events = events.with_columns(pl.lit(part).alias("part"))
        if sheet.errors is not None:
            events = events.with_columns(sheet.errors.alias("error"))
        frames.append(events)
        sources.append(source_of(sheet))
        notes += sheet.notes
        if unused := [each for each in names if each not in roles.values()]:
            notes.append(f"{path.name}: fields not used: " + ", ".join(unused[:12]))
    dated = roles.get("time") not in ("position", "order")
    raw = Raw(
        f"RecBole atomic files ({', '.join(path.name for path in split or whole)})",
        pl.concat(frames, how="diagonal"), sources, roles, dated=dated, notes=notes,
    )  # fmt: skip
    items, users = place.beside(f"{name}.item"), place.beside(f"{name}.user")
    films = None if items is None else _side(place, items, roles["item"], notes)
    raw.items = None if films is None else standard(films)
    raw.users = None if users is None else _side(place, users, roles["user"], notes)
    return raw


def _event_files(place: Place) -> list[Path]:
    files = list(place.files.values())
    if not place.is_folder:
        return files if _fields(place, place.path) and not place.path.name.endswith((".item", ".user")) else []
    return [path for path in files if path.name.removesuffix(".gz").endswith(".inter") and _fields(place, path)]


def _fields(place: Place, path: Path) -> list[str]:
    """The typed names of the header, or none if it is no atomic file."""
    lines = place.first_lines(path)
    if not lines:
        return []
    fields = lines[0].lstrip("\ufeff").split(_separator(lines[0]))
    return fields if all(_FIELD.fullmatch(each.strip()) for each in fields) else []


def _separator(header: str) -> str:
    found = re.search(r":(?:token_seq|float_seq|token|float)(\W)", header)
    return found.group(1) if found else "\t"


def _dataset(name: str) -> str:
    bare = name.removesuffix(".gz").removesuffix(".inter")
    return bare.rpartition(".")[0] if _part(name) else bare


def _part(name: str) -> str | None:
    """The part in X.train.inter; None for X.inter and for names with a dot that is no part (ml-1.0.inter)."""
    bare = name.removesuffix(".gz").removesuffix(".inter")
    start, dot, end = bare.rpartition(".")
    return end if dot and start and (part_of(end) or re.fullmatch(r"part\d+|fold\d+", end)) else None


def _with_tokens(fields: list[str], wanted: Columns) -> Columns:
    """Where the usual names are missing, RecBole's own habit: the first token is the user, the second the item."""
    names = [each.split(":")[0] for each in fields if each.endswith(":token")]
    free = [each for each in names if each not in ("user_id", "item_id", wanted.user, wanted.item)]
    user, item = wanted.user, wanted.item
    if user is None and "user_id" not in names and "session_id" not in names and free:
        user = free.pop(0)
    if item is None and "item_id" not in names and (free := [each for each in free if each != user]):
        item = free[0] if "session_id" not in free[:1] else free[-1]
    return Columns(user, item, wanted.rating, wanted.time)


def _sheet(place: Place, path: Path) -> Sheet:
    head = place.head(path)
    return read_sheet(path, _separator(head.lines[0]), None, quoted=False, seen=head)


def _side(place: Place, path: Path, key: str, notes: list[str]) -> pl.DataFrame | None:
    """A .user or .item file; sequences of tokens are joined by a bar, but for titles, which are words."""
    if not _fields(place, path):
        notes.append(f"{path.name}: no typed header; not used")
        return None
    frame = _sheet(place, path).frame
    columns = []
    for typed in frame.columns:
        name, _, kind = typed.rpartition(":")
        column = pl.col(typed)
        if kind == "token_seq" and not re.search("title|name|description|text", name):
            column = column.str.strip_chars().str.replace_all(" +", "|")
        columns.append(column.alias("id" if name == key else name))
    table = frame.select(columns)
    if "id" not in table.columns:
        notes.append(f"{path.name}: no field {key}; not used")
        return None
    notes.append(f"{table.width - 1} fields from {path.name}")
    return table
