"""Random damage to pickles and zips: a result or one line, and nothing that the reader was not asked for."""

from __future__ import annotations

import pickletools
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recaudit.datasets.errors import CheckpointError
from recaudit.recommenders.foreign.recbole import read_recbole

from .asking import MARKER, check_refusal, quiet
from .crafting import PROTO, called, members_of, named, save_good, spell, usual, zipped

_OPCODES = np.frombuffer("".join(operation.code for operation in pickletools.opcodes).encode("latin-1"), np.uint8)
_LENGTHS = [b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", bytes(4), struct.pack("<Q", 1 << 62)]

Mutation = Callable[[bytearray, np.random.Generator, bytes], None]


def _place(raw: bytearray, draw: np.random.Generator) -> int:
    return int(draw.integers(len(raw))) if raw else 0


def _flip(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    raw[_place(raw, draw)] ^= 1 << int(draw.integers(8))


def _replace(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    raw[_place(raw, draw)] = int(draw.integers(256))


def _delete(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    start = _place(raw, draw)
    del raw[start : start + int(draw.integers(1, 40))]


def _insert(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    start = _place(raw, draw)
    raw[start:start] = draw.bytes(int(draw.integers(1, 12)))


def _splice(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    """A piece of the stream at another place of it."""
    source, goal = _place(raw, draw), _place(raw, draw)
    raw[goal:goal] = raw[source : source + int(draw.integers(1, 200))]


def _length(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    start, length = _place(raw, draw), _LENGTHS[int(draw.integers(len(_LENGTHS)))]
    raw[start : start + len(length)] = length


def _opcode(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    """Another operation in place of one."""
    raw[_operation(raw, draw)] = int(draw.choice(_OPCODES))


def _more_opcodes(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    start = _operation(raw, draw)
    raw[start:start] = draw.choice(_OPCODES, int(draw.integers(1, 4))).tobytes()


def _payload(raw: bytearray, draw: np.random.Generator, evil: bytes) -> None:
    """A call before an operation, its result left on the stack or dropped."""
    start = _operation(raw, draw)
    raw[start:start] = evil + (b"0" if draw.integers(2) else b"")


def _operation(raw: bytearray, draw: np.random.Generator) -> int:
    places = []
    try:
        for _, _, place in pickletools.genops(bytes(raw)):
            places.append(place or 0)
    except ValueError:
        pass
    return int(draw.choice(places)) if places else 0


MUTATIONS: tuple[Mutation, ...] = (
    _flip, _replace, _delete, _insert, _splice, _length, _opcode, _more_opcodes, _payload,
)  # fmt: skip


def _ask(path: Path, counts: Counter[str]) -> None:
    try:
        file = read_recbole(path)
    except CheckpointError as error:
        check_refusal(path, str(error))
        counts["refused"] += 1
    else:
        assert isinstance(file.model, str) and all(array.dtype.kind in "fiub" for array in file.state.values())
        check_refusal(path, str(file.lacks("seed", "a number", file.settings.get("x", 1))))
        counts["read"] += 1


def _fuzz(good: Path, folder: Path, times: int, seed: int) -> Counter[str]:
    """Mutants of the pickle of a file; the storages stay as they are and the zip is whole."""
    draw, counts = np.random.default_rng(seed), Counter[str]()
    evil = spell(called(named("os", "system"), f"touch '{folder / MARKER}'"))
    members = members_of(good)
    pickled = members["data.pkl"]
    storages = {name.removeprefix("data/"): raw for name, raw in members.items() if name.startswith("data/")}
    path = folder / "m.pth"
    path.touch()
    for number in range(times):
        raw = bytearray(pickled)
        for _ in range(int(draw.integers(1, 4))):
            MUTATIONS[(number + int(draw.integers(2))) % len(MUTATIONS)](raw, draw, evil)
            raw = raw or bytearray(PROTO)
        path.write_bytes(zipped(usual(bytes(raw), storages)))
        with quiet(folder):
            try:
                _ask(path, counts)
            except Exception as error:
                raise AssertionError(f"mutant {number} of seed {seed}: {type(error).__name__}: {error}") from error
    return counts


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = save_good(tmp_path / "good.pth")
    read_recbole(path)
    return path


@pytest.mark.parametrize("seed", range(4))
def test_mutated_pickles_are_read_or_refused(seed: int, good: Path, tmp_path: Path) -> None:
    counts = _fuzz(good, tmp_path, 100, seed)
    assert counts["refused"] > 40 and counts["read"] > 3 and counts.total() == 100, counts


HOW_MANY = (pytest.param(250, id="some"), pytest.param(1000, id="many", marks=pytest.mark.slow))


@pytest.mark.parametrize("count", HOW_MANY)
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_mutated_pickles_are_read_or_refused(seed: int, count: int, good: Path, tmp_path: Path) -> None:
    assert _fuzz(good, tmp_path, count, seed).total() == count


NAMES = ("bert4rec-magazine", "bpr-ml100k", "gru4rec-magazine", "lightgcn-ml100k", "sasrec-magazine", "sgl-ml100k")


@pytest.mark.parametrize("name", NAMES)
def test_mutants_of_real_files_are_read_or_refused(name: str, shared: Path, tmp_path: Path) -> None:
    real = shared / "checkpoints" / "recbole" / f"{name}.pth"
    read_recbole(real)
    counts = _fuzz(real, tmp_path, 20, 7)
    assert counts["refused"] and counts.total() == 20, counts


@pytest.mark.parametrize("count", HOW_MANY)
@pytest.mark.parametrize("name", NAMES)
def test_many_mutants_of_real_files_are_read_or_refused(name: str, count: int, shared: Path, tmp_path: Path) -> None:
    assert _fuzz(shared / "checkpoints" / "recbole" / f"{name}.pth", tmp_path, count, 8).total() == count


@pytest.mark.parametrize("seed", range(2))
def test_mutated_zips_are_read_or_refused(seed: int, good: Path, tmp_path: Path) -> None:
    draw, counts, whole = np.random.default_rng(seed), Counter[str](), good.read_bytes()
    path = tmp_path / "m.pth"
    path.touch()
    listing = whole.index(b"PK\x01\x02")
    for number in range(200):
        raw = bytearray(whole)
        for _ in range(int(draw.integers(1, 4))):
            part = bytearray(raw[listing:]) if number % 2 else raw  # the list of members, or anywhere
            (_flip, _replace, _delete, _insert, _splice, _length)[int(draw.integers(6))](part, draw, b"")
            raw = raw[:listing] + part if number % 2 else raw
        path.write_bytes(bytes(raw))
        with quiet(tmp_path):
            try:
                _ask(path, counts)
            except Exception as error:
                raise AssertionError(f"mutant {number} of seed {seed}: {type(error).__name__}: {error}") from error
    assert counts["refused"] > 80 and counts["read"] > 3, counts
