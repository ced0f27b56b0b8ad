"""Zips and tensors from strangers: refused in one line unless they are what `torch.save` writes."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recaudit.recommenders.foreign.recbole import RecBole, read_recbole

from .asking import answer, quiet, refusal
from .crafting import (
    CONFIG,
    FOUR,
    End,
    Member,
    Op,
    members_of,
    named,
    ordered,
    recbole,
    save_good,
    stored,
    tensor,
    usual,
    whole,
    wide_end,
    write,
    zipped,
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = save_good(tmp_path_factory.mktemp("good") / "good.pth")
    read_recbole(path)
    return path


USUAL = usual(whole(recbole()))


def _also(*more: Member) -> bytes:
    return zipped([*USUAL, *more])


def _instead(place: int, **fields: Any) -> bytes:
    """The usual members, one of them with other fields."""
    members = usual(whole(recbole()))
    for name, value in fields.items():
        setattr(members[place], name, value)
    return zipped(members)


def _ended(**fields: Any) -> bytes:
    return zipped(USUAL, End(**fields))


def _renamed(name: bytes) -> bytes:
    return _also(Member(name, b"x"))


def _deflated() -> bytes:
    packer = zlib.compressobj(wbits=-15)
    raw = packer.compress(bytes(1 << 24)) + packer.flush()
    return _instead(2, method=8, data=raw, size=1 << 24, crc=zlib.crc32(bytes(1 << 24)))


_HUGE = struct.pack("<2HQQ", 1, 16, 1 << 62, 1 << 62)
_DECOY = int.from_bytes(b"PK\x06\x06", "little")  # in a field that nobody reads, it looks like a record of 64 bits
_WIDE = {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF}

ZIPS: dict[str, Callable[[], bytes]] = {
    "deflated": _deflated,
    "deflated-by-its-word-alone": lambda: _instead(0, method=8),
    "bzip2": lambda: _instead(0, method=12),
    "lzma": lambda: _instead(0, method=14),
    "unknown-method": lambda: _instead(0, method=99),
    "sizes-differ": lambda: _instead(2, packed=8),
    "larger-than-the-file": lambda: _instead(2, size=1 << 30, packed=1 << 30),
    "larger-by-64-bits": lambda: _instead(2, extra=_HUGE, **_WIDE),
    "64-bits-without-them": lambda: _instead(2, **_WIDE),
    "64-bits-cut": lambda: _instead(2, extra=_HUGE[:9], **_WIDE),
    "extra-cut": lambda: _instead(2, extra=b"\x01\x00\xff\xff"),
    "one-byte-more": lambda: _instead(2, size=17, packed=17),
    "overlapping": lambda: zipped([*USUAL, *(Member(b"archive/data/9%d" % n, offset=0, size=900) for n in range(99))]),
    "pickle-overlaps-itself": lambda: _instead(0, offset=10),
    "offset-after-the-end": lambda: _instead(0, offset=1 << 30),
    "offset-of-4-GB": lambda: _instead(0, offset=0xFFFFFFFE),
    "offset-near-the-end": lambda: _instead(0, offset=len(zipped(USUAL)) - 5),
    "offset-of-64-bits": lambda: _instead(0, offset=0xFFFFFFFF, extra=struct.pack("<2HQ", 1, 8, 1 << 63)),
    "wrong-crc": lambda: _instead(0, crc=1),
    "wrong-crc-of-storage": lambda: _instead(2, crc=1),
    "other-local-name": lambda: _instead(0, local_name=b"archive/data.pk1"),
    "encrypted": lambda: _instead(0, flags=0x801),
    "strongly-encrypted": lambda: _instead(0, flags=0x840),
    "masked": lambda: _instead(0, flags=0x2800 | 0x40),
    "patch-data": lambda: _instead(0, flags=0x820),
    "version-of-255": lambda: _instead(0, version=255),
    "name-not-utf-8": lambda: _renamed(b"archive/\xff\xfe"),
    "twice": lambda: _also(USUAL[0]),
    "twice-after-a-nul": lambda: _renamed(b"archive/data.pkl\0x"),
    "other-folder": lambda: _renamed(b"other/data.pkl"),
    "no-folder": lambda: _renamed(b"data.pkl"),
    "the-folder-itself": lambda: _renamed(b"archive/"),
    "absolute": lambda: _renamed(b"/etc/passwd"),
    "absolute-inside": lambda: _renamed(b"archive//etc/passwd"),
    "parent": lambda: _renamed(b"archive/../../x"),
    "parent-first": lambda: _renamed(b"../x"),
    "parent-last": lambda: _renamed(b"archive/x/.."),
    "backslash": lambda: _renamed(b"archive\\..\\x"),
    "backslash-inside": lambda: _renamed(b"archive/..\\..\\x"),
    "drive": lambda: _renamed(b"C:\\x"),
    "empty-name": lambda: _renamed(b""),
    "escapes-in-names": lambda: _renamed(b"\x1b[31m\n/x"),
    "name-of-60000": lambda: _renamed(b"n" * 60_000),
    "no-members": lambda: b"PK\x03\x04" + bytes(30) + zipped([]),
    "no-pickle": lambda: zipped(USUAL[1:]),
    "pickle-deeper": lambda: _instead(0, name=b"archive/x/data.pkl"),
    "no-storage": lambda: zipped([USUAL[0], USUAL[1]]),
    "big-endian": lambda: zipped(usual(whole(recbole()), byteorder=b"big")),
    "byteorder-of-nonsense": lambda: zipped(usual(whole(recbole()), byteorder=b"\x1b[31m")),
    "byteorder-too-long": lambda: zipped(usual(whole(recbole()), byteorder=b"little" * 9)),
    "list-larger-than-the-file": lambda: _ended(size=1 << 23),
    "list-of-2-GB": lambda: _ended(size=1 << 31),
    "list-of-4-GB": lambda: _ended(size=0xFFFFFFFF),
    "list-of-nothing": lambda: _ended(size=0),
    "list-cut": lambda: _ended(size=50),
    "list-elsewhere": lambda: _ended(offset=0),
    "list-after-the-end": lambda: _ended(offset=1 << 30),
    "64-bits-of-2-to-62": lambda: _ended(before=wide_end(5, 1 << 62, 0)),
    "64-bits-of-2-to-64": lambda: _ended(before=wide_end(5, (1 << 64) - 1, (1 << 64) - 1)),
    "64-bits-hidden": lambda: _ended(before=wide_end(5, 1 << 62, 0, _DECOY), comment=bytes(20)),
    "64-bits-hidden-by-less": lambda: _ended(before=wide_end(5, 1 << 31, 0, _DECOY), comment=bytes(20)),
    "64-bits-with-no-record": lambda: _ended(before=wide_end(5, 100, 0)[56:], size=0xFFFFFFFF),
    "end-in-the-comment": lambda: _ended(comment=b"PK\x05\x06"),
    "end-only": lambda: b"PK\x03\x04" + zipped([])[-22:],
    "head-only": lambda: b"PK\x03\x04",
    "empty": lambda: b"",
    "zeros": lambda: bytes(4096),
    "text": lambda: b"not a checkpoint\n" * 100,
    "after-other-bytes": lambda: b"#!/bin/sh\n" + zipped(USUAL),
}


@pytest.mark.parametrize("name", ZIPS)
def test_zips_that_torch_does_not_write_are_refused(name: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    path.write_bytes(ZIPS[name]())
    with quiet(tmp_path):
        refusal(path)


@pytest.mark.parametrize("part", range(50))
def test_a_truncated_file_is_refused_wherever_it_ends(part: int, good: Path, tmp_path: Path) -> None:
    raw = good.read_bytes()
    path = tmp_path / "m.pth"
    path.write_bytes(raw[: len(raw) * part // 50])
    with quiet(tmp_path):
        refusal(path)


@pytest.mark.parametrize("part", range(50))
def test_a_truncated_pickle_in_a_whole_zip_is_refused(part: int, good: Path, tmp_path: Path) -> None:
    raw = members_of(good)["data.pkl"]
    path = write(tmp_path / "m.pth", raw[: len(raw) * part // 50])
    with quiet(tmp_path):
        refusal(path)


def _sparse(path: Path, start: bytes, size: int) -> None:
    path.write_bytes(start)
    os.truncate(path, size)


PATHS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda path, good: path.symlink_to(good),
    "link-to-itself": lambda path, good: path.symlink_to(path),
    "link-to-nowhere": lambda path, good: path.symlink_to(path.parent / "nowhere"),
    "folder": lambda path, good: path.mkdir(),
    "pipe": lambda path, good: os.mkfifo(path),
    "nothing": lambda path, good: None,
    "sparse-beyond-the-limit": lambda path, good: _sparse(path, b"PK\x03\x04", 1 << 40),
    "sparse-of-30-GB": lambda path, good: _sparse(path, good.read_bytes(), 30 << 30),
}


@pytest.mark.parametrize("name", PATHS)
def test_paths_that_are_no_whole_file_are_refused(name: str, good: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    PATHS[name](path, good)
    with quiet(tmp_path):
        refusal(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_devices_are_refused_unopened(device: str, good: Path, tmp_path: Path) -> None:
    with quiet(tmp_path):
        refusal(Path(device))


def test_the_name_of_the_file_comes_out_printable(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\n\x1b[31m\u202eb.pth"
    path.write_bytes(b"x")
    with pytest.raises(Exception, match="expected") as caught:
        read_recbole(path)
    assert str(caught.value).isprintable()


def _one(value: Op) -> Op:
    return recbole(state_dict=ordered({"good": tensor(), "a": value}))


def _stored(**parts: Any) -> Op:
    return _one(tensor(storage=stored(**parts)))


TENSORS: dict[str, Op] = {
    "rows-outside": _one(tensor((3, 2))),
    "columns-outside": _one(tensor((2, 3))),
    "offset-outside": _one(tensor(offset=1)),
    "offset-far-outside": _one(tensor((1, 1), offset=1 << 40)),
    "stride-outside": _one(tensor(stride=(3, 1))),
    "stride-far-outside": _one(tensor(stride=(1 << 47, 1))),
    "expanded-by-stride-0": _one(tensor((1 << 40, 2), (0, 1))),
    "expanded-a-little": _one(tensor((5, 1), (0, 1))),
    "expanded-in-eight-ways": _one(tensor((1 << 20,) * 8, (0,) * 8)),
    "nine-ways": _one(tensor((1,) * 9, (1,) * 9)),
    "empty-but-huge": _one(tensor((1 << 40, 1 << 40, 0), (0, 0, 0))),
    "empty-but-huge-in-eight-ways": _one(tensor((0,) + ((1 << 47),) * 7, (0,) * 8)),
    "negative-size": _one(tensor((-2, 2))),
    "negative-sizes": _one(tensor((-2, -2))),
    "negative-stride": _one(tensor(stride=(-2, 1))),
    "negative-offset": _one(tensor(offset=-1)),
    "size-of-2-to-63": _one(tensor(((1 << 63) - 1, 2))),
    "true-as-size": _one(tensor((True, True))),
    "true-as-stride": _one(tensor(stride=(2, True))),
    "false-as-offset": _one(tensor(offset=False)),
    "float-as-size": _one(tensor((2.0, 2))),
    "NaN-as-size": _one(tensor((float("nan"), 2))),
    "text-as-size": _one(tensor(("2", 2))),
    "None-as-offset": _one(tensor(offset=None)),
    "list-as-shape": _one(tensor([2, 2])),
    "shorter-stride": _one(tensor(stride=(1,))),
    "number-as-shape": _one(tensor(4, 1)),
    "text-as-storage": _one(tensor(storage=Op(b"X\x01\x00\x00\x000"))),
    "tensor-as-storage": _one(tensor(storage=tensor())),
    "unknown-type": _stored(kind="EvilStorage"),
    "complex": _stored(kind="ComplexFloatStorage"),
    "quantised": _stored(kind="QInt8Storage"),
    "untyped": _stored(kind=named("torch.storage", "UntypedStorage")),
    "text-as-type": _stored(kind=Op(b"X\x01\x00\x00\x00f")),
    "rebuild-as-type": _stored(kind=named("torch._utils", "_rebuild_tensor_v2")),
    "OrderedDict-as-type": _stored(kind=named("collections", "OrderedDict")),
    "wider-type-than-its-bytes": _stored(kind="DoubleStorage"),
    "narrower-type-than-its-bytes": _stored(kind="HalfStorage"),
    "fewer-numbers-than-its-bytes": _one(tensor((1, 2), storage=stored(count=3))),
    "more-numbers-than-its-bytes": _stored(count=5),
    "2-to-62-numbers": _stored(count=1 << 62),
    "no-numbers": _stored(count=0),
    "negative-numbers": _stored(count=-4),
    "true-as-count": _stored(count=True),
    "float-as-count": _stored(count=4.0),
    "missing-key": _stored(key="7"),
    "empty-key": _stored(key=""),
    "number-as-key": _stored(key=0),
    "bytes-as-key": _stored(key=b"0"),
    "key-of-the-pickle": _stored(key="../data.pkl"),
    "key-outside": _stored(key="../../../../etc/hostname"),
    "key-absolute": _stored(key="/etc/hostname"),
    "key-with-a-slash": _stored(key="./0"),
    "key-with-a-nul": _stored(key="0\0"),
    "key-of-10000": _stored(key="0" * 10_000),
    "id-of-four": _one(tensor(storage=Op(whole(("storage", CONFIG, "0", "cpu"))[2:-1] + b"Q"))),
    "id-of-six": _one(tensor(storage=Op(whole(("storage", CONFIG, "0", "cpu", 4, 1))[2:-1] + b"Q"))),
    "id-of-other-kind": _one(tensor(storage=Op(whole(("module", CONFIG, "0", "cpu", 4))[2:-1] + b"Q"))),
    "id-is-a-text": _one(tensor(storage=Op(b"X\x01\x00\x00\x000Q"))),
    "id-is-None": _one(tensor(storage=Op(b"NQ"))),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_do_not_fit_their_storage_are_refused(name: str, good: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "m.pth", TENSORS[name])
    with quiet(tmp_path):
        refusal(path)


_NOT_FINITE = {
    "FloatStorage": [struct.pack("<f", x) for x in (float("nan"), float("inf"), -float("inf"))],
    "DoubleStorage": [struct.pack("<d", x) for x in (float("nan"), float("inf"), -float("inf"))],
    "HalfStorage": [struct.pack("<H", x) for x in (0x7E00, 0x7C00, 0xFC00, 0x7C01)],
    "BFloat16Storage": [struct.pack("<H", x) for x in (0x7FC0, 0x7F80, 0xFF80, 0x7F81)],
}
_WIDTH = {"FloatStorage": 4, "DoubleStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2}


@pytest.mark.parametrize(
    ("kind", "raw"), [(kind, raw) for kind, raws in _NOT_FINITE.items() for raw in raws], ids=lambda part: str(part)
)
def test_weights_that_are_not_finite_are_refused(kind: str, raw: bytes, good: Path, tmp_path: Path) -> None:
    op = recbole(state_dict=ordered({"a": tensor(storage=stored(kind))}))
    path = write(tmp_path / "m.pth", op, {"0": bytes(3 * _WIDTH[kind]) + raw})
    with quiet(tmp_path):
        said = refusal(path)
    assert "NaN or infinite" in said and "a" in said
    whole_file = write(tmp_path / "n.pth", op, {"0": bytes(4 * _WIDTH[kind])})
    assert isinstance(answer(whole_file), RecBole)


def test_restored_vectors_are_checked_as_the_weights_are(good: Path, tmp_path: Path) -> None:
    pair = {"restore_user_e": tensor(), "restore_item_e": tensor(storage=stored(key="1"))}
    raw = FOUR[:12] + struct.pack("<f", float("nan"))
    path = write(tmp_path / "m.pth", recbole(other_parameter=pair), {"0": FOUR, "1": raw})
    with quiet(tmp_path):
        assert "NaN" in refusal(path)


def test_tensors_may_share_a_storage_overlap_and_be_turned(good: Path, tmp_path: Path) -> None:
    state = {
        "whole": tensor(), "turned": tensor(stride=(1, 2)), "row": tensor((2,), (1,), 2), "same": tensor((4,), (0,)),
        "scalar": tensor((), (), 3), "none": tensor((0, 2), (2, 1)), "wide": tensor((1, 4), (1 << 47, 1)),
    }  # fmt: skip
    path = write(tmp_path / "m.pth", recbole(state_dict=ordered(state)))
    with quiet(tmp_path):
        found = answer(path)
    assert isinstance(found, RecBole)
    base = np.frombuffer(FOUR, np.float32)
    expected = {
        "whole": base.reshape(2, 2), "turned": base.reshape(2, 2).T, "row": base[2:], "same": base[[0, 0, 0, 0]],
        "scalar": base[3], "none": np.zeros((0, 2)), "wide": base[None],
    }  # fmt: skip
    for name, array in expected.items():
        assert found.state[name].tolist() == array.tolist() and found.state[name].shape == array.shape
        assert not np.shares_memory(found.state[name], found.state["whole"]) or name == "whole"
