"""A pickle as dead matter: names become labels, calls become records, and nothing is imported or run."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..checkpoint_files import printable, refuse
from .archive import PICKLE_LIMIT, Archive
from .tensors import Stored, Tensor, rebuilt

OPERATIONS = 5_000_000
GLOBALS = 512
"""Different names a pickle may speak of."""

_LONGEST_INTEGER = 64
_NEVER = frozenset({"EXT1", "EXT2", "EXT4", "INST", "OBJ", "PERSID", "NEXT_BUFFER", "READONLY_BUFFER"})
_HOSTILE = "no model file needs that; do not use this file"


class Inert:
    """Stands for an object of a class that is not looked at: what it was made from, never what it does."""

    module = ""
    name = ""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Keep the arguments."""
        self.args = args
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        """Keep the state."""
        self.state = state

    def append(self, value: Any) -> None:
        """Drop it."""

    def extend(self, values: Iterable[Any]) -> None:
        """Drop them."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drop it."""


class Table(dict[Any, Any]):
    """An ordered dictionary; attributes that were pickled with it are dropped."""

    def __setstate__(self, state: Any) -> None:
        """Drop it."""


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Table,
    ("torch._utils", "_rebuild_tensor_v2"): rebuilt,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Reader(pickle.Unpickler):
    """An unpickler whose names lead nowhere."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(io.BytesIO(raw), fix_imports=False)
        self.classes: dict[tuple[str, str], Any] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Never imports: a function of ours, or a new class that stands for the name."""
        key = (module, name)
        if key not in self.classes:
            if len(self.classes) >= GLOBALS:
                raise ValueError(f"more than {GLOBALS} names")
            made = type("Inert", (Inert,), {"module": printable(module), "name": printable(name)})
            self.classes[key] = _KNOWN.get(key, made)
        return self.classes[key]

    def persistent_load(self, pid: Any) -> Stored:
        """The place of a tensor's numbers."""
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise ValueError("a reference to something that is no storage")
        kind, key, count = pid[1], pid[2], pid[4]
        named = isinstance(kind, type) and issubclass(kind, Inert)
        if not (named and isinstance(key, str) and type(count) is int and count >= 0):
            raise ValueError("a storage without type, place or size")
        return Stored(kind.name, key, count)


def read_pickle(path: Path, raw: bytes) -> Any:
    """What a pickle holds: numbers, texts, lists, tuples, dictionaries, `Tensor`, and `Inert` for all else.

    Args:
        path: for error messages.
        raw: at most `PICKLE_LIMIT` bytes.

    Raises:
        CheckpointError: too large, malformed, or with operations that no model file needs.
    """
    if len(raw) > PICKLE_LIMIT:
        raise refuse(path, f"a pickle of at most {PICKLE_LIMIT:,} bytes", f"{len(raw):,} bytes", _HOSTILE)
    _check_operations(path, raw)
    try:
        return _Reader(raw).load()
    except RecursionError:
        raise refuse(path, "a pickle of ordinary depth", "one nested beyond reading", _HOSTILE) from None
    except Exception as error:  # whatever a malformed stream provokes: nothing of it was run
        raise refuse(path, "a pickle of plain values and tensors", f"{type(error).__name__}: {error}") from None


def _check_operations(path: Path, raw: bytes) -> None:
    """Walk the operations without doing one, so that no length or index in them asks for memory that is not there."""
    count = memo = 0
    try:
        given: Any  # what an operation carries: a number or a text, by its name
        for count, (operation, given, _) in enumerate(pickletools.genops(raw), start=1):
            name = operation.name
            if name in _NEVER:
                raise refuse(path, "operations of a model file", f"{name} in its pickle", _HOSTILE)
            if count > OPERATIONS:
                raise refuse(path, f"at most {OPERATIONS:,} operations", "more", _HOSTILE)
            memo += name == "MEMOIZE"
            if name in ("PUT", "BINPUT", "LONG_BINPUT"):
                memo += 1
                if int(given) > 2 * memo + 1024:
                    raise refuse(path, "memo entries one after the other", f"number {given}", _HOSTILE)
            if name in ("LONG1", "LONG4", "LONG", "INT") and int(given).bit_length() > _LONGEST_INTEGER:
                raise refuse(path, f"integers of {_LONGEST_INTEGER} bits", "a longer one", _HOSTILE)
    except ValueError as error:
        raise refuse(path, "a whole pickle", error) from None


def read_torch(archive: Archive) -> Any:
    """What the file holds (`read_pickle`); tensors are read when they are asked for.

    Raises:
        CheckpointError: see `read_pickle`; or numbers in another byte order.
    """
    if archive.size("byteorder") is not None and archive.read("byteorder", 16) != b"little":
        raise refuse(archive.path, "numbers in little-endian order", "another order", "save it on an ordinary machine")
    return read_pickle(archive.path, archive.read("data.pkl", PICKLE_LIMIT))


def is_tensor(value: Any) -> bool:
    """Whether it stands for a tensor."""
    return isinstance(value, Tensor)
