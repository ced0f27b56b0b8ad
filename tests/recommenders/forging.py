"""Changing a checkpoint as an attacker would: with every digest right again, without recaudit's own code."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD, WEIGHTS, IDS, EVENTS = "recaudit.json", "weights.safetensors", "ids.json", "events.safetensors"
PAYLOAD = "payload-ran"

Edit = Callable[[Path], None]
Json = dict[str, Any]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, tmp_path: Path) -> None:
        self.command = f"touch '{tmp_path / PAYLOAD}'"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def payload_ran(tmp_path: Path) -> bool:
    """Did any pickle's payload run?"""
    return (tmp_path / PAYLOAD).exists()


def reseal(folder: Path, change: Callable[[Json], object] = lambda record: None) -> None:
    """Change the record and make every digest right again, as an attacker would."""
    record = json.loads((folder / RECORD).read_text("utf-8"))
    for name in record["files"]:
        if (folder / name).is_file():
            record["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change(record)
    rest = {name: value for name, value in record.items() if name != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    record["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / RECORD).write_text(json.dumps(record, indent=1), "utf-8")


def read_tensors(path: Path) -> tuple[Json, bytes]:
    """Header and content of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_tensors(path: Path, header: Json | bytes, content: bytes) -> None:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + content)


def on_record(change: Callable[[Json], object]) -> Edit:
    return lambda folder: reseal(folder, change)


def set_field(path: str, value: object) -> Edit:
    """Set a dotted field of the record."""

    def change(record: Json) -> None:
        *way, last = path.split("/")
        for part in way:
            record = record[part]
        record[last] = value

    return on_record(change)


def replace_file(name: str, content: bytes, *, sealed: bool = True) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if sealed and name != RECORD:
            reseal(folder)

    return edit
