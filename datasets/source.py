"""Bytes of a data file, looked at before they are trusted: compression, encoding, things that are no log."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from .errors import DataError

HEAD_BYTES = 1 << 20
"""How much of a file is looked at to recognise it; also the longest line a log may begin with."""

MAX_EXPANSION = 300
"""A gzip file that grows by more than this is refused; logs shrink to a twentieth at best."""

_MAGIC = (
    (b"PK\x03\x04", "a zip archive (or a spreadsheet); unpack it or save it as CSV"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "an SQLite database; export the table of interactions as CSV"),
    (b"\x89HDF", "an HDF5 file; export the table of interactions as CSV"),
    (b"\x93NUMPY", "a numpy array; export it as CSV with a header"),
    (b"BZh", "compressed with bzip2; unpack it first"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstandard; unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it first"),
    (b"ARROW1", "an Arrow file; save it as Parquet"),
    (b"\x80\x04\x95", "a pickle, which is never loaded; export it as CSV or Parquet"),
    (b"\x80\x05\x95", "a pickle, which is never loaded; export it as CSV or Parquet"),
)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def shown(text: object, limit: int = 60) -> str:
    """A value from a file, quoted, on one line and cut, fit for a message."""
    words = repr(text)
    return words if len(words) <= limit else words[: limit - 1] + "…"


@dataclass(frozen=True)
class Head:
    """The beginning of a text file.

    Attributes:
        lines: its whole lines, without line ends; the last, cut one is left out unless it is the only one.
        encoding: utf-8, utf-8-sig, utf-16 or latin-1.
        compressed: whether the file is gzip.
        parquet: whether the file is Parquet (then there are no lines).
        plain: whether the file can be read as it lies: not compressed, UTF-8, lines that end in a line feed.
    """

    lines: tuple[str, ...]
    encoding: str
    compressed: bool
    parquet: bool
    plain: bool


def open_bytes(path: Path) -> IO[bytes]:
    """Open a regular file for reading, unpacking gzip.

    Raises:
        DataError: it is not there or is no regular file.
    """
    if not path.is_file():
        raise DataError(f"{path}: " + ("no regular file" if path.exists() else "there is no such file"))
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    return cast("IO[bytes]", gzip.open(path, "rb")) if packed else path.open("rb")


def read_bytes(path: Path) -> bytes:
    """The whole content, unpacked.

    Raises:
        DataError: damaged gzip, or one that unpacks to far more than a log would.
    """
    limit = _most(path)
    parts: list[bytes] = []
    size = 0
    try:
        with open_bytes(path) as stream:
            while part := stream.read(8 << 20):
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise _too_much(path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch or write it anew") from error
    return b"".join(parts)


def _most(path: Path) -> int:
    return max(100 << 20, MAX_EXPANSION * path.stat().st_size)


def _too_much(path: Path) -> DataError:
    return DataError(f"{path}: unpacks to more than {MAX_EXPANSION} times its size; this is no log")


def as_utf8(path: Path, encoding: str) -> bytes:
    """The content as UTF-8 with line feeds, whatever it was.

    Raises:
        DataError: damaged gzip, or text that is not in the encoding.
    """
    content = read_bytes(path)
    if encoding not in ("utf-8", "utf-8-sig"):
        content = content.decode(encoding).encode()
    elif content.startswith(codecs.BOM_UTF8):
        content = content[3:]
    if b"\n" not in content[:HEAD_BYTES]:
        content = content.replace(b"\r", b"\n")
    return content


def iterate_lines(path: Path, encoding: str) -> Iterator[str]:
    """The lines of a large text file one by one, in constant memory; bytes that are no text become U+FFFD.

    Raises:
        DataError: damaged gzip or a line of more than 64 MiB.
    """
    limit = 64 << 20
    total, most = 0, _most(path)
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding, "replace", newline="\n") as text:
        try:
            while line := text.readline(limit):
                total += len(line)
                if len(line) == limit:
                    raise DataError(f"{path}: a line of more than 64 MiB; this is no log")
                if total > most:
                    raise _too_much(path)
                yield line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(f"{path}: damaged gzip file ({error}); fetch or write it anew") from error


def head(path: Path) -> Head:
    """Look at the first MiB of a file.

    Raises:
        DataError: it is empty, binary, HTML or anything else that cannot be a log; the message says what.
    """
    try:
        with path.open("rb") if path.is_file() else open_bytes(path) as raw:
            compressed = raw.read(2) == b"\x1f\x8b"
        with open_bytes(path) as stream:
            data = stream.read(HEAD_BYTES)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); fetch or write it anew") from error
    if data[:4] == b"PAR1":
        if compressed:
            raise DataError(f"{path}: Parquet inside gzip; unpack it first")
        return Head((), "", compressed, True, False)
    for magic, what in _MAGIC:
        if data.startswith(magic):
            raise DataError(f"{path}: not a log but {what}")
    whole = len(data) < HEAD_BYTES
    text, encoding = _decode(data, whole)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    if "\0" in text:
        raise DataError(f"{path}: holds NUL bytes; this is a binary or damaged file, no log")
    if len(lines) == 1 and not whole:
        raise DataError(f"{path}: no line end within the first {HEAD_BYTES:,} bytes; this is no log")
    if lines[0].lstrip()[:1] == "<" and lines[0].lstrip()[1:2] in "!?hHsS":
        raise DataError(f"{path}: an HTML or XML page, no log; fetch the data file itself")
    plain = not compressed and encoding == "utf-8" and b"\n" in data
    return Head(tuple(lines if len(lines) == 1 else lines[:-1] + [lines[-1]] * (whole and lines[-1] != "")),
                encoding, compressed, False, plain)  # fmt: skip


def _decode(data: bytes, whole: bool) -> tuple[str, str]:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return codecs.getincrementaldecoder(encoding)("replace").decode(data, whole), encoding
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, whole), "utf-8"
    except UnicodeDecodeError:
        return data.decode("latin-1"), "latin-1"


@dataclass
class Place:
    """What a person pointed at: a file, or a folder and the regular files in it.

    Attributes:
        path: as given.
        files: name -> path; for a file, the file alone.
    """

    path: Path
    files: dict[str, Path] = field(default_factory=dict)
    _heads: dict[Path, Head | DataError] = field(default_factory=dict, repr=False)

    @classmethod
    def at(cls, path: Path) -> Place:
        """Look at a path.

        Raises:
            DataError: there is nothing, or it is a device or pipe.
        """
        if path.is_dir():
            found = {each.name: each for each in sorted(path.iterdir()) if each.is_file() and each.name[0] != "."}
            return cls(path, found)
        if not path.is_file():
            raise DataError(f"{path}: " + ("no regular file" if path.exists() else "there is no such file or folder"))
        return cls(path, {path.name: path})

    @property
    def is_folder(self) -> bool:
        """Whether a folder was given."""
        return self.path.is_dir()

    def head(self, path: Path) -> Head:
        """The beginning of one file, looked at once."""
        if path not in self._heads:
            try:
                self._heads[path] = head(path)
            except DataError as error:
                self._heads[path] = error
        known = self._heads[path]
        if isinstance(known, DataError):
            raise known
        return known

    def first_lines(self, path: Path) -> tuple[str, ...]:
        """Up to 1,000 first lines of a file that are not blank, or none if it is no text."""
        try:
            lines = self.head(path).lines
        except DataError:
            return ()
        return tuple(line for line in lines[:1000] if line.strip())

    def beside(self, *names: str) -> Path | None:
        """The first file of these names (plain or with .gz) in the folder, or beside the file given."""
        folder = self.path if self.is_folder else self.path.parent
        for name in names:
            for path in (folder / name, folder / (name + ".gz")):
                if path.is_file():
                    return path
        return None
