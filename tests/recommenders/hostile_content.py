"""Hostile content of a checkpoint's files, each with digests that are right unless its name says otherwise."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .forging import (
    EVENTS,
    IDS,
    RECORD,
    WEIGHTS,
    Edit,
    Json,
    Payload,
    on_record,
    read_tensors,
    replace_file,
    reseal,
    set_field,
    write_tensors,
)


def records() -> dict[str, Edit]:
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
        "bracket-bomb": replace_file(RECORD, bomb),
        "brace-bomb": replace_file(RECORD, b'{"a":' * 100_000),
        "empty-object": replace_file(RECORD, b"{}"),
        "list": replace_file(RECORD, b"[1]"),
        "null": replace_file(RECORD, b"null"),
        "html": replace_file(RECORD, b"<!doctype html><title>404</title>"),
        "lfs-pointer": replace_file(RECORD, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"),
        "byte-order-mark": encoded("utf-8-sig"),
        "utf-16": encoded("utf-16"),
        "latin-1": replace_file(RECORD, '{"name": "caf\xe9"}'.encode("latin-1")),
        "unsealed-edit": text('"seed": ', '"seed": 1'),
        "key-twice": text(version, version + version),
        "nan": text(version, version + '"extra": NaN,'),
        "infinity": text(version, version + '"extra": -Infinity,'),
        "too-large-a-float": text(version, version + '"extra": 1e400,'),
        "endless-integer": text(version, version + f'"extra": {"9" * 5000},'),
        "newer": set_field("format_version", 2),
        "version-zero": set_field("format_version", 0),
        "version-text": set_field("format_version", "1"),
        "version-true": set_field("format_version", True),
        "version-huge": set_field("format_version", 10**30),
        "unknown-field": set_field("hook", "import os"),
        "no-digest": lambda f: _unsealed(f, lambda record: record.pop("digest")),
        "wrong-digest": lambda f: _unsealed(f, lambda record: record.update(digest="0" * 64)),
        "unknown-model": set_field("recipe/model", "lightgnc"),
        "model-is-a-path": set_field("recipe/model", "../../evil"),
        "model-is-code": set_field("recipe/model", "os:system"),
        "model-with-escapes": set_field("recipe/model", "x\x1b[2J\nOK: passed"),
        "model-right-to-left": set_field("recipe/model", "\u202eesae\u2028ok"),
        "model-is-a-list": set_field("recipe/model", ["mf"]),
        "config-unknown-field": set_field("recipe/config/hook", 1),
        "config-deep": set_field("recipe/config/hook", nested(900)),
        "config-long": set_field("recipe/config/hook", "x" * 500_000),
        "config-huge-number": set_field("recipe/config/hook", 10**4000),
        "config-odd-key": set_field("recipe/config/\ud800\n", 1),
        "config-is-a-list": set_field("recipe/config", []),
        "epochs-negative": set_field("recipe/epochs", -1),
        "epochs-fraction": set_field("recipe/epochs", 1.5),
        "seed-huge": set_field("seed", 2**70),
        "seed-text": set_field("seed", "0; rm -rf"),
        "no-users": set_field("users", 0),
        "negative-users": set_field("users", -1),
        "more-users": lambda f: reseal(f, lambda record: record.update(users=record["users"] + 1)),
        "fewer-items": lambda f: reseal(f, lambda record: record.update(items=record["items"] - 1)),
        "items-beyond-int32": set_field("items", 2**31),
        "most-users": set_field("users", 2**31 - 1),
        "metric-text": set_field("metrics/ndcg@20", "good"),
        "metric-named-badly": set_field("metrics/__import__('os')", 0.5),
        "metric-at-a-billion": set_field("metrics/ndcg@1000000000", 0.5),
        "seconds-negative": set_field("fit_seconds", -1.0),
        "split-two-lines": set_field("split/recipe", "ratio\nOK"),
        "part-missing": on_record(lambda record: record["split"].pop("valid")),
        "part-more-events": set_field("split/train/events", 10**9),
        "part-other-fingerprint": set_field("split/train/fingerprint", "0" * 64),
        "fingerprint-short": set_field("split/test/fingerprint", "0" * 63),
        "files-traversal": on_record(lambda record: record["files"].update({"../../etc/passwd": "0" * 64})),
        "files-absolute": on_record(lambda record: record["files"].update({"/etc/passwd": "0" * 64})),
        "files-without-weights": on_record(lambda record: record["files"].pop(WEIGHTS)),
        "files-without-ids": on_record(lambda record: record["files"].pop(IDS)),
        "files-without-events": on_record(lambda record: record["files"].pop(EVENTS)),
        "files-wrong-digest": set_field(f"files/{WEIGHTS}", "0" * 64),
        "files-not-hex": set_field(f"files/{WEIGHTS}", "sha256:unknown"),
        "files-is-null": set_field("files", None),
    }
    return edits


def _unsealed(folder: Path, change: Callable[[Json], object]) -> None:
    record = json.loads((folder / RECORD).read_text("utf-8"))
    change(record)
    (folder / RECORD).write_text(json.dumps(record), "utf-8")


def ids() -> dict[str, Edit]:
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
        "bracket-bomb": replace_file(IDS, b"[" * 50_000_000),
        "list-bomb": replace_file(IDS, b"[" + b"[]," * 300_000 + b"[]]"),
        "key-twice": replace_file(IDS, b'{"user_ids":[],"user_ids":[],"item_ids":[]}'),
        "not-utf-8": replace_file(IDS, b'{"user_ids":["\xff"],"item_ids":[]}'),
    }


def tensors(good: Path) -> dict[str, Edit]:
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
        "other-model's": replace_file(WEIGHTS, _shuffled(header, content), sealed=False),
        "events-instead": lambda f: (shutil.copy(f / EVENTS, f / WEIGHTS), reseal(f))[1],
        "header-length-2^63": replace_file(WEIGHTS, struct.pack("<Q", 2**63) + dumped + content),
        "header-length-2^64-1": replace_file(WEIGHTS, struct.pack("<Q", 2**64 - 1) + dumped + content),
        "header-length-0": replace_file(WEIGHTS, struct.pack("<Q", 0) + content),
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


def events() -> dict[str, Edit]:
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


def tables() -> dict[str, Edit]:
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
