"""Tensors of a foreign file: where their numbers lie, and the numbers, checked against the bytes that are there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import CheckpointError
from ..checkpoint_files import printable, refuse
from .archive import FILE_LIMIT, Archive

_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


_EMPTY = 1 << 32  # numbers that an empty tensor would hold if its lengths of 0 were 1
_ROOM = 8  # tensors may share numbers and half precision grows, but not without end
_SHARED = "many tensors of it are the same numbers; save each once"


@dataclass(frozen=True)
class Stored:
    """Numbers in the file: name of the storage type, place, how many."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A tensor by reference.

    Attributes:
        storage: where its numbers are.
        offset: of the first, in numbers.
        shape: lengths.
        stride: in numbers.
    """

    storage: Stored
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self, archive: Archive, name: str) -> NDArray[Any]:
        """Its numbers; half precision becomes float32.

        Memory: the storage and one copy; no tensor may hold more numbers than its storage does.

        Raises:
            CheckpointError: of an unknown type, outside its storage, or the storage is not whole.
        """
        kind = _DTYPES.get(self.storage.kind)
        if kind is None:
            raise refuse(
                archive.path, f"numbers of a known type in {printable(name)}", repr(printable(self.storage.kind))
            )
        dtype = np.dtype(kind)
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        count = math.prod(self.shape)
        if not count and math.prod(size or 1 for size in self.shape) > _EMPTY:
            raise refuse(archive.path, f"an empty tensor {printable(name)} of ordinary shape", "a huge one")
        if count and (last >= self.storage.count or count > self.storage.count):
            raise refuse(archive.path, f"tensor {printable(name)} inside its storage", "one that reaches beyond it")
        raw = archive.read(f"data/{self.storage.key}", FILE_LIMIT)
        if len(raw) != self.storage.count * dtype.itemsize:
            expected = f"{self.storage.count * dtype.itemsize:,} bytes of {printable(name)}"
            raise refuse(archive.path, expected, f"{len(raw):,}")
        if not count:
            return np.zeros(self.shape, np.float32 if dtype.kind == "f" else dtype)
        flat = np.frombuffer(raw, dtype)[self.offset :]
        steps = tuple(step * dtype.itemsize for step in self.stride)
        found: NDArray[Any] = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False).copy()
        if self.storage.kind == "BFloat16Storage":
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float32) if self.storage.kind == "HalfStorage" else found


def rebuilt(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Tensor:
    """What `torch._utils._rebuild_tensor_v2` stands for.

    Raises:
        ValueError: the arguments are not those of a tensor.
    """
    whole = all(
        isinstance(numbers, tuple) and len(numbers) <= 8 and all(type(n) is int and 0 <= n < 1 << 48 for n in numbers)
        for numbers in (shape, stride, (offset,))
    )
    if not isinstance(storage, Stored) or not whole or len(shape) != len(stride):
        raise ValueError("a tensor without storage, shape or stride")
    return Tensor(storage, offset, shape, stride)


def arrays(archive: Archive, state: Any, what: str) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict, by name.

    Raises:
        CheckpointError: it is none, or a tensor is damaged, or holds NaN or infinite values.
    """
    if not isinstance(state, Mapping) or not state:
        raise refuse(archive.path, f"tensors by name as {what}", f"{type(state).__name__} of {_size(state)}")
    found = {}
    room = _ROOM * sum(archive.sizes.values())
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            told = repr(printable(name)) if isinstance(name, str) else f"a {type(name).__name__}"
            raise refuse(archive.path, f"tensors by name as {what}", f"{told}, which is none")
        room -= 8 * max(math.prod(value.shape), value.storage.count)  # each one reads its storage whole
        if room < 0:
            raise refuse(archive.path, f"tensors of at most {_ROOM} times the file together", "more", _SHARED)
        array = value.array(archive, name)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise _diverged(archive, name)
        found[name] = array
    return found


def _diverged(archive: Archive, name: str) -> CheckpointError:
    remedy = "the training diverged; give a checkpoint of an earlier epoch"
    return refuse(archive.path, f"finite numbers in {printable(name)}", "NaN or infinite values", remedy)


def _size(state: Any) -> str:
    return f"{len(state):,}" if isinstance(state, dict | list | tuple | str | bytes) else "no size"
