"""Requests from files: CSV or JSON lines that name users, items, pairs or attribute values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog, Text
from ..datasets.sheet import read_sheet
from .request import Request

COLUMNS = ("request", "user", "item", "attribute", "value")


def read_requests(path: Path, log: InteractionLog) -> list[Request]:
    """The requests of a file, in the order in which they first occur.

    A line names a `user` (all that user's events), an `item` (all events with it), both (that pair), or an
    `attribute` with a `value` (all events with items, or of users, that have it). Lines with the same `request` belong
    together; without that column the whole file is one request.

    Args:
        path: .csv (any separator that a data file may have is a comma here) or .jsonl / .json with an object a line.
        log: what the model was trained on.

    Raises:
        InputError: no such file, a line that names nothing or something unknown, a pair that was never in the data,
            nothing or everything to forget. Nothing is changed by it.
    """
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path}: no request in it; give lines that name a user, an item, or both")
    parts: dict[str, list[tuple[int, dict[str, str]]]] = {}
    for line, row in rows:
        parts.setdefault(row.get("request", path.name), []).append((line, row))
    return [_request(path, label, own, log) for label, own in parts.items()]


def _rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    """Line number and named values, empty ones left out."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV or JSON-lines file of what is to be forgotten")
    if path.suffix.lower() in (".jsonl", ".json", ".ndjson"):
        yield from _json_rows(path)
        return
    sheet = read_sheet(path, ",")
    unknown = [name for name in sheet.frame.columns if name not in COLUMNS]
    if unknown or not len(sheet.frame.columns):
        raise InputError(f"{path}: unknown column {unknown[0]!r}; columns are {', '.join(COLUMNS)}, with a header line")
    for place, row in enumerate(sheet.frame.iter_rows(named=True)):
        if sheet.errors is not None and sheet.errors[place] is not None:
            raise InputError(f"{path}, line {sheet.line(place)}: {sheet.errors[place]}")
        yield sheet.line(place), {name: value for name, value in row.items() if value is not None}


def _json_rows(path: Path) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not set(row) <= set(COLUMNS):
            raise InputError(
                f'{path}, line {number}: must be a JSON object with some of {", ".join(COLUMNS)}, as {{"user": "17"}}'
            )
        if any(isinstance(value, dict | list | float) for value in row.values()):
            raise InputError(f"{path}, line {number}: ids are text or whole numbers")
        yield number, {name: str(value) for name, value in row.items() if value is not None}


def _request(path: Path, label: str, rows: list[tuple[int, dict[str, str]]], log: InteractionLog) -> Request:
    users, items, pairs = [], [], []
    for line, row in rows:
        where = f"{path}, line {line}"
        if "attribute" in row or "value" in row:
            if "user" in row or "item" in row:
                raise InputError(f"{where}: names an attribute and a user or item; give them in lines of their own")
            own_users, own_items = _with_attribute(row, log, where)
            users.append(own_users)
            items.append(own_items)
            continue
        user = _index(row.get("user"), log.user_ids, "user", where)
        item = _index(row.get("item"), log.item_ids, "item", where)
        if user is None and item is None:
            raise InputError(f"{where}: names neither a user nor an item")
        if user is not None and item is not None:
            found = np.flatnonzero((log.user == user) & (log.item == item))
            if not len(found):
                raise InputError(
                    f"{where}: user {row['user']!r} has no event with item {row['item']!r} in the training data; what "
                    "was never trained on cannot be forgotten, remove the line"
                )
            pairs.append(found)
        elif user is not None:
            users.append(np.array([user]))
        else:
            items.append(np.array([item]))
    for side, chosen, counts, ids in (
        ("user", users, log.user_counts, log.user_ids), ("item", items, log.item_counts, log.item_ids),
    ):  # fmt: skip
        idle = [place for own in chosen for place in own.tolist() if len(own) == 1 and counts[place] == 0]
        if idle:
            raise InputError(
                f"{path}, request {label!r}: {side} {str(ids[idle[0]])!r} has no event in the training data; what was "
                "never trained on cannot be forgotten, remove it"
            )
    return Request.of(log, label, rows=_joined(pairs), users=_joined(users), items=_joined(items))


def _index(name: str | None, ids: Text, side: str, where: str) -> int | None:
    if name is None:
        return None
    found = np.flatnonzero(ids == name)
    if not len(found):
        raise InputError(f"{where}: unknown {side} {name!r}; the model's data has no such id (case and zeros count)")
    return int(found[0])


def _with_attribute(row: dict[str, str], log: InteractionLog, where: str) -> tuple[Int64, Int64]:
    """Users and items that have a value of a side feature; values with | between are several."""
    name, value = row.get("attribute"), row.get("value")
    if name is None or value is None:
        raise InputError(f"{where}: an attribute needs both columns, attribute and value")
    found = []
    for table in (log.users, log.items):
        if table is None or name not in table:
            found.append(np.empty(0, np.int64))
            continue
        column = table[name].astype("string").fillna("")
        has = column.str.split("|").map(lambda values: value in values).to_numpy(bool)
        found.append(np.flatnonzero(has).astype(np.int64))
    if not len(found[0]) + len(found[1]):
        known = sorted({str(column) for table in (log.users, log.items) if table is not None for column in table})
        raise InputError(f"{where}: no user and no item has {name}={value!r}; attributes: {', '.join(known) or 'none'}")
    return found[0], found[1]


def _joined(parts: list[Int64]) -> Int64:
    return np.concatenate(parts).astype(np.int64) if parts else np.empty(0, np.int64)
