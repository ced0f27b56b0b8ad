"""The data inside a checkpoint: token maps, events of the three parts, side tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import InputError
from ..datasets.log import InteractionLog, Text
from ..datasets.split import Split
from .checkpoint_files import check_hash, parse_json, read_bytes, refuse, sha256
from .checkpoint_record import EVENTS, IDS, RECORD, TABLES, PartRecord, Record
from .checkpoint_tensors import encode_tensors, read_tensors

if TYPE_CHECKING:
    from ..datasets.read import LoadedLog

PARTS = ("train", "valid", "test")
IDS_LIMIT = 64 << 20
TABLE_LIMIT = 128 << 20
ID_LENGTH = 1024
_ID_MEMORY = 1 << 32
_SAME_DATA = "give the very data it was trained on, filtered and split in the same way"


def encode_ids(log: InteractionLog) -> bytes:
    """The content of `ids.json`.

    Raises:
        InputError: ids that could not be read back.
    """
    found = {"user_ids": log.user_ids.tolist(), "item_ids": log.item_ids.tolist()}
    for name, ids in found.items():
        fault = _id_fault(ids)
        if fault:
            raise InputError(f"{name} cannot be saved: {fault}; change them in the data")
    raw = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()
    if len(raw) > IDS_LIMIT:
        raise InputError(f"the ids take {len(raw):,} bytes, a checkpoint holds {IDS_LIMIT:,}; use shorter ids")
    return raw


def read_ids(folder: Path, record: Record) -> tuple[Text, Text]:
    """The user ids, text [U], and item ids, text [I].

    Raises:
        CheckpointError: damaged, of the wrong length, or not unique.
    """
    path = folder / IDS
    raw = read_bytes(path, IDS_LIMIT)
    check_hash(path, record.files[IDS], sha256(raw))
    content = parse_json(path, raw)
    if not isinstance(content, dict) or content.keys() != {"user_ids", "item_ids"}:
        raise refuse(path, "an object with user_ids and item_ids alone", "something else")
    return _ids(path, "user_ids", content, record.users), _ids(path, "item_ids", content, record.items)


def _ids(path: Path, name: str, content: dict[str, Any], count: int) -> Text:
    ids = content[name]
    if not isinstance(ids, list) or len(ids) != count:
        found = f"{len(ids):,}" if isinstance(ids, list) else f"a {type(ids).__name__}"
        raise refuse(path, f"a list of {count:,} {name} (as {RECORD} says)", found)
    if not all(isinstance(text, str) for text in ids):
        raise refuse(path, f"{name} as texts", "something else among them")
    fault = _id_fault(ids)
    if fault:
        raise refuse(path, f"unique {name} of up to {ID_LENGTH:,} characters", fault)
    return np.array(ids, np.str_)


def _id_fault(ids: Sequence[str]) -> str | None:
    longest = max(map(len, ids), default=0)
    if longest > ID_LENGTH:
        return f"one of {longest:,} characters"
    if 4 * longest * len(ids) > _ID_MEMORY:
        return f"{len(ids):,} of up to {longest:,} characters, too much for memory"
    if len(set(ids)) != len(ids):
        return "one of them twice"
    joined = "".join(ids)
    if "\x00" in joined:
        return "a NUL character"
    try:
        joined.encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate)"
    return None


def encode_events(split: Split) -> bytes:
    """The content of `events.safetensors`: the events of the three parts one after another.

    Raises:
        InputError: only some of the parts have ratings or times.
    """
    logs = [getattr(split, part) for part in PARTS]
    arrays: dict[str, NDArray[Any]] = {"part": np.repeat(np.arange(3, dtype=np.uint8), [len(log) for log in logs])}
    for name in ("user", "item", "value", "time"):
        columns = [getattr(log, name) for log in logs]
        if all(column is not None for column in columns):
            arrays[name] = np.concatenate(columns)
        elif any(column is not None for column in columns):
            raise InputError(f"only some of the parts train, valid and test have a {name}; give it to all or to none")
    return encode_tensors(arrays)


def read_split(folder: Path, record: Record, user_ids: Text, item_ids: Text) -> Split:
    """The split that is stored in the checkpoint.

    Raises:
        CheckpointError: damaged, or not what `recaudit.json` says.
    """
    path = folder / EVENTS
    total = sum(part.events for part in _part_records(record))
    expected = {"user": ((total,), "I32"), "item": ((total,), "I32"), "part": ((total,), "U8")}
    optional = {"value": ((total,), "F32"), "time": ((total,), "I64")}
    events, digest = read_tensors(path, expected, optional)
    check_hash(path, record.files[EVENTS], digest.hexdigest())
    for name, count in (("user", record.users), ("item", record.items), ("part", 3)):
        low, high = (int(events[name].min()), int(events[name].max())) if total else (0, 0)
        if low < 0 or high >= count:
            raise refuse(path, f"{name} indices in 0..{count - 1}", f"{low}..{high}")
    counts = np.bincount(events["part"], minlength=3).tolist()
    users, items = (_read_table(folder, record, name) for name in TABLES)
    logs = {}
    for code, (name, part) in enumerate(zip(PARTS, _part_records(record), strict=True)):
        if counts[code] != part.events:
            raise refuse(path, f"{part.events:,} events of the {name} part", f"{counts[code]:,}")
        own = {column: array[events["part"] == code] for column, array in events.items() if column != "part"}
        logs[name] = InteractionLog(**own, user_ids=user_ids, item_ids=item_ids, users=users, items=items)
        if logs[name].fingerprint != part.fingerprint:
            raise refuse(path, f"the {name} part of {RECORD}", "other events or ids")
    return Split(**logs, recipe=record.split.recipe)


def match_split(folder: Path, record: Record, ids: tuple[Text, Text], data: LoadedLog | Split) -> Split:
    """The given data, split as the checkpoint says, if they are those it was trained on.

    Raises:
        CheckpointError: they are not; the message says what differs.
    """
    path = folder / RECORD
    if isinstance(data, Split):
        split = data
    else:
        from ..datasets.split import make_split

        try:
            split = make_split(data, record.split.recipe, record.seed)
        except InputError as error:
            raise refuse(path, f"data to split by {record.split.recipe}", error, _SAME_DATA) from None
    for name, stored, given in zip(("users", "items"), ids, (split.train.user_ids, split.train.item_ids), strict=True):
        if not np.array_equal(stored, given):
            shared = len(set(stored.tolist()) & set(given.tolist()))
            found = f"{len(given):,} {name} in the data given, {shared:,} of them the same"
            raise refuse(path, f"data with its {len(stored):,} {name} in its order", found, _SAME_DATA)
    for name, part in zip(PARTS, _part_records(record), strict=True):
        log: InteractionLog = getattr(split, name)
        if log.fingerprint != part.fingerprint:
            found = f"{len(log):,} events that differ in the data given"
            raise refuse(path, f"a {name} part with its {part.events:,} events", found, _SAME_DATA)
    return split


def _part_records(record: Record) -> tuple[PartRecord, PartRecord, PartRecord]:
    return record.split.train, record.split.valid, record.split.test


def encode_table(name: str, table: pd.DataFrame) -> bytes:
    """A side table as CSV, everything quoted; values become text, missing ones the empty text.

    Raises:
        InputError: larger than a checkpoint may hold, or text that is no Unicode.
    """
    try:
        raw = table.to_csv(index=False, quoting=csv.QUOTE_ALL, lineterminator="\n").encode()
    except UnicodeEncodeError:
        raise InputError(f"{name} cannot be saved: it holds half a character (a lone surrogate)") from None
    if len(raw) > TABLE_LIMIT:
        raise InputError(f"{name} takes {len(raw):,} bytes, a checkpoint holds {TABLE_LIMIT:,}; drop columns")
    return raw


def _read_table(folder: Path, record: Record, name: str) -> pd.DataFrame | None:
    if name not in record.files:
        return None
    path = folder / name
    raw = read_bytes(path, TABLE_LIMIT)
    check_hash(path, record.files[name], sha256(raw))
    columns = record.columns[name]
    rows = record.users if name == "users.csv" else record.items
    _check_grid(path, raw, rows, len(columns))
    try:
        table = pd.read_csv(
            io.BytesIO(raw), dtype=str, keep_default_na=False, na_values=[""], index_col=False, skip_blank_lines=False
        )
    except ValueError as error:
        raise refuse(path, "a CSV table", error) from None
    if table.shape != (rows, len(columns)) or list(table.columns) != columns:
        raise refuse(path, f"{rows:,} rows of the columns {columns}", f"{len(table):,} of {list(table.columns)}")
    return table


def _check_grid(path: Path, raw: bytes, rows: int, columns: int) -> None:
    """Count separators outside quotes before any parser allocates rows times columns."""
    data = np.frombuffer(raw, np.uint8)
    outside = (np.cumsum(data == ord('"'), dtype=np.uint8) & 1) == 0
    commas, lines, returns = (int(np.count_nonzero((data == ord(c)) & outside)) for c in ",\n\r")
    if (commas, lines, returns) != ((rows + 1) * (columns - 1), rows + 1, 0):
        raise refuse(path, f"{rows:,} rows of {columns} columns below a header", f"{lines:,} lines, {commas:,} commas")
    ends = np.flatnonzero((data == ord("\n")) & outside)
    places = np.searchsorted(np.flatnonzero((data == ord(",")) & outside), ends)
    if (np.diff(places, prepend=0) != columns - 1).any():
        raise refuse(path, f"{columns} columns in every row", "more or fewer in some")
