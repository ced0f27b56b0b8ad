"""Files as `torch.save` and RecBole write them, and as an attacker would: by opcodes, with no code of recaudit."""

from __future__ import annotations

import struct
import sys
import types
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

PROTO = b"\x80\x04"
USERS, ITEMS, DIM = 4, 5, 2

SETTINGS: dict[str, Any] = {
    "model": "LightGCN", "seed": 2020, "epochs": 3, "embedding_size": DIM, "n_layers": 2, "reg_weight": 1e-05,
    "require_pow": False, "learning_rate": 0.001, "train_batch_size": 16, "valid_metric": "NDCG@3",
    "metric_decimal_place": 4,
    "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "RO", "group_by": "user", "mode": "full"},
}  # fmt: skip
"""A configuration of RecBole's, as far as it is read."""


@dataclass(frozen=True)
class Op:
    """Opcodes that leave one value on the stack."""

    raw: bytes

    def __add__(self, more: bytes) -> Op:
        return Op(self.raw + more)


def spell(value: Any) -> bytes:
    """Opcodes of a plain value; an `Op` in it stays as it is. Nothing is memoized."""
    match value:
        case Op():
            return value.raw
        case None:
            return b"N"
        case bool():
            return b"\x88" if value else b"\x89"
        case int():
            return _integer(value)
        case float():
            return b"G" + struct.pack(">d", value)
        case str():
            raw = value.encode("utf-8", "surrogatepass")
            return b"X" + struct.pack("<I", len(raw)) + raw
        case bytes():
            return b"B" + struct.pack("<I", len(value)) + value
        case tuple():
            return b"(" + b"".join(map(spell, value)) + b"t"
        case list():
            return b"](" + b"".join(map(spell, value)) + b"e"
        case dict():
            return b"}(" + b"".join(spell(name) + spell(inner) for name, inner in value.items()) + b"u"
    raise TypeError(type(value))


def _integer(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return (b"\x8a" + bytes([len(raw)]) if len(raw) < 256 else b"\x8b" + struct.pack("<i", len(raw))) + raw


def whole(value: Any) -> bytes:
    """A whole pickle of it."""
    return PROTO + spell(value) + b"."


def named(module: str, name: str) -> Op:
    """What the name stands for (STACK_GLOBAL)."""
    return Op(spell(module) + spell(name) + b"\x93")


def called(function: Op, *args: Any) -> Op:
    """REDUCE."""
    return Op(function.raw + spell(args) + b"R")


def made(kind: Op, *args: Any) -> Op:
    """NEWOBJ."""
    return Op(kind.raw + spell(args) + b"\x81")


def built(value: Op, state: Any) -> Op:
    """BUILD."""
    return Op(value.raw + spell(state) + b"b")


ORDERED = called(named("collections", "OrderedDict"))
REBUILD = named("torch._utils", "_rebuild_tensor_v2")
CONFIG = named("recbole.config.configurator", "Config")


def ordered(items: Mapping[Any, Any]) -> Op:
    return ORDERED + b"(" + b"".join(spell(name) + spell(value) for name, value in items.items()) + b"u"


def stored(kind: Any = "FloatStorage", key: Any = "0", count: Any = 4) -> Op:
    """BINPERSID of a storage."""
    kind = named("torch", kind) if isinstance(kind, str) else kind
    return Op(spell(("storage", kind, key, "cpu", count)) + b"Q")


def tensor(shape: Any = (2, 2), stride: Any = (2, 1), offset: Any = 0, storage: Op | None = None) -> Op:
    return called(REBUILD, storage or stored(), offset, shape, stride, False, ORDERED)


def config(settings: Any = None) -> Op:
    """RecBole's configuration object."""
    return built(made(CONFIG), {"final_config_dict": SETTINGS if settings is None else settings})


def recbole(**parts: Any) -> Op:
    """What RecBole's trainer saves; parts may be replaced, or left out by `...`."""
    content: dict[str, Any] = {
        "config": config(), "epoch": 2, "cur_step": 0, "best_valid_score": 0.25,
        "state_dict": ordered({"user_embedding.weight": tensor(), "item_embedding.weight": tensor()}),
        "other_parameter": {"restore_user_e": None, "restore_item_e": None}, "optimizer": {},
    }  # fmt: skip
    return Op(spell({name: value for name, value in (content | parts).items() if value is not ...}))


FOUR = struct.pack("<4f", 0.5, -0.5, 0.25, 1.0)


@dataclass
class Member:
    """A member of a zip, with fields that may lie; offset and sizes as they are if None."""

    name: bytes
    data: bytes = b""
    flags: int = 0x800
    method: int = 0
    version: int = 20
    size: int | None = None
    packed: int | None = None
    offset: int | None = None
    extra: bytes = b""
    crc: int | None = None
    local_name: bytes | None = None


@dataclass
class End:
    """The end of a zip, with fields that may lie."""

    count: int | None = None
    size: int | None = None
    offset: int | None = None
    comment: bytes = b""
    before: bytes = field(default=b"", repr=False)
    """Put between list of members and end."""


def zipped(members: Sequence[Member], end: End | None = None) -> bytes:
    """A zip byte by byte."""
    end = end or End()
    body, listing = bytearray(), bytearray()
    for m in members:
        crc = zlib.crc32(m.data) if m.crc is None else m.crc
        size = len(m.data) if m.size is None else m.size
        packed = len(m.data) if m.packed is None else m.packed
        head = struct.pack("<5H3I", m.version, m.flags, m.method, 0, 0x21, crc, packed, size)
        place = len(body) if m.offset is None else m.offset
        listing += b"PK\x01\x02" + struct.pack("<H", 20) + head
        listing += struct.pack("<5H2I", len(m.name), len(m.extra), 0, 0, 0, 0, place) + m.name + m.extra
        own = m.name if m.local_name is None else m.local_name
        body += b"PK\x03\x04" + head + struct.pack("<2H", len(own), 0) + own + m.data
    start = len(body) if end.offset is None else end.offset
    length = len(listing) if end.size is None else end.size
    count = min(len(members), 0xFFFF) if end.count is None else end.count
    last = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, count, count, length, start, len(end.comment)) + end.comment
    return bytes(body + listing + end.before + last)


