from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.audit.policy import Policy
from recaudit.datasets.errors import InputError
from recaudit.reports.integrity import consistency, manifest
from recaudit.reports.integrity.files import FileRecord, measured, walk
from recaudit.reports.integrity.manifest import manifest_of, renderers_here, statement
from recaudit.reports.integrity.signing import sign
from recaudit.reports.integrity.verify import Verification, verify
from recaudit.reports.render import render_all

from .conftest import Signed
from .folders import pdf_with, sealed, write_run


def failed(answer: Verification) -> dict[str, str]:
    return {check.name: check.detail for check in answer.checks if check.outcome == "failed"}


def outcome(answer: Verification, name: str) -> str:
    return next(check.outcome for check in answer.checks if check.name == name)


@pytest.fixture
def unsigned(copy: Path) -> Path:
    """A folder as `recaudit run` leaves it."""
    (copy / "manifest.json").unlink()
    (copy / "manifest.dsse.json").unlink()
    return copy


def rewrite(folder: Path, run: AuditRun, *, reports: bool = False) -> None:
    """A forged record with everything beside it made to fit."""
    shutil.rmtree(folder)
    write_run(folder, run, reports=reports)


def test_digests_are_those_of_an_audit(small: AuditRun) -> None:
    from recaudit.audit.run import digest

    assert consistency.evidence_digest(*_raw(small)) == digest(small.cells, small.evidence) == small.evidence_digest
    assert consistency.policy_digest(small.policy) == Policy.model_validate(small.policy).digest


def _raw(run: AuditRun) -> tuple[Any, Any]:
    raw = json.loads(run.model_dump_json())
    return raw["cells"], raw["evidence"]


def edit_verdict(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"verdict": "pass", "exit_code": 0})


def edit_finding(run: AuditRun) -> AuditRun:
    first = run.findings[0].model_copy(update={"status": "pass"})
    return run.model_copy(update={"findings": [first, *run.findings[1:]]})


def edit_interval(run: AuditRun) -> AuditRun:
    low, high = run.findings[0].interval or (0.0, 0.0)
    first = run.findings[0].model_copy(update={"interval": (low - 1e-4, high)})
    return run.model_copy(update={"findings": [first, *run.findings[1:]]})


def drop_finding(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"findings": run.findings[:-1]})


def edit_evidence(run: AuditRun) -> AuditRun:
    first = run.evidence[0].model_copy(update={"title": "Gain, harmless"})
    return run.model_copy(update={"evidence": [first, *run.evidence[1:]]})


def edit_cell(run: AuditRun) -> AuditRun:
    first = run.cells[0].model_copy(update={"values": {"ndcg@20": 0.9}})
    return run.model_copy(update={"cells": [first, *run.cells[1:]]})


def edit_bound(run: AuditRun) -> AuditRun:
    rules = [run.policy["rules"][0], run.policy["rules"][1] | {"bound": 0.9}, *run.policy["rules"][2:]]
    return run.model_copy(update={"policy": run.policy | {"rules": rules}})


def edit_seed(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"seed": 8})


def edit_day(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"started": "2026-08-01T00:00:00+00:00"})  # the waiver has expired by then


def edit_started(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"started": "lately"})


def edit_status(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"status": "incomplete"})


def unfinished(run: AuditRun) -> AuditRun:
    return run.model_copy(update={"evidence_digest": ""})


@pytest.mark.parametrize(
    ("forge", "check"),
    [
        (edit_verdict, "verdict"),
        (edit_finding, "verdict"),
        (edit_interval, "verdict"),
        (drop_finding, "verdict"),
        (edit_evidence, "evidence"),
        (edit_cell, "evidence"),
        (edit_bound, "policy"),
        (edit_seed, "policy"),
        (edit_day, "verdict"),
        (edit_started, "verdict"),
        (edit_status, "record"),
        (unfinished, "record"),
    ],
)
def test_a_record_that_contradicts_itself_is_found_without_any_key(
    forge: Callable[[AuditRun], AuditRun], check: str, small: AuditRun, unsigned: Path
) -> None:
    rewrite(unsigned, forge(small))
    answer = verify(unsigned)
    assert answer.exit_code == 1 and check in failed(answer)


