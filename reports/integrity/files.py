"""The files of a run folder as they lie on disk: found without following a link, hashed in blocks."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...datasets.errors import InputError

MANIFEST, ENVELOPE = "manifest.json", "manifest.dsse.json"
OWN = (MANIFEST, ENVELOPE)
"""Files of the top folder that cannot list themselves."""
BLOCK = 1 << 20


@dataclass(frozen=True)
class FileRecord:
    """A file of the folder: POSIX path relative to it, bytes, SHA-256 in hex."""

    name: str
    size: int
    sha256: str


def walk(folder: Path) -> tuple[list[str], list[str]]:
    """Names of all files below a folder, sorted, and what does not belong into a run folder.

    Links, devices, pipes, empty folders and names that are no UTF-8 are faults: a list of files cannot describe them.
    The folder's own manifest and envelope are in neither list, unless they are no regular files.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: not a folder; give the one that `recaudit run --out` wrote")
    names, faults, waiting = [], [], [(folder, "")]
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as found:
            entries = list(found)
        if not entries:
            faults.append(f"{prefix or '.'} is an empty folder")
        for entry in entries:
            name = prefix + entry.name
            fault = _fault(entry)
            if fault:
                faults.append(f"{name.encode(errors='replace').decode()} {fault}")
            elif entry.is_dir(follow_symlinks=False):
                waiting.append((Path(entry.path), f"{name}/"))
            elif name not in OWN:
                names.append(name)
    return sorted(names), sorted(faults)


def _fault(entry: os.DirEntry[str]) -> str:
    try:
        entry.name.encode()
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    if entry.is_symlink():
        return "is a symbolic link"
    if not entry.is_dir(follow_symlinks=False) and not entry.is_file(follow_symlinks=False):
        return "is no regular file"
    return ""


def measured(folder: Path, names: Iterable[str]) -> list[FileRecord]:
    """Size and hash of files that `walk` found, in the order given.

    Raises:
        InputError: one of them is no regular file any more.
        OSError: one cannot be read.
    """
    return [_measured(folder / name, name) for name in names]


def _measured(path: Path, name: str) -> FileRecord:
    digest, size = hashlib.sha256(), 0
    with open_regular(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return FileRecord(name, size, digest.hexdigest())


def check_outside(folder: Path, key: Path) -> None:
    """Refuse a key that lies in the run folder.

    A private one would be handed on with it, and a public one says only that somebody signed.

    Raises:
        InputError: it does.
    """
    if key.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{key}: lies in the run folder; keys must come from elsewhere, or they show nothing")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, never through a link and never a pipe or device.

    Raises:
        InputError: it is none, or a link.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise InputError(f"{path}: is no regular file; put the file itself there")
    # the flags hold against what is put in its place after the look above
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(f"{path}: is no regular file; put the file itself there")
    return file


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises:
        InputError: larger, missing, a link or no regular file.
    """
    try:
        with open_regular(path) as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; give the folder as it was written") from None
    if len(content) > limit:
        raise InputError(f"{path}: larger than {limit >> 20} MiB, recaudit writes no such file")
    return content
