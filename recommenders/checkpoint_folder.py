"""A checkpoint's folder as a whole: written entirely or not at all, and holding nothing but what it lists."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..datasets.errors import InputError, UnfinishedError
from .checkpoint_files import FOREIGN, foreign, printable, refuse, unreadable
from .checkpoint_record import FILES, RECORD, WEIGHTS


def check_folder(folder: Path) -> None:
    """Say what it is, if it is no checkpoint folder.

    Raises:
        CheckpointError: missing, a file of another format, or a folder of something else.
    """
    expected = f"a checkpoint folder with {RECORD}"
    try:
        if not folder.is_dir():
            if not folder.exists():
                raise refuse(folder, expected, "nothing", "check the path, or write one with `recaudit train`")
            if (folder.parent / RECORD).is_file():
                raise refuse(folder, expected, "one of its files", f"give {printable(folder.parent, 5000)}")
            raise refuse(folder, expected, foreign(folder) or "no folder", FOREIGN)
        names = sorted(entry.name for entry in _entries(folder, most=1000))
        if RECORD not in names:
            if WEIGHTS in names:
                raise refuse(folder, expected, f"{WEIGHTS} without it")
            found = next((f"{name}, {kind}" for name in names if (kind := foreign(folder / name))), None)
            found = found or (f"other files ({', '.join(names[:3])})" if names else "an empty folder")
            raise refuse(folder, expected, found, FOREIGN)
    except OSError as error:
        raise unreadable(folder, error) from None
    except ValueError as error:  # a NUL in the path
        raise refuse(folder, "a path", error) from None


def check_entries(folder: Path, listed: Iterable[str]) -> None:
    """Refuse files that the record does not list; hidden files and a README.md may lie beside.

    Raises:
        CheckpointError: there is one more.
    """
    allowed = {RECORD, *listed}
    try:
        for entry in _entries(folder):
            if entry.name not in allowed and not entry.name.startswith(".") and entry.name != "README.md":
                expected = f"only the files that {RECORD} lists"
                raise refuse(folder, expected, f"one more, {printable(entry.name)!r}", "move it out of the folder")
    except OSError as error:
        raise unreadable(folder, error) from None


def _entries(folder: Path, most: int | None = None) -> Iterable[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for count, entry in enumerate(entries):
            if count == most:
                return
            yield entry


def check_destination(path: Path, *, overwrite: bool = False) -> None:
    """Find out before a long training whether a checkpoint may be written there.

    Raises:
        InputError: something is there that must not be replaced, or the place cannot be written.
    """
    try:
        path = path.resolve()
        if path.is_dir():
            names = {entry.name for entry in _entries(path, most=100)}
            if names and RECORD not in names:
                raise InputError(_clean(f"{path} holds other files and no checkpoint; choose another folder"))
            extra = sorted(names - {RECORD, *FILES})
            if extra:
                raise InputError(
                    _clean(f"{path} holds {extra[0]}, which is no part of a checkpoint; move it away first")
                )
            if names and not overwrite:
                raise InputError(
                    _clean(f"{path} holds a checkpoint; choose another folder, or replace it (--overwrite)")
                )
        elif path.exists():
            raise InputError(_clean(f"{path} is a file; a checkpoint is a folder, choose another name"))
        parent = next(folder for folder in path.parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(_clean(f"nothing can be written into {parent}; choose another folder"))
    except (OSError, ValueError) as error:
        raise InputError(_clean(f"{path} cannot be written: {error}; choose another folder")) from None


def _clean(message: str) -> str:
    return printable(message, 5000)


def write_folder(path: Path, files: Mapping[str, bytes], overwrite: bool, check: Callable[[Path], object]) -> None:
    """Write the files into a new sibling folder, check it, and only then give it its name.

    What writings that were ended half-way have left beside it is removed: it may hold the data of people who asked to
    be forgotten since.

    Raises:
        InputError: see `check_destination`.
        UnfinishedError: a full disk or the like, and what was there before is untouched; or the new checkpoint is in
            place and a former one cannot be removed, which is named.
    """
    check_destination(path, overwrite=overwrite)
    path = path.resolve()
    mark = secrets.token_hex(4)
    new, old = (path.with_name(f".{path.name[:200]}.{mark}.{part}") for part in ("new", "old"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stale = _left_behind(path)
        if (path / RECORD).exists():  # else one of them may be all there is of the former one, until the new one stands
            _remove(stale, f"left behind by a writing of {path} that was ended; nothing was changed")
        try:
            new.mkdir()
            for name, content in files.items():
                _write(new / name, content)
            _sync(new)
            check(new)
            _swap(new, path, old)
            _remove([old, *stale], f"of a former checkpoint; the new one is in place at {path}")
            _sync(path.parent)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "check the folder and its permissions"
        reason = error.strerror or str(error)
        raise UnfinishedError(_clean(f"cannot write {path}: {reason}; nothing was changed, {remedy}")) from None


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make names durable where folders can be opened (not on Windows)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _swap(new: Path, path: Path, old: Path) -> None:
    """Rename, the former checkpoint out of the way first: no call replaces a folder that holds files."""
    if not path.exists():
        new.rename(path)
        return
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise


def _left_behind(path: Path) -> list[Path]:
    """Folders beside it that a writing of that name makes, and leaves if its process is ended."""
    ours = re.compile(rf"\.{re.escape(path.name[:200])}\.[0-9a-f]{{8}}\.(new|old)")
    found = (entry for entry in _entries(path.parent) if ours.fullmatch(entry.name))
    return sorted(Path(entry.path) for entry in found if entry.is_dir(follow_symlinks=False))


def _remove(folders: Iterable[Path], what: str) -> None:
    """Remove the folders that there are.

    Raises:
        UnfinishedError: some cannot be; all of them are named, with what they are.
    """
    left, reason = [], ""
    for folder in folders:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            left.append(str(folder))
            reason = error.strerror or str(error)
    if left:
        named = " and ".join(left)
        raise UnfinishedError(
            _clean(f"cannot remove {named}, {what}: {reason}; data to be forgotten may be in it, delete it by hand")
        )
