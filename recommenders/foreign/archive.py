"""The zip that `torch.save` writes, bounded before anything of it is unpacked."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...datasets.errors import CheckpointError
from ..checkpoint_files import kind_of, open_regular, printable, refuse

FILE_LIMIT = 1 << 36
PICKLE_LIMIT = 1 << 26
"""Bytes of the pickle in it; models that keep whole matrices in theirs need a few dozen million."""
MEMBERS = 1 << 16
_DIRECTORY = 128 * MEMBERS  # bytes of the list of members
_END, _LOCATOR, _WIDE = 22, 20, 56  # bytes of the records a zip ends with, the last two where sizes have 64 bits
_BROKEN = (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError, struct.error)
_RESAVE = "save it again with a current torch: torch.save(torch.load(FILE, map_location='cpu'), FILE)"


@dataclass(frozen=True, eq=False)
class Archive:
    """An open archive whose members have been checked.

    Attributes:
        path: for error messages.
        sizes: bytes of each member, without the folder that all lie in.
    """

    path: Path
    sizes: dict[str, int]
    _zip: zipfile.ZipFile

    def size(self, name: str) -> int | None:
        """Bytes of a member, without the folder that all members lie in; None if there is none."""
        return self.sizes.get(name)

    def read(self, name: str, limit: int) -> bytes:
        """A member.

        Raises:
            CheckpointError: missing, larger than the limit, or damaged.
        """
        size = self.sizes.get(name)
        if size is None or size > limit:
            found = "none" if size is None else f"{size:,} bytes"
            raise refuse(self.path, f"{name} of at most {limit:,} bytes", found)
        try:
            return self._zip.read(f"{self._folder}/{name}")
        except _BROKEN as error:
            raise refuse(self.path, f"a whole member {name}", error) from None

    @property
    def _folder(self) -> str:
        return self._zip.infolist()[0].filename.split("/", 1)[0]


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open and check a checkpoint of torch's zip format; nothing is unpacked to disk.

    Memory: the list of its members; no member is compressed, so that none is larger than the file.

    Raises:
        CheckpointError: not a regular file, no such zip, an old format without zip, or members that are compressed,
            encrypted, twice there, outside one folder, or larger than the file.
    """
    with open_regular(path, FILE_LIMIT) as (file, size):
        _check_start(path, file)
        _check_directory(path, file, size)
        try:
            opened = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise refuse(path, "a whole zip archive", error) from None
        with opened:
            yield Archive(path, _members(path, opened.infolist(), size), opened)


def _check_start(path: Path, file: BinaryIO) -> None:
    start = file.read(16)
    if not start.startswith(b"PK\x03\x04"):
        found = kind_of(start) or "something else"
        remedy = _RESAVE if "pickle" in found else "give a file that torch.save has written"
        raise refuse(path, "the zip archive that torch.save writes", found, remedy)


def _check_directory(path: Path, file: BinaryIO, size: int) -> None:
    """Bound the list of members before it is read: zipfile reads as much as the file says."""
    file.seek(max(0, size - _END - _LOCATOR - _WIDE))
    tail = file.read(_END + _LOCATOR + _WIDE)
    if tail[-_END : -_END + 4] != b"PK\x05\x06":  # torch writes no comment behind it
        raise refuse(path, "a zip archive as torch.save writes it", "another end: truncated, or changed since")
    length = int.from_bytes(tail[-10:-6], "little")
    if tail[_WIDE : _WIDE + 4] == b"PK\x06\x07" and len(tail) == _END + _LOCATOR + _WIDE:
        length = int.from_bytes(tail[40:48], "little") if tail[:4] == b"PK\x06\x06" else size
    if length > _DIRECTORY:
        raise refuse(path, f"a list of members of at most {_DIRECTORY:,} bytes", f"{length:,} bytes")
    file.seek(0, io.SEEK_SET)


def _members(path: Path, members: list[zipfile.ZipInfo], size: int) -> dict[str, int]:
    if not members or len(members) > MEMBERS:
        raise refuse(path, f"1 to {MEMBERS:,} members", f"{len(members):,}")
    folder = members[0].filename.split("/", 1)[0]
    found: dict[str, int] = {}
    for member in members:
        fault = _fault(member, folder, found)
        if fault is not None:
            raise refuse(path, "members as torch.save writes them", f"{printable(member.filename)!r}, {fault}")
        found[member.filename.split("/", 1)[1]] = member.file_size
    if sum(found.values()) > size:
        raise refuse(path, f"members of {size:,} bytes together", f"{sum(found.values()):,} bytes")
    return found


def _fault(member: zipfile.ZipInfo, folder: str, found: dict[str, int]) -> str | None:
    top, _, name = member.filename.partition("/")
    if not name or top != folder or name.startswith("/") or ".." in name.split("/") or "\\" in name:
        return "outside its folder"
    if name in found:
        return "twice"
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
        return "compressed"
    return "encrypted" if member.flag_bits & 0x1 else None


def is_archive(path: Path) -> bool:
    """Whether it is a file that starts as a zip does."""
    try:
        with open_regular(path, FILE_LIMIT) as (file, _):
            return file.read(4) == b"PK\x03\x04"
    except CheckpointError:
        return False
