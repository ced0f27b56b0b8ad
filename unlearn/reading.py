"""Requests from files: CSV or JSON lines that name users, items, pairs or attribute values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import Int64, InteractionLog
from ..datasets.sheet import read_sheet
from .request import Request

COLUMNS = ("request", "user", "item", "attribute", "value")

Line = tuple[Callable[[], int], dict[str, str]]
"""Where a row begins in the file, which may take reading it again and is asked for in errors alone; named values."""


@dataclass(frozen=True, eq=False)
class _Data:
    """What a file of requests is looked up in; made once for all its lines.

    Attributes:
        log: the training log.
        users: index by id.
        items: likewise.
        trained: int64, distinct pairs of the log, ascending.
        held: those of the other parts.
        active_users: bool [U], who has an event in any part.
        active_items: bool [I].
    """

    log: InteractionLog
    users: dict[str, int]
    items: dict[str, int]
    trained: Int64
    held: Int64
    active_users: NDArray[np.bool_]
    active_items: NDArray[np.bool_]

    @classmethod
    def of(cls, log: InteractionLog, held_out: InteractionLog | None) -> _Data:
        users, items = ({name: n for n, name in enumerate(ids.tolist())} for ids in (log.user_ids, log.item_ids))
        active = [log.user_counts > 0, log.item_counts > 0]
        held = np.empty(0, np.int64)
        if held_out is not None:
            active = [active[0] | (held_out.user_counts > 0), active[1] | (held_out.item_counts > 0)]
            held = np.unique(held_out.pair_keys)
        return cls(log, users, items, np.unique(log.pair_keys), held, *active)


def read_requests(path: Path, log: InteractionLog, held_out: InteractionLog | None = None) -> list[Request]:
    """The requests of a file, in the order in which they first occur.

    A line names a `user` (all that user's events), an `item` (all events with it), both (that pair), or an
    `attribute` with a `value` (all events with items, or of users, that have it). Lines with the same `request` belong
    together; without that column the whole file is one request.

    Args:
        path: .csv (any separator that a data file may have is a comma here) or .jsonl / .json with an object a line.
        log: what the model was trained on.
        held_out: the other parts of the split. What is only there is to be forgotten too (`Request.held`); who asks
            cannot know what a split put where.

    Raises:
        InputError: no such file, a line that names nothing or something unknown, a pair that was never in the data,
            nothing or everything to forget. Nothing is changed by it.
    """
    rows = list(_rows(path))
    if not rows:
        raise InputError(f"{path}: no request in it; give lines that name a user, an item, or both")
    parts: dict[str, list[Line]] = {}
    for line in rows:
        parts.setdefault(line[1].get("request", path.name), []).append(line)
    data = _Data.of(log, held_out)
    return [_request(path, label, own, data) for label, own in parts.items()]


def _rows(path: Path) -> Iterable[Line]:
    """The rows, empty values left out."""
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
        yield partial(sheet.line, place), {name: value for name, value in row.items() if value is not None}


def _json_rows(path: Path) -> Iterable[Line]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row: Any = json.loads(line, object_pairs_hook=partial(_once, where))
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not set(row) <= set(COLUMNS):
            raise InputError(f'{where}: must be a JSON object with some of {", ".join(COLUMNS)}, as {{"user": "17"}}')
        if any(isinstance(value, dict | list | float) for value in row.values()):
            raise InputError(f"{where}: ids are text or whole numbers")
        yield partial(int, number), {name: str(value) for name, value in row.items() if value is not None}


def _once(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if no key comes twice: JSON would keep the last alone, and a deletion would be lost unseen."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{where}: {twice!r} comes twice; give each user and item a line of its own")
    return found


def _request(path: Path, label: str, lines: list[Line], data: _Data) -> Request:
    log = data.log
    users: list[int] = []
    items: list[int] = []
    pairs: list[tuple[int, Line]] = []
    many: list[tuple[Int64, Int64]] = []
    for line in lines:
        at, row = line
        if "attribute" in row or "value" in row:
            many.append(_with_attribute(row, data, path, at))
            continue
        user = _index(row.get("user"), data.users, "user", path, at)
        item = _index(row.get("item"), data.items, "item", path, at)
        if user is None and item is None:
            raise InputError(f"{path}, line {at()}: names neither a user nor an item")
        if user is not None and item is not None:
            pairs.append((user * log.n_items + item, line))
        elif user is not None:
            users.append(user)
        elif item is not None:
            items.append(item)
    for side, chosen, there, ids in (
        ("user", users, data.active_users, log.user_ids), ("item", items, data.active_items, log.item_ids),
    ):  # fmt: skip
        idle = next((place for place in chosen if not there[place]), None)
        if idle is not None:
            raise InputError(
                f"{path}, request {label!r}: {side} {str(ids[idle])!r} has no event in any part of the data; what was "
                "never there cannot be forgotten, remove it"
            )
    keys = np.array([key for key, _ in pairs], np.int64)
    unknown = np.flatnonzero(~(_among(keys, data.trained) | _among(keys, data.held)))
    if len(unknown):
        at, row = pairs[int(unknown[0])][1]
        raise InputError(
            f"{path}, line {at()}: user {row['user']!r} has no event with item {row['item']!r} in any part of the "
            "data; what was never there cannot be forgotten, remove the line"
        )
    every = [np.unique(np.concatenate([own, *found])) for own, found in zip(
        (np.array(users, np.int64), np.array(items, np.int64)), ([one[side] for one in many] for side in (0, 1)),
        strict=True,
    )]  # fmt: skip
    held = data.held[
        np.isin(data.held // log.n_items, every[0]) | np.isin(data.held % log.n_items, every[1])
        | np.isin(data.held, keys)
    ]  # fmt: skip
    rows = np.flatnonzero(np.isin(log.pair_keys, keys)) if len(keys) else None
    return Request.of(log, label, rows=rows, users=every[0], items=every[1], held=held)


def _among(keys: Int64, known: Int64) -> NDArray[np.bool_]:
    """Which of the keys are among known ones, which ascend: bool, like the keys."""
    place = np.searchsorted(known, keys)
    found: NDArray[np.bool_] = place < len(known)
    found[found] = known[place[found]] == keys[found]
    return found


def _index(name: str | None, places: dict[str, int], side: str, path: Path, at: Callable[[], int]) -> int | None:
    if name is None:
        return None
    if name not in places:
        raise InputError(
            f"{path}, line {at()}: unknown {side} {name!r}; the model's data has no such id (case and zeros count)"
        )
    return places[name]


def _with_attribute(row: dict[str, str], data: _Data, path: Path, at: Callable[[], int]) -> tuple[Int64, Int64]:
    """Users and items that have a value of a side feature; values with | between are several."""
    name, value = row.get("attribute"), row.get("value")
    if "user" in row or "item" in row:
        raise InputError(f"{path}, line {at()}: names an attribute and a user or item; give them in lines of their own")
    if name is None or value is None:
        raise InputError(f"{path}, line {at()}: an attribute needs both columns, attribute and value")
    tables = (data.log.users, data.log.items)
    users, items = (
        np.empty(0, np.int64) if table is None or name not in table else np.flatnonzero(_has(table[name], value))
        for table in tables
    )
    if not len(users) + len(items):
        known = sorted({str(column) for table in tables if table is not None for column in table})
        raise InputError(
            f"{path}, line {at()}: no user and no item has {name}={value!r}; attributes: {', '.join(known) or 'none'}"
        )
    if not data.active_users[users].any() and not data.active_items[items].any():
        raise InputError(f"{path}, line {at()}: nobody and nothing with {name}={value!r} has an event; remove the line")
    return users, items


def _has(column: pd.Series, value: str) -> NDArray[np.bool_]:
    """Which rows have the value; in a column of numbers 53 and 53.0 are one."""
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        try:
            number = float(value)
        except ValueError:
            return np.zeros(len(column), np.bool_)
        same: NDArray[np.bool_] = column.to_numpy(np.float64, na_value=np.nan) == number
        return same
    texts = column.astype("string").fillna("")
    found: NDArray[np.bool_] = texts.str.split("|").map(lambda values: value in values).to_numpy(bool)
    return found
