"""Every file of a signed folder, changed in every way: verify must find it, and name the file."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recaudit.datasets.errors import InputError
from recaudit.reports import render
from recaudit.reports.integrity import manifest
from recaudit.reports.integrity.files import OWN
from recaudit.reports.integrity.manifest import manifest_of
from recaudit.reports.integrity.signing import sign
from recaudit.reports.integrity.verify import Verification, verify

from .conftest import ALL, Signed
from .folders import small_run, write_run

POSITIONS = 12


@pytest.fixture(scope="module")
def work(signed: Signed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that every test leaves as it found it."""
    return Path(shutil.copytree(signed.folder, tmp_path_factory.mktemp("tampering") / "run"))


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    try:
        yield content
    finally:
        if path.is_symlink() or path.is_file():
            path.unlink()
        path.write_bytes(content)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def found(work: Path, signed: Signed, path: Path) -> Verification:
    """The verification, which must have failed and named the file."""
    answer = verify(work, signed.public)
    assert answer.exit_code == 1 and answer.outcome == "changed"
    failed = " ".join(check.detail for check in answer.checks if check.outcome == "failed")
    assert path.relative_to(work).as_posix() in failed
    return answer


def test_untouched_it_is_intact(work: Path, signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "renderers", ALL)
    answer = verify(work, signed.public)
    assert [check for check in answer.checks if check.outcome == "failed"] == []
    assert answer.exit_code == 0 and answer.outcome == "intact" and answer.signed_by and answer.audit == "fail"
    assert {check.name for check in answer.checks if check.outcome == "ok"} == {
        "signature", "files", "record", "policy", "evidence", "verdict", "copies", "reports", "attachment",
    }  # fmt: skip


def test_a_flipped_bit_anywhere(work: Path, signed: Signed) -> None:
    draw = random.Random(9)
    names = set()
    for path in files(work):
        with restored(path) as content:
            last = len(content) - 1
            places = {0, last, last // 2, *(draw.randrange(len(content)) for _ in range(POSITIONS))}
            for place in sorted(places):
                changed = bytearray(content)
                changed[place] ^= 1 << draw.randrange(8)
                path.write_bytes(changed)
                found(work, signed, path)
        names.add(path.name)
    assert {"run.json", "report.html", "report.pdf", "evidence.parquet", *OWN} <= names
    assert verify(work, signed.public).exit_code == 0


def test_every_byte_of_a_manifest_without_signature(work: Path, signed: Signed, tmp_path: Path) -> None:
    """Unsigned, a manifest still finds each accident: no byte of it means nothing."""
    content = (work / "manifest.json").read_bytes()
    good = manifest.parse(content)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x01
        try:
            read = manifest.parse(bytes(changed))
        except InputError:
            continue
        assert read != good


@pytest.mark.parametrize("change", ["truncate", "append", "empty", "delete", "rename", "symlink", "folder", "pipe"])
def test_every_file_changed_as_a_whole(change: str, work: Path, signed: Signed, tmp_path: Path) -> None:
    for path in files(work):
        if change == "delete" and path.name == "manifest.dsse.json":
            continue  # that makes it unsigned, see below
        with restored(path) as content:
            other = path.with_name(path.name + ".old")
            if change == "truncate":
                path.write_bytes(content[:-1])
            elif change == "append":
                path.write_bytes(content + b"\n")
            elif change == "empty":
                path.write_bytes(b"")
            else:
                path.unlink()
            if change == "rename":
                other.write_bytes(content)
            elif change == "symlink":
                twin = tmp_path / "twin"
                twin.write_bytes(content)  # the very content, but from outside
                path.symlink_to(twin)
            elif change == "folder":
                path.mkdir()
            elif change == "pipe":
                os.mkfifo(path)
            found(work, signed, path)
            if change == "rename":
                other.unlink()
            elif change == "folder":
                path.rmdir()
            elif change == "pipe":
                path.unlink()
    assert verify(work, signed.public).exit_code == 0


@pytest.mark.parametrize(
    "name", ["extra", ".hidden", "cells/extra.json", "cells/manifest.json", "new/file", "R\u202e\x1b[2J"]
)
def test_a_file_that_nobody_listed(name: str, copy: Path, signed: Signed) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_bytes(b"")
    answer = verify(copy, signed.public)
    assert answer.exit_code == 1
    detail = next(check.detail for check in answer.checks if check.name == "files")
    assert "is not listed" in detail and "\x1b" not in detail and "\u202e" not in detail


def test_two_files_with_their_contents_swapped(copy: Path, signed: Signed) -> None:
    one, other = sorted((copy / "cells").glob("*.json"))[:2]
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    found(copy, signed, one)


def test_empty_folders_and_links_to_folders(copy: Path, signed: Signed, tmp_path: Path) -> None:
    (copy / "empty").mkdir()
    assert verify(copy, signed.public).exit_code == 1
    (copy / "empty").rmdir()
    (copy / "cells").rename(tmp_path / "cells")
    (copy / "cells").symlink_to(tmp_path / "cells")
    assert verify(copy, signed.public).exit_code == 1


def test_a_large_file_is_hashed_in_blocks(tmp_path: Path, signed: Signed) -> None:
    folder = tmp_path / "run"
    run = small_run()
    write_run(folder, run, reports=False)
    large = folder / "arrays.bin"
    with large.open("wb") as file:
        file.truncate(5 << 20)
    sign(folder, manifest_of(folder, run), signed.private)
    assert verify(folder, signed.public).exit_code == 0
    with large.open("r+b") as file:
        file.seek(3 << 20)
        file.write(b"x")
    assert verify(folder, signed.public).exit_code == 1


def test_without_envelope_or_key_it_is_never_success(copy: Path, signed: Signed) -> None:
    no_key = verify(copy)
    assert no_key.exit_code == 4 and no_key.outcome == "unsigned" and no_key.signed_by is None
    assert "NO KEY GIVEN" in no_key.checks[0].detail
    (copy / "manifest.dsse.json").unlink()
    stripped = verify(copy, signed.public)
    assert stripped.exit_code == 4 and "UNSIGNED" in stripped.checks[0].detail
    (copy / "cells" / "extra").write_bytes(b"")
    assert verify(copy).exit_code == 1, "an unsigned manifest still finds accidents"
    (copy / "manifest.json").unlink()
    bare = verify(copy)
    assert bare.exit_code == 4 and "no manifest lists" in bare.checks[1].detail
