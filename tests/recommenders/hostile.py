"""Damaged and hostile checkpoints, made from a good one: every one of them must be refused in one line.

    for name, path in hostile_checkpoints(tmp_path, good):
        ...
    assert not payload_ran(tmp_path)

Written against the format as documented, with nothing of recaudit's own reader or writer, so that a fault shared by
both does not hide.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import Any

import numpy as np

RECORD, WEIGHTS, IDS, EVENTS = "recaudit.json", "weights.safetensors", "ids.json", "events.safetensors"
PAYLOAD = "payload-ran"

Edit = Callable[[Path], None]
Json = dict[str, Any]


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, tmp_path: Path) -> None:
        self.command = f"touch '{tmp_path / PAYLOAD}'"

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def payload_ran(tmp_path: Path) -> bool:
    """Did any pickle's payload run?"""
    return (tmp_path / PAYLOAD).exists()


def reseal(folder: Path, change: Callable[[Json], object] = lambda record: None) -> None:
    """Change the record and make every digest right again, as an attacker would."""
    record = json.loads((folder / RECORD).read_text("utf-8"))
    for name in record["files"]:
        if (folder / name).is_file():
            record["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change(record)
    rest = {name: value for name, value in record.items() if name != "digest"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    record["digest"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / RECORD).write_text(json.dumps(record, indent=1), "utf-8")


def read_tensors(path: Path) -> tuple[Json, bytes]:
    """Header and content of a safetensors file."""
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_tensors(path: Path, header: Json | bytes, content: bytes) -> None:
    """A safetensors file with any header."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + content)


def hostile_checkpoints(tmp_path: Path, good: Path, only: Container[str] | None = None) -> Iterator[tuple[str, Path]]:
    """Name and path of each variant, or of those named; each is made under `tmp_path` and removed before the next."""
    for kind, variants in (
        ("copy", _copies(good)),
        ("files", _files(tmp_path)),
        ("record", _records()),
        ("ids", _ids()),
        ("weights", _tensors(good)),
        ("events", _events()),
        ("tables", _tables()),
    ):
        for name, edit in variants.items():
            if only is not None and f"{kind}-{name}" not in only:
                continue
            place = tmp_path / f"{kind}-{name}"
            shutil.copytree(good, place)
            edit(place)
            yield f"{kind}-{name}", place
            shutil.rmtree(place)
    for name, make in _foreign(tmp_path, good).items():
        if only is not None and f"foreign-{name}" not in only:
            continue
        place = tmp_path / f"foreign-{name}"
        made = make(place) or place
        yield f"foreign-{name}", made
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _on_record(change: Callable[[Json], object]) -> Edit:
    return lambda folder: reseal(folder, change)


def _set(path: str, value: object) -> Edit:
    """Set a dotted field of the record."""

    def change(record: Json) -> None:
        *way, last = path.split("/")
        for part in way:
            record = record[part]
        record[last] = value

    return _on_record(change)


def _replace(name: str, content: bytes, *, sealed: bool = True) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(content)
        if sealed and name != RECORD:
            reseal(folder)

    return edit


def _copies(good: Path) -> dict[str, Edit]:
    """Accidents of copying: every file truncated, flipped, lengthened, missing."""
    variants: dict[str, Edit] = {}
    for path in sorted(good.iterdir()):
        name, size = path.name, path.stat().st_size
        for cut in (0, 1, 7, 8, 9, size // 3, size // 2, size - 2, size - 1):
            variants[f"{name}-cut-at-{cut}"] = lambda f, n=name, c=cut: os.truncate(f / n, c)
        for place in (0, 1, 8, size // 4, size // 2, size - 2):
            variants[f"{name}-bit-{place}"] = lambda f, n=name, p=place: _flip(f / n, p)
        variants[f"{name}-longer"] = lambda f, n=name: (f / n).write_bytes((f / n).read_bytes() + b"\x00")
        variants[f"{name}-missing"] = lambda f, n=name: (f / n).unlink()
    return variants


def _flip(path: Path, place: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[place] ^= 0x10
    path.write_bytes(raw)


def _files(tmp_path: Path) -> dict[str, Edit]:
    """Things that are no plain files, and files that nobody listed."""
    secret = tmp_path / "passwd-like"
    secret.write_text("root:x:0:0:root:/root:/bin/sh\n")

    def link(name: str, to: Callable[[Path], Path | str]) -> Edit:
        def edit(folder: Path) -> None:
            goal = to(folder / name)
            (folder / name).unlink()
            (folder / name).symlink_to(goal)

        return edit

    def instead(name: str, make: Callable[[Path], object]) -> Edit:
        def edit(folder: Path) -> None:
            (folder / name).unlink()
            make(folder / name)

        return edit

    def aside(path: Path) -> Path:
        return Path(shutil.copy(path, path.parent / f".{path.name}.aside"))

    def sock(path: Path) -> None:
        here = Path.cwd()
        os.chdir(path.parent)  # socket paths are short
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.bind(path.name)
        finally:
            os.chdir(here)

    variants: dict[str, Edit] = {"unlisted-code": lambda f: (f / "setup.py").write_text("raise SystemExit\n") and None}
    variants["unlisted-folder"] = lambda f: (f / "more").mkdir()
    for name in (RECORD, WEIGHTS, IDS, EVENTS):
        variants[f"{name}-link-to-secret"] = link(name, lambda path: secret)
        variants[f"{name}-link-to-itself"] = link(name, lambda path: path.name)
        variants[f"{name}-link-to-good-copy"] = link(name, aside)
        variants[f"{name}-pipe"] = instead(name, os.mkfifo)
        variants[f"{name}-folder"] = instead(name, Path.mkdir)
        variants[f"{name}-sparse"] = lambda f, n=name: os.truncate(f / n, 1 << 40)
        if os.geteuid():
            variants[f"{name}-no-permission"] = lambda f, n=name: (f / n).chmod(0)
    variants["weights-socket"] = instead(WEIGHTS, sock)
    variants["weights-null-device"] = link(WEIGHTS, lambda path: os.devnull)
    variants["weights-endless-device"] = link(WEIGHTS, lambda path: "/dev/zero")
    return variants


def _records() -> dict[str, Edit]:
    """recaudit.json: bombs, wrong fields, unknown things."""
    bomb = b"[" * 50_000_000

    def text(old: str, new: str) -> Edit:
        """Change the text itself, for what a JSON writer would not write."""

        def edit(folder: Path) -> None:
            raw = (folder / RECORD).read_text("utf-8")
            assert old in raw
            (folder / RECORD).write_text(raw.replace(old, new, 1), "utf-8")

        return edit

    def nested(depth: int) -> Any:
        value: Any = []
        for _ in range(depth):
            value = [value]
        return value

    def encoded(encoding: str) -> Edit:
        return lambda f: (f / RECORD).write_bytes((f / RECORD).read_text("utf-8").encode(encoding)) and None

    version = '"format_version": 1,'
    edits: dict[str, Edit] = {
        "bracket-bomb": _replace(RECORD, bomb),
        "brace-bomb": _replace(RECORD, b'{"a":' * 100_000),
        "empty-object": _replace(RECORD, b"{}"),
        "list": _replace(RECORD, b"[1]"),
        "null": _replace(RECORD, b"null"),
        "html": _replace(RECORD, b"<!doctype html><title>404</title>"),
        "lfs-pointer": _replace(RECORD, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"),
        "byte-order-mark": encoded("utf-8-sig"),
        "utf-16": encoded("utf-16"),
        "latin-1": _replace(RECORD, '{"name": "caf\xe9"}'.encode("latin-1")),
        "unsealed-edit": text('"seed": ', '"seed": 1'),
        "key-twice": text(version, version + version),
        "nan": text(version, version + '"extra": NaN,'),
        "infinity": text(version, version + '"extra": -Infinity,'),
        "too-large-a-float": text(version, version + '"extra": 1e400,'),
        "endless-integer": text(version, version + f'"extra": {"9" * 5000},'),
        "newer": _set("format_version", 2),
        "version-zero": _set("format_version", 0),
        "version-text": _set("format_version", "1"),
        "version-true": _set("format_version", True),
        "version-huge": _set("format_version", 10**30),
        "unknown-field": _set("hook", "import os"),
        "no-digest": lambda f: _unsealed(f, lambda record: record.pop("digest")),
        "wrong-digest": lambda f: _unsealed(f, lambda record: record.update(digest="0" * 64)),
        "unknown-model": _set("recipe/model", "lightgnc"),
        "model-is-a-path": _set("recipe/model", "../../evil"),
        "model-is-code": _set("recipe/model", "os:system"),
        "model-with-escapes": _set("recipe/model", "x\x1b[2J\nOK: passed"),
        "model-right-to-left": _set("recipe/model", "\u202eesae\u2028ok"),
        "model-is-a-list": _set("recipe/model", ["mf"]),
        "config-unknown-field": _set("recipe/config/hook", 1),
        "config-deep": _set("recipe/config/hook", nested(900)),
        "config-long": _set("recipe/config/hook", "x" * 500_000),
        "config-huge-number": _set("recipe/config/hook", 10**4000),
        "config-odd-key": _set("recipe/config/\ud800\n", 1),
        "config-is-a-list": _set("recipe/config", []),
        "epochs-negative": _set("recipe/epochs", -1),
        "epochs-fraction": _set("recipe/epochs", 1.5),
        "seed-huge": _set("seed", 2**70),
        "seed-text": _set("seed", "0; rm -rf"),
        "no-users": _set("users", 0),
        "negative-users": _set("users", -1),
        "more-users": lambda f: reseal(f, lambda record: record.update(users=record["users"] + 1)),
        "fewer-items": lambda f: reseal(f, lambda record: record.update(items=record["items"] - 1)),
        "items-beyond-int32": _set("items", 2**31),
        "most-users": _set("users", 2**31 - 1),
        "metric-text": _set("metrics/ndcg@20", "good"),
        "metric-named-badly": _set("metrics/__import__('os')", 0.5),
        "metric-at-a-billion": _set("metrics/ndcg@1000000000", 0.5),
        "seconds-negative": _set("fit_seconds", -1.0),
        "split-two-lines": _set("split/recipe", "ratio\nOK"),
        "part-missing": _on_record(lambda record: record["split"].pop("valid")),
        "part-more-events": _set("split/train/events", 10**9),
        "part-other-fingerprint": _set("split/train/fingerprint", "0" * 64),
        "fingerprint-short": _set("split/test/fingerprint", "0" * 63),
        "files-traversal": _on_record(lambda record: record["files"].update({"../../etc/passwd": "0" * 64})),
        "files-absolute": _on_record(lambda record: record["files"].update({"/etc/passwd": "0" * 64})),
        "files-without-weights": _on_record(lambda record: record["files"].pop(WEIGHTS)),
        "files-without-ids": _on_record(lambda record: record["files"].pop(IDS)),
        "files-without-events": _on_record(lambda record: record["files"].pop(EVENTS)),
        "files-wrong-digest": _set(f"files/{WEIGHTS}", "0" * 64),
        "files-not-hex": _set(f"files/{WEIGHTS}", "sha256:unknown"),
        "files-is-null": _set("files", None),
    }
    return edits


def _unsealed(folder: Path, change: Callable[[Json], object]) -> None:
    record = json.loads((folder / RECORD).read_text("utf-8"))
    change(record)
    (folder / RECORD).write_text(json.dumps(record), "utf-8")


def _ids() -> dict[str, Edit]:
    """ids.json, with every digest right."""

    def change(act: Callable[[Json], object]) -> Edit:
        def edit(folder: Path) -> None:
            found = json.loads((folder / IDS).read_text("utf-8"))
            act(found)
            (folder / IDS).write_text(json.dumps(found), "utf-8")
            reseal(folder)

        return edit

    def put(value: object) -> Edit:
        return change(lambda found: found["user_ids"].__setitem__(0, value))

    return {
        "twice": change(lambda found: found["item_ids"].__setitem__(1, found["item_ids"][0])),
        "one-less": change(lambda found: found["user_ids"].pop()),
        "one-more": change(lambda found: found["item_ids"].append("one more")),
        "swapped": change(lambda found: found.update(user_ids=found["item_ids"], item_ids=found["user_ids"])),
        "reordered": change(lambda found: found["user_ids"].reverse()),
        "number": put(1),
        "null": put(None),
        "list": put([]),
        "lone-surrogate": put("\ud800"),
        "nul": put("a\x00"),
        "very-long": put("x" * 1_000_000),
        "other-key": change(lambda found: found.update(hook=1)),
        "no-items": change(lambda found: found.pop("item_ids")),
        "text-for-list": change(lambda found: found.update(user_ids="u1,u2")),
        "bracket-bomb": _replace(IDS, b"[" * 50_000_000),
        "list-bomb": _replace(IDS, b"[" + b"[]," * 300_000 + b"[]]"),
        "key-twice": _replace(IDS, b'{"user_ids":[],"user_ids":[],"item_ids":[]}'),
        "not-utf-8": _replace(IDS, b'{"user_ids":["\xff"],"item_ids":[]}'),
    }


def _tensors(good: Path) -> dict[str, Edit]:
    """weights.safetensors, with every digest right unless the name says otherwise."""
    header, content = read_tensors(good / WEIGHTS)
    header.pop("__metadata__", None)
    name = max((n for n, entry in header.items() if entry["dtype"] == "F32"), key=lambda n: len(header[n]["shape"]))
    entry = header[name]
    start, stop = entry["data_offsets"]

    def head(new: Json | bytes, data: bytes = content) -> Edit:
        def edit(folder: Path) -> None:
            write_tensors(folder / WEIGHTS, new, data)
            reseal(folder)

        return edit

    def field(key: str, value: object) -> Edit:
        return head({**header, name: {**entry, key: value}})

    def value(number: float, place: int) -> Edit:
        numbers = np.frombuffer(content[start:stop], "<f4").copy()
        numbers[place] = number
        return head(header, content[:start] + numbers.tobytes() + content[stop:])

    def moved(entry: Json, by: int) -> Json:
        return {**entry, "data_offsets": [offset + by for offset in entry["data_offsets"]]}

    extra = {"dtype": "F32", "shape": [2], "data_offsets": [len(content), len(content) + 8]}
    shape = entry["shape"]
    dumped = json.dumps(header).encode()
    return {
        "nan": value(float("nan"), 0),
        "inf": value(float("inf"), -1),
        "minus-inf": value(float("-inf"), 0),
        "other-model's": _replace(WEIGHTS, _shuffled(header, content), sealed=False),
        "events-instead": lambda f: (shutil.copy(f / EVENTS, f / WEIGHTS), reseal(f))[1],
        "header-length-2^63": _replace(WEIGHTS, struct.pack("<Q", 2**63) + dumped + content),
        "header-length-2^64-1": _replace(WEIGHTS, struct.pack("<Q", 2**64 - 1) + dumped + content),
        "header-length-0": _replace(WEIGHTS, struct.pack("<Q", 0) + content),
        "header-too-long": head(dumped + b" " * (2 << 20)),
        "header-bracket-bomb": head(b"[" * 1_000_000),
        "header-brace-bomb": head(b'{"a":' * 100_000),
        "header-list": head(b"[]"),
        "header-not-utf-8": head(b'{"\xff\xfe": 1}'),
        "header-key-twice": head(dumped[:-1] + b"," + dumped[1:]),
        "header-nan": head(dumped[:-1] + b',"a": NaN}'),
        "metadata": head({"__metadata__": {"hook": "import os"}, **header}),
        "no-tensors": head({}, b""),
        "tensor-missing": head({n: e for n, e in header.items() if n != name}),
        "tensor-more": head({**header, "more": extra}, content + bytes(8)),
        "tensor-odd-name": head({**header, "\x1b]0;x\x07\n": extra}, content + bytes(8)),
        "tensor-renamed": head({(n + "x" if n == name else n): e for n, e in header.items()}),
        "entry-null": head({**header, name: None}),
        "entry-more-keys": head({**header, name: {**entry, "hook": 1}}),
        "entry-fewer-keys": head({**header, name: {"dtype": "F32"}}),
        "dtype-other": field("dtype", "I32"),
        "dtype-double": field("dtype", "F64"),
        "dtype-unknown": field("dtype", "PY"),
        "dtype-list": field("dtype", ["F32"]),
        "shape-negative": field("shape", [-n for n in shape]),
        "shape-both-negative": field("shape", [-1, -(stop - start) // 4]),
        "shape-flat": field("shape", [(stop - start) // 4] if len(shape) > 1 else [1, *shape]),
        "shape-more-dims": field("shape", [*shape, 1]),
        "shape-many-dims": field("shape", [1] * 100_000),
        "shape-huge": field("shape", [2**62] * len(shape)),
        "shape-huger": field("shape", [10**300] * len(shape)),
        "shape-fraction": field("shape", [float(n) for n in shape]),
        "shape-true": field("shape", [True] * len(shape)),
        "shape-text": field("shape", "4,4"),
        "shape-reversed": field("shape", [*shape[:-1], shape[-1] + 1]),
        "offsets-reversed": field("data_offsets", [stop, start]),
        "offsets-beyond": field("data_offsets", [start + len(content), stop + len(content)]),
        "offsets-negative": field("data_offsets", [-4, stop - start - 4]),
        "offsets-huge": field("data_offsets", [2**63, 2**63 + stop - start]),
        "offsets-three": field("data_offsets", [start, stop, stop]),
        "offsets-unaligned": field("data_offsets", [start + 1, stop + 1]),
        "offsets-overlap": head({**header, "more": {**entry}}),
        "gap": head({n: moved(e, 8) for n, e in header.items()}, bytes(8) + content),
        "trailing": head(header, content + b"PK\x03\x04 something behind"),
        "short": head(header, content[:-4]),
    }


def _shuffled(header: Json, content: bytes) -> bytes:
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + content[4:] + content[:4]


def _events() -> dict[str, Edit]:
    """events.safetensors, with every digest right."""

    def change(name: str, act: Callable[[np.ndarray[Any, Any]], object], dtype: str) -> Edit:
        def edit(folder: Path) -> None:
            header, content = read_tensors(folder / EVENTS)
            start, stop = header[name]["data_offsets"]
            values = np.frombuffer(content[start:stop], dtype).copy()
            act(values)
            write_tensors(folder / EVENTS, header, content[:start] + values.tobytes() + content[stop:])
            reseal(folder)

        return edit

    def drop(name: str) -> Edit:
        def edit(folder: Path) -> None:
            header, content = read_tensors(folder / EVENTS)
            del header[name]
            write_tensors(folder / EVENTS, header, content)
            reseal(folder)

        return edit

    def every(number: int) -> Callable[[np.ndarray[Any, Any]], object]:
        return lambda values: values.__setitem__(0, number)

    return {
        "user-negative": change("user", every(-1), "<i4"),
        "user-beyond": change("user", every(2**31 - 1), "<i4"),
        "item-negative": change("item", every(-(2**31)), "<i4"),
        "item-beyond": change("item", every(10**6), "<i4"),
        "item-another": change("item", lambda values: values.__setitem__(0, (values[0] + 1) % 2), "<i4"),
        "part-unknown": change("part", every(3), "u1"),
        "part-moved": change("part", every(2), "u1"),
        "no-users": drop("user"),
        "no-parts": drop("part"),
        "weights-instead": lambda f: (shutil.copy(f / WEIGHTS, f / EVENTS), reseal(f))[1],
    }


def _tables() -> dict[str, Edit]:
    """items.csv, made anew if the good one has none, with every digest right."""

    def table(make: Callable[[int], str | bytes], columns: list[str] | None = None) -> Edit:
        def edit(folder: Path) -> None:
            record = json.loads((folder / RECORD).read_text("utf-8"))
            raw = make(record["items"])
            (folder / "items.csv").write_bytes(raw if isinstance(raw, bytes) else raw.encode())

            def list_it(record: Json) -> None:
                record["columns"]["items.csv"] = columns or ["title", "year"]
                record["files"]["items.csv"] = hashlib.sha256((folder / "items.csv").read_bytes()).hexdigest()

            reseal(folder, list_it)

        return edit

    head = '"title","year"\n'

    def unlisted(folder: Path) -> None:
        (folder / "items.csv").write_text(head)
        reseal(
            folder, lambda record: (record["files"].pop("items.csv", None), record["columns"].pop("items.csv", None))
        )

    return {
        "unlisted": unlisted,
        "empty": table(lambda n: ""),
        "a-row-less": table(lambda n: head + '"a","1"\n' * (n - 1)),
        "a-row-more": table(lambda n: head + '"a","1"\n' * (n + 1)),
        "a-field-more": table(lambda n: head + '"a","1","x"\n' * n),
        "fields-shifted": table(lambda n: head + '"a"\n"a","1","x"\n' + '"a","1"\n' * (n - 2)),
        "comma-bomb": table(lambda n: "," * 5_000_000),
        "return-bomb": table(lambda n: head + "\r" * 1_000_000),
        "blank-lines": table(lambda n: head + "\n" * n),
        "open-quote": table(lambda n: head + '"a","1"\n' * (n - 1) + '"a,1\n'),
        "not-utf-8": table(lambda n: head.encode() + b'"\xff","1"\n' * n),
        "other-columns": table(lambda n: head + '"a","1"\n' * n, ["title", "price"]),
        "column-twice": table(lambda n: '"a","a"\n' + '"a","1"\n' * n, ["a", "a"]),
        "many-columns": table(lambda n: head + '"a","1"\n' * n, [f"c{i}" for i in range(257)]),
        "column-number": table(lambda n: head + '"a","1"\n' * n, ["title", 1]),  # type: ignore[list-item]
        "a-pickle": lambda f: table(lambda n: pickle.dumps(Payload(f.parent)))(f),
    }


def _foreign(tmp_path: Path, good: Path) -> dict[str, Callable[[Path], Path | None]]:
    """What people and attackers give instead of a checkpoint folder."""
    evil = pickle.dumps(Payload(tmp_path))

    def torch_zip(compressed: bool = False, content: bytes = evil) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as file:
            file.writestr("archive/data.pkl", content)
            file.writestr("archive/version", "3\n")
        return buffer.getvalue()

    def file(suffix: str, content: bytes) -> Callable[[Path], Path | None]:
        def make(place: Path) -> Path:
            place.mkdir()
            path = place / f"model{suffix}"
            path.write_bytes(content)
            return path

        return make

    def folder(names: dict[str, bytes]) -> Callable[[Path], Path | None]:
        def make(place: Path) -> None:
            place.mkdir()
            for name, content in names.items():
                (place / name).write_bytes(content)

        return make

    def within(name: str, content: bytes) -> Callable[[Path], Path | None]:
        def make(place: Path) -> None:
            shutil.copytree(good, place)
            (place / name).write_bytes(content)
            reseal(place) if name != RECORD else None

        return make

    def link(goal: Path) -> Callable[[Path], Path | None]:
        return lambda place: place.symlink_to(goal)

    bomb = torch_zip(compressed=True, content=bytes(20_000_000))
    return {
        "pickle.pth": file(".pth", evil),
        "pickle.pkl": file(".pkl", evil),
        "pickle-protocol-0.pt": file(".pt", pickle.dumps(Payload(tmp_path), protocol=0)),
        "torch-zip.pth": file(".pth", torch_zip()),
        "zip-bomb.zip": file(".zip", bomb),
        "one-safetensors": file(".safetensors", (good / WEIGHTS).read_bytes()),
        "the-record-alone": file(".json", (good / RECORD).read_bytes()),
        "empty-file": file("", b""),
        "nothing": lambda place: None,
        "empty-folder": folder({}),
        "folder-of-pickle": folder({"model.pth": evil, "config.yaml": b"a: 1"}),
        "folder-of-texts": folder({"README.md": b"# a project", "main.py": b"raise SystemExit"}),
        "hugging-face": folder({"config.json": b"{}", "model.safetensors": (good / WEIGHTS).read_bytes()}),
        "weights-are-a-pickle": within(WEIGHTS, evil),
        "weights-are-an-old-pickle": within(WEIGHTS, pickle.dumps(Payload(tmp_path), protocol=0)),
        "weights-are-a-torch-zip": within(WEIGHTS, torch_zip()),
        "weights-are-a-zip-bomb": within(WEIGHTS, bomb),
        "record-is-a-pickle": within(RECORD, evil),
        "ids-are-a-pickle": within(IDS, evil),
        "events-are-a-pickle": within(EVENTS, evil),
        "pipe": lambda place: os.mkfifo(place),
        "link-to-nowhere": link(tmp_path / "nowhere"),
        "link-to-itself": lambda place: place.symlink_to(place),
        "endless-device": link(Path("/dev/zero")),
    }
