from __future__ import annotations

import json
import os
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.audit.evidence import AuditRun
from recaudit.datasets.errors import InputError
from recaudit.reports.integrity import manifest
from recaudit.reports.integrity.files import FileRecord, walk
from recaudit.reports.integrity.manifest import manifest_of, parse, renderers_here, statement

from .conftest import Signed
from .folders import small_run


def test_it_lists_every_file_but_itself_and_says_what_was_audited(signed: Signed, small: AuditRun) -> None:
    content = json.loads((signed.folder / "manifest.json").read_bytes())
    assert content["_type"] == "https://in-toto.io/Statement/v1"
    there = {path.relative_to(signed.folder).as_posix() for path in signed.folder.rglob("*") if path.is_file()}
    names = [subject["name"] for subject in content["subject"]]
    assert names == sorted(there - {"manifest.json", "manifest.dsse.json"}) and "run.json" in names
    predicate = content["predicate"]
    assert predicate["model_fingerprint"] == small.target.model_fingerprint
    assert predicate["evidence_digest"] == small.evidence_digest and predicate["verdict"] == "fail"
    assert predicate["sizes"] == {name: (signed.folder / name).stat().st_size for name in names}


def test_the_same_folder_gives_the_same_bytes_elsewhere_and_later(
    signed: Signed, small: AuditRun, tmp_path: Path
) -> None:
    content = (signed.folder / "manifest.json").read_bytes()
    copy = tmp_path / "elsewhere"
    for path in sorted(signed.folder.rglob("*"), reverse=True):  # other times, other order of making
        if path.is_file():
            target = copy / path.relative_to(signed.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    assert manifest_of(copy, small) == content


_FILES = st.dictionaries(
    st.text('ab/é\u202e\n"\\', min_size=1, max_size=6).filter(manifest._inside), st.binary(max_size=3), max_size=5
)


@cache
def _run() -> AuditRun:
    return small_run()


@settings(max_examples=40, deadline=None)
@given(files=_FILES, order=st.randoms())
def test_what_is_written_is_read_back_whatever_the_order(files: dict[str, bytes], order: Any) -> None:
    records = [FileRecord(name, len(content), content.hex().zfill(64)) for name, content in files.items()]
    run = _run()
    content = statement(run, records, renderers_here())
    order.shuffle(records)
    assert statement(run, records, renderers_here()) == content
    read = parse(content)
    assert set(read.files) == set(records) and read.claims == manifest.claims(run)


@pytest.mark.parametrize(
    "name",
    ["../run.json", "/etc/passwd", "a/../b", "./a", "a//b", "a/", "", "..", ".", "C:\\x", "C:/x", "\\\\host\\x",
     "a\x00", "manifest.json", "manifest.dsse.json"],
)  # fmt: skip
def test_names_outside_the_folder_are_refused(name: str, small: AuditRun) -> None:
    content = statement(small, [FileRecord(name, 1, "0" * 64)], renderers_here())
    with pytest.raises(InputError, match="no plain path inside"):
        parse(content)


def _changed(content: bytes, **fields: Any) -> bytes:
    return manifest._encode(json.loads(content) | fields)


def test_other_kinds_versions_and_layouts_are_refused(signed: Signed) -> None:
    content = (signed.folder / "manifest.json").read_bytes()
    raw = json.loads(content)
    subjects, predicate = raw["subject"], raw["predicate"]
    bad = {
        "another kind": _changed(content, predicateType="https://recaudit.dev/audit/v2"),
        "kind or version": _changed(content, _type="https://in-toto.io/Statement/v0.1"),
        "extra: Extra": _changed(content, extra=1),
        "predicate.seed": _changed(content, predicate=predicate | {"seed": "7"}),
        "predicate.sizes": _changed(content, predicate=predicate | {"sizes": {"run.json": -1}}),
        "subject.0.digest.sha256": _changed(content, subject=[{"name": "a", "digest": {"sha256": "0" * 63}}]),
        "twice, without its size": _changed(content, subject=subjects + subjects[-1:]),
        "out of order": _changed(content, subject=subjects[::-1]),
        "without its size or": _changed(content, subject=subjects[1:]),
        "another way": content.replace(b"\n", b"\n ", 1),
        "laid out": content.replace(b'"seed": 7', b'"seed": 8, "seed": 7'),
        "not JSON": b"[" * 200_000,
        "is not JSON": b"\xff" + content,
        "statement than": b"[]",
    }
    for message, changed in bad.items():
        with pytest.raises(InputError, match=message):
            parse(changed)
    with pytest.raises(InputError, match="larger than"):
        parse(b" " * (manifest.LIMIT + 1))


def test_what_a_list_of_files_cannot_describe_is_refused(copy: Path, small: AuditRun, tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            manifest_of(copy, small)

    (copy / "link").symlink_to(copy / "run.json")
    refused("link is a symbolic link")
    (copy / "link").unlink()
    (copy / "folder").symlink_to(tmp_path)
    refused("folder is a symbolic link")
    (copy / "folder").unlink()
    os.mkfifo(copy / "cells" / "pipe")
    refused("cells/pipe is no regular file")
    (copy / "cells" / "pipe").unlink()
    (copy / "nothing").mkdir()
    refused("nothing/ is an empty folder")
    (copy / "nothing").rmdir()
    with pytest.raises(InputError, match="not a folder"):
        walk(copy / "run.json")
    try:
        (copy / os.fsdecode(b"\xff")).write_bytes(b"")
    except OSError:
        return  # this file system takes UTF-8 alone
    refused("not UTF-8")
