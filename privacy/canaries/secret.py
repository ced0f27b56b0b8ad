"""The secret list of canaries as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...audit.files import write_whole
from ...datasets.errors import InputError
from ...datasets.log import InteractionLog, Profiles, Text
from .planting import Kind, Planted


class _Canary(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    included: bool
    user: str | None = None
    items: list[str] = Field(min_length=1)
    times: list[Annotated[int, Field(ge=-(2**63), lt=2**63)]] | None = None
    values: list[float] | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    format: Literal["recaudit canaries"] = "recaudit canaries"
    version: Literal[1] = 1
    kind: Kind
    canaries: list[_Canary] = Field(min_length=2)


def save(planted: Planted, path: Path) -> None:
    """Write the secret list as JSON, ids as text; the log is not part of it.

    Raises:
        OSError: the file cannot be written.
    """
    log, own = planted.log, planted.profiles
    found = []
    for place, rows in enumerate(np.split(np.arange(len(own.item)), np.flatnonzero(np.diff(own.account)) + 1)):
        user = int(planted.user[place])
        found.append(_Canary(
            included=bool(planted.included[place]),
            user=None if user < 0 else str(log.user_ids[user]),
            items=log.item_ids[own.item[rows]].tolist(),
            times=None if own.time is None else own.time[rows].tolist(),
            values=None if own.value is None else own.value[rows].tolist(),
        ))  # fmt: skip
    write_whole(path, _File(kind=planted.kind, canaries=found).model_dump_json(indent=1, exclude_none=True).encode())


def load(path: Path, log: InteractionLog) -> Planted:
    """Read a secret list.

    Args:
        path: written by `save`.
        log: what was trained on, with the included canaries in it.

    Raises:
        InputError: no such file, not such a list, an unknown id, or a canary that is not in the log as the list says;
            the message names file and field.
    """
    try:
        found = _File.model_validate_json(path.read_text("utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {where}: {first['msg']}; give a file that `save` wrote") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from None
    sizes = np.array([len(row.items) for row in found.canaries])
    account = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
    users, items = _index(log.user_ids), _index(log.item_ids)
    item, user = np.empty(len(account), np.int32), np.full(len(sizes), -1, np.int64)
    at = 0
    for place, row in enumerate(found.canaries):
        where = f"{path}: canaries.{place}"
        if row.user is None and (row.included or found.kind == "pairs"):
            raise InputError(f"{where}.user: is missing; only users who were never included have none")
        if row.user is not None:
            user[place] = users(row.user, f"{where}.user")
        if found.kind == "pairs" and len(row.items) != 1:
            raise InputError(f"{where}.items: a pair has one item, this one has {len(row.items)}")
        for name, column, wanted in (("times", row.times, log.time), ("values", row.values, log.value)):
            if wanted is not None and (column is None or len(column) != len(row.items)):
                raise InputError(f"{where}.{name}: needs one for each of the {len(row.items)} items, as the log has")
        item[at : at + len(row.items)] = [items(name, f"{where}.items") for name in row.items]
        at += len(row.items)
    included = np.array([row.included for row in found.canaries])
    there = np.isin(user[account] * log.n_items + item, log.pair_keys) & (user[account] >= 0)
    wrong = np.flatnonzero(there != included[account])
    if len(wrong):
        place = int(account[wrong[0]])
        says = "included, but not all of its events are" if included[place] else "never included, but it is"
        raise InputError(f"{path}: canaries.{place}.included: {says} in the log; give the log that was trained on")
    value = None if log.value is None else np.array([v for row in found.canaries for v in row.values or ()], np.float32)
    time = None if log.time is None else np.array([t for row in found.canaries for t in row.times or ()], np.int64)
    return Planted(log, found.kind, Profiles(len(sizes), account, item, value, time), user, included)


def _index(ids: Text) -> Callable[[str, str], int]:
    """Where an id is among these; an unknown one is named with the field it stands in."""
    places = {name: place for place, name in enumerate(ids.tolist())}

    def found(name: str, where: str) -> int:
        if name not in places:
            raise InputError(f"{where}: unknown id {name!r}; the log has no such id (case and zeros count)")
        return places[name]

    return found