def test_unsigned_and_consistent_is_said_to_be_unsigned(unsigned: Path) -> None:
    answer = verify(unsigned)
    assert failed(answer) == {} and answer.exit_code == 4 and "UNSIGNED" in answer.checks[0].detail
    assert outcome(answer, "verdict") == outcome(answer, "reports") == outcome(answer, "attachment") == "ok"


def test_waivers_count_as_of_the_day_the_run_started_or_ended(small: AuditRun, unsigned: Path) -> None:
    answer = verify(unsigned)
    assert "2026-03-02" in next(check.detail for check in answer.checks if check.name == "verdict")
    for started, code in (("2026-06-30T23:59:30+00:00", 4), ("2026-07-01T00:00:30+00:00", 1)):
        rewrite(unsigned, small.model_copy(update={"started": started}))
        assert verify(unsigned).exit_code == code


@pytest.mark.parametrize("name", ["evidence.jsonl", "evidence.parquet", "report.md", "junit.xml"])
def test_files_beside_an_unsigned_record_are_held_against_it(name: str, unsigned: Path) -> None:
    path = unsigned / name
    path.write_bytes(path.read_bytes() + b" ")
    answer = verify(unsigned)
    assert answer.exit_code == 1 and any(name in detail for detail in failed(answer).values())


def test_a_cell_and_the_attachment_are_held_against_the_record(unsigned: Path) -> None:
    path = next((unsigned / "cells").glob("*.json"))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'"ndcg@20":0.', b'"ndcg@20":1.').replace(b'"ndcg@20": 0.', b'"ndcg@20": 1.'))
    assert "copies" in failed(verify(unsigned))
    path.write_bytes(b"{")
    assert "copies" in failed(verify(unsigned))
    path.write_bytes(content)
    for pdf, message in ((pdf_with(b"{}"), "another record"), (b"%PDF-1.7 junk", "cannot be read")):
        (unsigned / "report.pdf").write_bytes(pdf)
        assert message in failed(verify(unsigned))["attachment"]


def test_another_version_s_report_is_told_and_not_held_against_the_folder(small: AuditRun, unsigned: Path) -> None:
    environment = small.environment | {"recaudit": "0.0.1"}
    run = small.model_copy(update={"environment": environment})
    rewrite(unsigned, run, reports=True)
    (unsigned / "report.md").write_bytes(b"as it once looked")
    answer = verify(unsigned)
    assert answer.exit_code == 4 and outcome(answer, "reports") == "not checked"
    detail = next(check.detail for check in answer.checks if check.name == "reports")
    assert "another version of recaudit (0.0.1" in detail and "report.md" in detail


def test_a_signed_report_of_another_renderer_is_intact(small: AuditRun, copy: Path, signed: Signed) -> None:
    (copy / "report.md").write_bytes(b"as another version rendered it")
    names = walk(copy)[0]
    for versions, code in (({"matplotlib": "1.0"}, 0), ({}, 1)):
        sign(copy, statement(small, measured(copy, names), renderers_here() | versions), signed.private)
        answer = verify(copy, signed.public)
        assert answer.exit_code == code
    assert "reports" in failed(answer)


