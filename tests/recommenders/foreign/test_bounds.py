"""Small files that would become large: memory stays near the file's size, and no file keeps the reader at work.

The files are read by a process of its own whose address space is limited, since some would end it.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from .asking import check_refusal, outcomes
from .crafting import (
    CONFIG,
    PROTO,
    SETTINGS,
    End,
    Member,
    Op,
    built,
    config,
    named,
    ordered,
    recbole,
    save_good,
    spell,
    stored,
    tensor,
    usual,
    whole,
    wide_end,
    zipped,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of address space hold on Linux")

ROOM = 512 << 20
"""Address space above that of a reader at rest; no file here is larger than 50 MB."""

ORDERED_CLASS = named("collections", "OrderedDict")


def _file(pickled: bytes) -> bytes:
    return zipped(usual(pickled))


def _first(op: bytes) -> bytes:
    """The opcodes, their value dropped, then a good checkpoint."""
    return _file(PROTO + op + b"0" + spell(recbole()) + b".")


def _setting(op: bytes) -> bytes:
    """As a setting that is asked for: a refusal quotes what it found."""
    return _file(whole(recbole(config=config(SETTINGS | {"embedding_size": Op(op)}))))


def _declared(operation: bytes, length: bytes) -> bytes:
    return _file(PROTO + operation + length + b"abc.")


def _doubled(kind: str, levels: int) -> bytes:
    """A value that names itself twice at every level: 2 ** levels when written out, few bytes in the file."""
    start, step = (b")q\x00", b"h\x00\x86q\x00") if kind == "tuple" else (b"]q\x00", b"0](h\x00h\x00eq\x00")
    return start + step * levels


def _table(entries: int) -> bytes:
    """A dictionary with numbers as names, memoized as 0 and dropped."""
    return b"}q\x00(" + b"".join(b"M" + struct.pack("<H", n) + b"N" for n in range(entries)) + b"u0"


def _copies(kind: Op, argument: bytes, times: int, kept: bool) -> bytes:
    """Calls of a class with a memoized argument again and again."""
    calls = (b"h\x01" + argument + b"R" + (b"" if kept else b"0")) * times
    return kind.raw + b"q\x010" + (b"](" + calls + b"e" if kept else b"N" + calls)


_ARGUMENTS = b"(" + b"N" * 300_000 + b"tq\x000"


def _nested(times: int, start: bytes, around: bytes) -> bytes:
    return start + around * times


def _listing(members: int, hidden: bool = False) -> bytes:
    """A list of members without the members."""
    raw = zipped([Member(b"a/1")])
    entry = raw[raw.index(b"PK\x01\x02") : raw.index(b"PK\x05\x06")]
    head, length = raw[: raw.index(b"PK\x01\x02")], len(entry) * members
    if not hidden:
        return head + entry * members + zipped([], End(count=members & 0xFFFF, size=length, offset=len(head)))
    # a record of 64 bits, and in its locator what looks like another one that says 0
    wide = wide_end(members, length, len(head), int.from_bytes(b"PK\x06\x06", "little"))
    return head + entry * members + zipped([], End(before=wide, comment=bytes(20)))


def _bomb() -> bytes:
    """A gigabyte of zeros in a megabyte: one block that stands for itself, again and again."""
    packer = zlib.compressobj(wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    members = usual(whole(recbole()))
    bomb = Member(b"archive/data/0", block * 1024 + packer.flush(), method=8, size=1 << 30)
    return zipped([members[0], members[1], bomb])


def _shared_storage(names: int) -> bytes:
    numbers = 1 << 18
    place = stored(count=numbers).raw + b"q\x000"
    one = tensor((numbers,), (1,), storage=Op(b"h\x00"))
    state = ordered({f"t{n}": one for n in range(names)})
    return zipped(usual(PROTO + place + spell(recbole(state_dict=state)) + b".", {"0": bytes(4 * numbers)}))


def _changed(state: dict[str, object]) -> bytes:
    return _file(whole(recbole(state_dict=ordered({"a": built(tensor(), state)}))))


FILES: dict[str, Callable[[], bytes]] = {
    "memo-of-2-to-31": lambda: _file(PROTO + b"Nr\xff\xff\xff\x7f."),
    "memo-of-2-to-32": lambda: _file(PROTO + b"Nr\xff\xff\xff\xff."),
    "memo-of-10-to-18": lambda: _file(b"Np1000000000000000000\n."),
    "memo-in-steps": lambda: _file(PROTO + b"N" + b"".join(b"r" + struct.pack("<I", 2**n) for n in range(32)) + b"."),
    "text-of-2-to-62": lambda: _declared(b"\x8d", struct.pack("<Q", 1 << 62)),
    "text-of-2-to-64": lambda: _declared(b"\x8d", b"\xff" * 8),
    "text-of-4-GB": lambda: _declared(b"X", b"\xff" * 4),
    "bytes-of-2-to-62": lambda: _declared(b"\x8e", struct.pack("<Q", 1 << 62)),
    "bytes-of-4-GB": lambda: _declared(b"B", b"\xff" * 4),
    "bytearray-of-2-to-62": lambda: _declared(b"\x96", struct.pack("<Q", 1 << 62)),
    "bytearray-of-1-TB": lambda: _declared(b"\x96", struct.pack("<Q", 1 << 40)),
    "old-text-of-2-GB": lambda: _declared(b"T", b"\xff\xff\xff\x7f"),
    "integer-of-2-GB": lambda: _declared(b"\x8b", b"\xff\xff\xff\x7f"),
    "integer-of-8-MB": lambda: _file(PROTO + b"\x8b" + struct.pack("<i", 1 << 23) + b"\x7f" * (1 << 23) + b"."),
    "frame-of-2-to-62": lambda: _file(PROTO + b"\x95" + struct.pack("<Q", 1 << 62) + b"N."),
    "frames-in-frames": lambda: _first((b"\x95" + struct.pack("<Q", 1 << 40)) * 1000 + b"N"),
    "text-of-10-MB-as-name": lambda: _first(named("os", "x" * 10_000_000).raw),
    "text-of-10-MB-as-setting": lambda: _setting(spell("x" * 10_000_000)),
    "text-of-10-MB-as-tensor": lambda: _file(whole(recbole(state_dict=ordered({"x" * 10_000_000: 1})))),
    "600-names": lambda: _first(spell([named("m", f"n{n}") for n in range(600)])),
    "lists-200000-deep": lambda: _first(b"]" * 200_000 + b"a" * 199_999),
    "tuples-200000-deep": lambda: _first(_nested(200_000, b")", b"\x85")),
    "states-50000-deep": lambda: _first(CONFIG.raw + b"q\x000" + b"h\x00)\x81" * 50_000 + b"Nb" + b"b" * 49_999),
    "marks-200000-deep": lambda: _first(b"(" * 200_000 + b"N" + b"t" * 200_000),
    "deep-setting": lambda: _setting(b"]" * 200_000 + b"a" * 199_999),
    "deep-tuple-as-setting": lambda: _setting(_nested(200_000, b")", b"\x85")),
    "deep-tuple-as-name": lambda: _first(b"}" + _nested(200_000, b")", b"\x85") + b"Ns"),
    "deep-tuple-in-a-set": lambda: _first(b"\x8f(" + _nested(200_000, b")", b"\x85") + b"\x90"),
    "deep-tuple-as-tensor": lambda: _file(whole(recbole(state_dict=Op(b"}" + _nested(9999, b")", b"\x85") + b"Ns")))),
    "list-in-itself": lambda: _setting(b"]q\x00h\x00a"),
    "doubled-list": lambda: _first(_doubled("list", 60)),
    "doubled-list-as-setting": lambda: _setting(_doubled("list", 60)),
    "doubled-tuple": lambda: _first(_doubled("tuple", 60)),
    "doubled-tuple-as-name": lambda: _first(b"}" + _doubled("tuple", 60) + b"Ns"),
    "doubled-tuple-in-a-set": lambda: _first(b"\x8f(" + _doubled("tuple", 60) + b"\x90"),
    "doubled-tuple-as-class-state": lambda: _first(CONFIG.raw + b")\x81" + _doubled("tuple", 60) + b"b"),
    "one-list-100000-times": lambda: _first(b"](" + b"N" * 100_000 + b"eq\x000](" + b"h\x00" * 100_000 + b"e"),
    "copies-of-a-dictionary": lambda: _first(_table(20_000) + _copies(ORDERED_CLASS, b"h\x00\x85", 20_000, True)),
    "copies-of-arguments": lambda: _first(_ARGUMENTS + _copies(CONFIG, b"h\x00", 20_000, True)),
    "copies-of-arguments-dropped": lambda: _first(_ARGUMENTS + _copies(CONFIG, b"h\x00", 300_000, False)),
    "arguments-that-are-dropped": lambda: _first(
        _ARGUMENTS + _copies(named("torch._utils", "_rebuild_parameter"), b"h\x00", 2_000, True)
    ),
    "10-million-operations": lambda: _file(PROTO + b"N0" * 5_000_000 + b"N."),
    "4-million-sets": lambda: _first(b"](" + b"\x8f" * 4_000_000 + b"e"),
    "one-storage-by-1000-names": lambda: _shared_storage(1000),
    "changed-to-reach-before-memory": lambda: _changed({"stride": (-(1 << 40), 1)}),
    "changed-to-reach-behind-memory": lambda: _changed({"storage": stored(count=1 << 60), "stride": (1 << 40, 1)}),
    "changed-to-expand": lambda: _changed({"shape": (-(1 << 40), -2), "stride": (0, 0)}),
    "deflated-gigabyte": _bomb,
    "million-members": lambda: _listing(1_000_000),
    "290000-members": lambda: _listing(290_000),
    "400000-members-hidden": lambda: _listing(400_000, hidden=True),
}
LARGE: dict[str, Callable[[], bytes]] = {
    "4-million-lists": lambda: _first(b"](" + b"]" * 4_000_000 + b"e"),
    "4-million-dictionaries": lambda: _first(b"](" + b"}" * 4_000_000 + b"e"),
    "million-objects": lambda: _first(CONFIG.raw + b"q\x000](" + b"h\x00)R" * 1_500_000 + b"e"),
    "million-texts": lambda: _first(b"](" + b"\x8c\x04\xf0\x9f\x98\x80" * 4_000_000 + b"e"),
    "million-memos": lambda: _first(b"N" + b"\x94" * 4_900_000),
}


def _said(files: dict[str, Callable[[], bytes]], folder: Path) -> dict[str, str]:
    paths = {}
    for name, make in files.items():
        paths[name] = folder / f"{name}.pth"
        paths[name].write_bytes(make())
        assert paths[name].stat().st_size < 1 << 26
    found = outcomes(paths, save_good(folder / "good.pth"), ROOM)
    for path in paths.values():
        path.unlink()
    assert not [path for path in folder.iterdir() if path.name != "good.pth"]
    return found


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _said(FILES, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def said_of_large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return _said(LARGE, tmp_path_factory.mktemp("large"))


def _check(name: str, said: str) -> None:
    assert not said.startswith("!"), said
    if said != "read":
        path = said.partition(": expected ")[0]
        assert path.endswith(f"{name}.pth")
        check_refusal(Path(path), said)


@pytest.mark.parametrize("name", FILES)
def test_small_files_stay_small(name: str, said: dict[str, str]) -> None:
    _check(name, said[name])


def test_a_hidden_length_does_not_pass_for_a_short_one(said: dict[str, str]) -> None:
    assert "as torch.save writes it" in said["400000-members-hidden"], "the list was read before it was bounded"


@pytest.mark.parametrize("name", LARGE)
def test_millions_of_values_stay_within_the_same_room(name: str, said_of_large: dict[str, str]) -> None:
    _check(name, said_of_large[name])


def test_the_limit_is_felt(tmp_path: Path) -> None:
    """The process does end when a whole and honest file needs more room than there is."""
    numbers = 1 << 18
    state = ordered({"a": tensor((numbers,), (1,), storage=stored(count=numbers))})
    path = tmp_path / "m.pth"
    path.write_bytes(zipped(usual(whole(recbole(state_dict=state)), {"0": bytes(4 * numbers)})))
    good = save_good(tmp_path / "good.pth")
    assert outcomes({"m": path}, good, 64 << 20) == {"m": "read"}
    assert outcomes({"m": path}, good, 0)["m"] != "read"