def wide_end(count: int, size: int, offset: int, reloff: int = 0) -> bytes:
    """The end record of 64 bits and its locator, which stand before the ordinary end."""
    record = b"PK\x06\x06" + struct.pack("<Q2H2I4Q", 44, 45, 45, 0, 0, count, count, size, offset)
    return record + b"PK\x06\x07" + struct.pack("<IQI", 0, reloff, 1)


def usual(pickled: bytes, storages: Mapping[str, bytes] | None = None, byteorder: bytes = b"little") -> list[Member]:
    """The members that torch.save writes."""
    found = [Member(b"archive/data.pkl", pickled), Member(b"archive/byteorder", byteorder)]
    for key, raw in ({"0": FOUR} if storages is None else storages).items():
        found.append(Member(f"archive/data/{key}".encode(), raw))
    return [*found, Member(b"archive/version", b"3\n")]


def write(path: Path, content: Op | bytes, storages: Mapping[str, bytes] | None = None) -> Path:
    """A file around a pickle, whole but for what the pickle says."""
    pickled = content if isinstance(content, bytes) else whole(content)
    path.write_bytes(zipped(usual(pickled, storages)))
    return path


def members_of(path: Path) -> dict[str, bytes]:
    """Of a file by torch.save, without the folder."""
    with zipfile.ZipFile(path) as file:
        return {name.split("/", 1)[1]: file.read(name) for name in file.namelist()}


@contextmanager
def recbole_there() -> Iterator[type]:
    """Pretend that RecBole is installed: its class Config."""
    names = ("recbole", "recbole.config", "recbole.config.configurator")
    kind = type("Config", (), {"__module__": names[-1]})
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules[names[-1]].Config = kind  # type: ignore[attr-defined]
    try:
        yield kind
    finally:
        for name in names:
            del sys.modules[name]


def save_good(path: Path, *, old: bool = False, **settings: Any) -> Path:
    """A LightGCN of RecBole's by torch's own torch.save."""
    draw = np.random.default_rng(0)
    with recbole_there() as kind:
        setting = kind()
        setting.final_config_dict = {**SETTINGS, **settings}
        state = OrderedDict(
            (f"{side}_embedding.weight", torch.from_numpy(draw.normal(size=(n + 1, DIM)).astype(np.float32)))
            for side, n in (("user", USERS), ("item", ITEMS))
        )
        content = {
            "config": setting, "epoch": 2, "cur_step": 0, "best_valid_score": np.float64(0.25), "state_dict": state,
            "other_parameter": {"restore_user_e": None, "restore_item_e": None},
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.001, "params": [0]}]},
        }  # fmt: skip
        torch.save(content, path, pickle_protocol=4, _use_new_zipfile_serialization=not old)
    return path