def test_a_forgery_that_fits_together_is_found_by_the_key_alone(small: AuditRun, copy: Path, signed: Signed) -> None:
    evidence = [found.model_copy(update={"estimate": 0.0, "units": []}) for found in small.evidence[:3]]
    forged = sealed(small.model_copy(update={"evidence": [*evidence, small.evidence[3]]}))
    from recaudit.audit.verdict import conclude, judge

    from .folders import DAY

    policy = Policy.model_validate(small.policy)
    findings = judge(forged.evidence, forged.skipped, [], policy, DAY)
    verdict, code = conclude(findings, policy, True)
    forged = forged.model_copy(update={"findings": findings, "verdict": verdict, "exit_code": code})
    assert verdict != "fail"
    old = (copy / "manifest.dsse.json").read_bytes()
    rewrite(copy, forged)
    assert verify(copy, signed.public).exit_code == 4, "nothing but the missing signature shows it"
    sign(copy, manifest_of(copy, forged), signed.other_private)
    answer = verify(copy, signed.public)
    assert answer.exit_code == 1 and "another key" in failed(answer)["signature"]
    (copy / "manifest.dsse.json").write_bytes(old)
    answer = verify(copy, signed.public)
    assert answer.exit_code == 1 and {"manifest", "files"} <= failed(answer).keys()


def test_a_manifest_that_says_otherwise_than_the_record_is_found(small: AuditRun, copy: Path, signed: Signed) -> None:
    files = measured(copy, walk(copy)[0])
    other = small.model_copy(update={"verdict": "pass"})
    sign(copy, statement(other, files, renderers_here()), signed.private)
    assert "otherwise than run.json" in failed(verify(copy, signed.public))["manifest"]


def test_signed_paths_outside_the_folder_are_never_opened(small: AuditRun, copy: Path, signed: Signed) -> None:
    outside = copy.parent / "secret"
    outside.write_bytes(b"x")
    digest = hashlib.sha256(b"x").hexdigest()
    for name in ("../secret", str(outside), "cells/../../secret"):
        files = [*measured(copy, walk(copy)[0]), FileRecord(name, 1, digest)]
        sign(copy, statement(small, files, renderers_here()), signed.private)
        answer = verify(copy, signed.public)
        assert answer.exit_code == 1 and "no plain path inside" in failed(answer)["manifest"]


def test_huge_manifests_are_refused_before_they_are_read(copy: Path, signed: Signed) -> None:
    for name in ("manifest.json", "manifest.dsse.json"):
        content = (copy / name).read_bytes()
        with (copy / name).open("r+b") as file:
            file.truncate(200 << 20)  # sparse
        answer = verify(copy, signed.public)
        assert answer.exit_code == 1 and "larger than" in failed(answer)["manifest"]
        (copy / name).write_bytes(content)


def test_model_and_data_are_compared_where_they_are_given(small: AuditRun, copy: Path, signed: Signed) -> None:
    target = small.target
    same = verify(copy, signed.public, target.model_fingerprint, target.data_fingerprint)
    assert same.exit_code == 0 and outcome(same, "model") == outcome(same, "data") == "ok"
    other = verify(copy, signed.public, "0" * 64, target.data_fingerprint)
    assert other.exit_code == 1 and failed(other).keys() == {"model"}
    assert failed(verify(copy, signed.public, None, "0" * 64)).keys() == {"data"}


def test_a_damaged_or_missing_record(copy: Path, signed: Signed, tmp_path: Path) -> None:
    content = (copy / "run.json").read_bytes()
    (copy / "run.json").write_bytes(content[:100])
    answer = verify(copy, signed.public)
    assert answer.exit_code == 1 and answer.audit is None and {"files", "record"} <= failed(answer).keys()
    (copy / "run.json").unlink()
    assert verify(copy, signed.public).exit_code == 1
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises(InputError):
            verify(folder)
    with pytest.raises(InputError, match="private key"):
        verify(copy, signed.private)


def test_reports_written_again_break_no_signature(small: AuditRun, copy: Path, signed: Signed) -> None:
    render_all(small, copy)
    assert verify(copy, signed.public).exit_code == 0


def test_nothing_is_written_and_no_torch_is_loaded(signed: Signed) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in signed.folder.rglob("*"))
    code = (
        "import sys; from pathlib import Path; from recaudit.reports.integrity.verify import verify;"
        f"assert verify(Path({str(signed.folder)!r}), Path({str(signed.public)!r})).exit_code == 0;"
        "assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert sorted((path, path.stat().st_mtime_ns) for path in signed.folder.rglob("*")) == before
    assert manifest.LIMIT < 1 << 27
