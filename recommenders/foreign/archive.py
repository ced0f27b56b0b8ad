"""The zip that `torch.save` writes, bounded before anything of it is unpacked."""

from __future__ import annotations

import io
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
_DIRECTORY = 1 << 24  # bytes of the list of members
_TAIL = 22 + (1 << 16)  # where a zip ends: its last record and a comment
_RESAVE = "save it again with a current torch: torch.save(torch.load(FILE, map_location='cpu'), FILE)"


@dataclass(frozen=True, eq=False)
class Archive:
    """An open archive whose members have been checked.

    Attributes:
        path: for error messages.
    """

    path: Path
    _zip: zipfile.ZipFile
    _sizes: dict[str, int]

    def size(self, name: str) -> int | None:
        """Bytes of a member, without the folder that all members lie in; None if there is none."""
        return self._sizes.get(name)

    def read(self, name: str, limit: int) -> bytes:
        """A member.

        Raises:
            CheckpointError: missing, larger than the limit, or damaged.
        """
        size = self._sizes.get(name)
        if size is None or size > limit:
            found = "none" if size is None else f"{size:,} bytes"
            raise refuse(self.path, f"{name} of at most {limit:,} bytes", found)
        try:
            return self._zip.read(f"{self._folder}/{name}")
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
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
            with zipfile.ZipFile(file) as opened:
                yield Archive(path, opened, _members(path, opened.infolist(), size))
        except zipfile.BadZipFile as error:
            raise refuse(path, "a whole zip archive", error) from None


def _check_start(path: Path, file: BinaryIO) -> None:
    start = file.read(16)
    if not start.startswith(b"PK\x03\x04"):
        found = kind_of(start) or "something else"
        remedy = _RESAVE if "pickle" in found else "give a file that torch.save has written"
        raise refuse(path, "the zip archive that torch.save writes", found, remedy)


def _check_directory(path: Path, file: BinaryIO, size: int) -> None:
    """Bound the list of members before it is read: zipfile reads as much as the file says."""
    file.seek(max(0, size - _TAIL))
    tail = file.read(_TAIL)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) < place + 22:
        raise refuse(path, "a whole zip archive", "one without an end: truncated")
    length = int.from_bytes(tail[place + 12 : place + 16], "little")
    wide = tail.rfind(b"PK\x06\x06", 0, place)
    if length == 0xFFFFFFFF or wide >= 0:  # sizes of 64 bits stand in a record of their own
        length = int.from_bytes(tail[wide + 40 : wide + 48], "little") if wide >= 0 else size
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
