"""Files from strangers: opened without following anything, bounded before they are read, refused in one line."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..datasets.errors import CheckpointError

DAMAGED = "copy the checkpoint again from where it came, or train it again with `recaudit train`"
FOREIGN = (
    "give a folder that `recaudit train` wrote; a zip of torch.save or a .safetensors file is read as "
    "`--model FILE --data DATA` or by `recaudit import`, which never unpickle it; anything else can be audited as a "
    "black box (docs/foreign.md)"
)

_STARTS = (
    (b"PK\x03\x04", "a zip archive (torch.save writes one around a pickle)"),
    (b"\x80\x02\x8a\x0al\xfc\x9c", "a pickle of an old torch.save"),
    *((bytes([0x80, protocol]), "a pickle") for protocol in range(2, 6)),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"\x93NUMPY", "a numpy file"),
)
_PICKLES = {".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin", ".joblib"}
_KINDS = (
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def printable(text: object, most: int = 120) -> str:
    """The text on one line: control and other invisible characters escaped, long texts cut."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)[: most + 1])
    return line if len(line) <= most else line[: most - 3] + "..."


def refuse(path: Path, expected: object, found: object, remedy: str = DAMAGED) -> CheckpointError:
    """The one form of every refusal: file, what was expected, what came, how to mend."""
    where = printable(path, 5000)
    return CheckpointError(f"{where}: expected {printable(expected, 400)}, found {printable(found, 400)}; {remedy}")


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """A refusal for what the operating system says."""
    if isinstance(error, PermissionError):
        return refuse(path, "a readable file", "permission denied", "give yourself the right to read it")
    if isinstance(error, FileNotFoundError):
        return refuse(path, "a file of the checkpoint", "no such file")
    return refuse(path, "a readable file", (error.strerror or str(error)).lower())


@contextmanager
def open_regular(path: Path, limit: int) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file, not behind a symbolic link, and its size in bytes.

    Raises:
        CheckpointError: anything else, larger than the limit, or not readable.
    """
    try:
        _check_kind(path, path.lstat().st_mode)  # before opening: opening a device or a pipe may act or hang
        with os.fdopen(os.open(path, _FLAGS), "rb") as file:
            status = os.fstat(file.fileno())
            _check_kind(path, status.st_mode)
            if status.st_size > limit:
                raise refuse(path, f"at most {limit:,} bytes", f"{status.st_size:,} bytes")
            yield file, status.st_size
    except OSError as error:
        raise unreadable(path, error) from None


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        found = next((name for test, name in _KINDS if test(mode)), "something else")
        raise refuse(path, "a regular file", found, "put the file itself there")


def read_bytes(path: Path, limit: int) -> bytes:
    """All bytes of a small file.

    Raises:
        CheckpointError: see `open_regular`; or the file changed while it was read.
    """
    with open_regular(path, limit) as (file, size):
        raw = file.read(size + 1)
    if len(raw) != size:
        raise refuse(path, f"{size:,} bytes", "a file that changes while it is read", "wait until it is written")
    return raw


def check_hash(path: Path, expected: str, found: str) -> None:
    """Compare SHA-256 digests (hex).

    Raises:
        CheckpointError: they differ.
    """
    if expected != found:
        raise refuse(path, f"SHA-256 {expected[:12]}...", f"{found[:12]}...: damaged, or of another checkpoint")


def sha256(raw: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(raw).hexdigest()


def parse_json(path: Path, raw: bytes) -> Any:
    """Strict JSON: UTF-8, no key twice, no NaN or infinity, bounded depth and digits.

    Raises:
        CheckpointError: it is something else.
    """
    try:
        return json.loads(
            raw.decode(),
            object_pairs_hook=_no_twice,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError:
        raise refuse(path, "JSON of ordinary depth", "brackets nested beyond reading") from None
    except UnicodeDecodeError as error:
        found = kind_of(raw) or f"no UTF-8 at byte {error.start:,}"
        raise refuse(path, "JSON", found) from None
    except json.JSONDecodeError as error:
        found = kind_of(raw) or f"an error at character {error.pos:,} ({error.msg.lower()})"
        raise refuse(path, "JSON", found if raw else "an empty file") from None
    except ValueError as error:
        raise refuse(path, "JSON", error) from None


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name[:80]!r} twice")
        found[name] = value
    return found


def _whole(text: str) -> int:
    if len(text) > 400:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]}, which is not finite")
    return value


def kind_of(raw: bytes) -> str | None:
    """What a well-known file is by its first bytes; never by opening it."""
    return next((kind for start, kind in _STARTS if raw.startswith(start)), None)


def foreign(path: Path) -> str | None:
    """What a file is that is no checkpoint folder, by its first bytes or its name; None if unknown."""
    try:
        with open_regular(path, 1 << 62) as (file, _):
            kind = kind_of(file.read(16))
    except CheckpointError:
        return None
    return kind or ("a pickle-based checkpoint by its name" if path.suffix.lower() in _PICKLES else None)
