"""safetensors read with every size known beforehand: the header is checked before any tensor is read."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from .checkpoint_files import kind_of, open_regular, parse_json, printable, refuse

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1"}
"""The dtypes a checkpoint may hold, by their safetensors names."""

HEADER_LIMIT = 1 << 20
_CHUNK = 1 << 26

Expected = Mapping[str, tuple[tuple[int, ...], str]]
"""Name -> shape (-1 where free) and safetensors dtype of every tensor that must be there."""


@dataclass(frozen=True)
class _Piece:
    """A tensor's place among the bytes behind the header."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    stop: int


def encode_tensors(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as a safetensors file; equal arrays give equal bytes."""
    return save({name: a if a.flags.c_contiguous else a.copy(order="C") for name, a in arrays.items()})


def read_tensors(
    path: Path, expected: Expected, optional: Expected | None = None
) -> tuple[dict[str, NDArray[Any]], hashlib._Hash]:
    """Exactly the expected tensors as arrays, those optional ones that are there, and the file's running SHA-256.

    Memory: the file's size, which is checked against the expected shapes before it is read.

    Raises:
        CheckpointError: the file is not regular, truncated, malformed, holds other tensors than expected, or
            holds NaN or infinite values.
    """
    with open_regular(path, 1 << 62) as (file, size):
        digest = hashlib.sha256()
        header = _header(path, file, size, digest)
        known = {**expected, **(optional or {})}
        pieces = [_piece(path, name, entry, *known[name]) for name, entry in _entries(path, header, expected, known)]
        total = _layout(path, pieces, size - file.tell())
        content = _content(path, file, total, digest)
    arrays = {}
    for piece in pieces:
        array = np.frombuffer(content, DTYPES[piece.dtype], math.prod(piece.shape), piece.start).reshape(piece.shape)
        # min and max carry NaN along, and need no second array
        if array.dtype.kind == "f" and array.size and not np.isfinite([array.min(), array.max()]).all():
            raise refuse(path, f"finite numbers in tensor {printable(piece.name)!r}", "NaN or infinite values")
        arrays[piece.name] = array
    return arrays, digest


def _header(path: Path, file: BinaryIO, size: int, digest: hashlib._Hash) -> Any:
    start = file.read(8)
    digest.update(start)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, HEADER_LIMIT):
        kind = kind_of(start)  # asked only now: a length of 640 bytes begins like a pickle
        if kind is not None:
            raise refuse(path, "a safetensors file", f"{kind}, which recaudit never opens")
    if len(start) < 8 or length > size - 8:
        raise refuse(path, f"a safetensors header of {length:,} bytes", f"a file of {size:,} bytes")
    if not 2 <= length <= HEADER_LIMIT:
        raise refuse(path, f"a safetensors header of 2 to {HEADER_LIMIT:,} bytes", f"{length:,}")
    raw = file.read(length)
    if len(raw) != length:
        raise refuse(path, f"{length:,} bytes of header", f"{len(raw):,}")
    digest.update(raw)
    return parse_json(path, raw)


def _entries(path: Path, header: Any, expected: Expected, known: Expected) -> list[tuple[str, Any]]:
    names = ", ".join(sorted(expected))
    if not isinstance(header, dict):
        raise refuse(path, f"a header with the tensors {names}", f"a JSON {type(header).__name__}")
    for name in expected.keys() - header.keys():
        raise refuse(path, f"the tensors {names}", f"none named {name}")
    for name in header.keys() - known.keys():
        raise refuse(path, f"the tensors {names}", f"one more named {printable(name)!r}")
    return list(header.items())


def _piece(path: Path, name: str, entry: Any, wanted: tuple[int, ...], wanted_dtype: str) -> _Piece:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise refuse(path, f"dtype, shape and data_offsets of tensor {name}", "something else in the header")
    shape, dtype, offsets = entry["shape"], entry["dtype"], entry["data_offsets"]
    if dtype != wanted_dtype:
        raise refuse(path, f"tensor {name} as {wanted_dtype}", repr(dtype))
    if not _naturals(shape) or not _fits(shape, wanted):
        raise refuse(
            path, f"tensor {name} of shape {list(wanted)} (the model's, at this number of users and items)", shape
        )
    if not _naturals(offsets) or len(offsets) != 2:
        raise refuse(path, f"two offsets of tensor {name}", offsets)
    start, stop = offsets
    size = np.dtype(DTYPES[dtype]).itemsize
    if stop - start != math.prod(shape) * size or start % size:
        raise refuse(
            path, f"{math.prod(shape) * size:,} aligned bytes for tensor {name}", f"offsets {start:,}, {stop:,}"
        )
    return _Piece(name, tuple(shape), dtype, start, stop)


def _fits(shape: list[int], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, n) for w, n in zip(wanted, shape, strict=True))


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 62 for n in value)


def _layout(path: Path, pieces: list[_Piece], available: int) -> int:
    """Bytes of all tensors, which must lie one after another and fill the file."""
    end = 0
    for piece in sorted(pieces, key=lambda piece: (piece.start, piece.stop)):
        if piece.start != end:
            fault = "overlaps another" if piece.start < end else "leaves a gap"
            raise refuse(path, f"tensor {piece.name} to start at byte {end:,}", f"{piece.start:,}: it {fault}")
        end = piece.stop
    if end != available:
        raise refuse(path, f"{end:,} bytes of tensors", f"{available:,} bytes: truncated, or with something behind")
    return end


def _content(path: Path, file: BinaryIO, total: int, digest: hashlib._Hash) -> bytearray:
    memory = _memory()
    if total > memory:
        raise refuse(path, f"tensors that fit this machine's {memory:,} bytes of memory", f"{total:,} bytes")
    try:
        content = bytearray(total)
    except MemoryError:
        raise refuse(path, "tensors that fit the free memory", f"{total:,} bytes") from None
    view = memoryview(content)
    done = 0
    while done < total:
        count = file.readinto(view[done : done + _CHUNK])  # type: ignore[attr-defined]
        if not count:
            raise refuse(path, f"{total:,} bytes of tensors", f"{done:,}")
        digest.update(view[done : done + count])
        done += count
    return content


def _memory() -> int:
    """The machine's memory in bytes, or as much as any has where it cannot be asked."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 1 << 50
