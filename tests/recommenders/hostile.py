"""Damaged and hostile checkpoints, made from a good one: every one of them must be refused in one line.

    for name, path in hostile_checkpoints(tmp_path, good):
        ...
    assert not payload_ran(tmp_path)

Written against the format as documented, with nothing of recaudit's own reader or writer, so that a fault shared by
both does not hide.
"""

from __future__ import annotations

import io
import os
import pickle
import shutil
import socket
import zipfile
from collections.abc import Callable, Container, Iterator
from pathlib import Path

from .forging import EVENTS, IDS, RECORD, WEIGHTS, Edit, Payload, payload_ran, reseal
from .hostile_content import events, ids, records, tables, tensors

__all__ = ["hostile_checkpoints", "payload_ran"]


def hostile_checkpoints(tmp_path: Path, good: Path, only: Container[str] | None = None) -> Iterator[tuple[str, Path]]:
    """Name and path of each variant, or of those named; each is made under `tmp_path` and removed before the next."""
    for kind, variants in (
        ("copy", _copies(good)),
        ("files", _files(tmp_path)),
        ("record", records()),
        ("ids", ids()),
        ("weights", tensors(good)),
        ("events", events()),
        ("tables", tables()),
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
    secret.write_text("nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")

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
