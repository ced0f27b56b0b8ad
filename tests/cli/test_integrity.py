"""`recaudit keygen`, `sign` and `verify`, driven in this process on a record made by hand."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from recaudit.audit.evidence import AuditRun
from recaudit.cli import integrity
from recaudit.cli.program import Commands
from recaudit.reports import render

from ..reports.integrity.folders import small_run, write_run

app = typer.Typer(cls=Commands)
app.command("keygen")(integrity.keygen)
app.command("sign")(integrity.sign)
app.command("verify")(integrity.verify)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def cheap_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    every = render.renderers
    monkeypatch.setattr(render, "renderers", lambda: {"report.md": every()["report.md"]})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", small_run())
    return tmp_path / "run"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    answer = call("keygen", tmp_path / "audit")
    assert answer.exit_code == 0 and answer.stdout.strip() == str(tmp_path / "audit.pub")
    assert "without a pass phrase" in answer.stderr
    return tmp_path / "audit"


def test_signed_and_verified(folder: Path, key: Path) -> None:
    answer = call("sign", folder, "--key", key)
    assert answer.exit_code == 0 and answer.stdout.strip().endswith("manifest.dsse.json")
    assert "verdict: fail" in answer.stderr
    answer = call("verify", folder, "--key", f"{key}.pub")
    assert answer.exit_code == 0, answer.output
    last = answer.stdout.splitlines()[-1]
    assert "intact, and signed" in last and "own verdict: fail" in last, "intact is not a pass of the audit"
    assert "FAILED" not in answer.stdout and "not checked  model" in answer.stdout


def test_a_change_exits_1_and_names_the_file(folder: Path, key: Path) -> None:
    call("sign", folder, "--key", key)
    (folder / "report.md").write_bytes(b"all is well")
    answer = call("verify", folder, "--key", f"{key}.pub", "--quiet")
    assert answer.exit_code == 1 and "FAILED" in answer.stdout and "report.md" in answer.stdout
    assert "CHANGED" in answer.stdout and "not checked" not in answer.stdout
    found = json.loads(call("verify", folder, "--key", f"{key}.pub", "--json").stdout)
    assert found["outcome"] == "changed" and found["exit_code"] == 1
    assert {"name", "outcome", "detail"} == found["checks"][0].keys()


def test_unsigned_is_said_and_exits_4(folder: Path, key: Path) -> None:
    for arguments in ((), ("--key", f"{key}.pub")):
        answer = call("verify", folder, *arguments)
        assert answer.exit_code == 4 and "UNSIGNED" in answer.stdout and "NOT SHOWN TO BE INTACT" in answer.stdout
    call("sign", folder, "--key", key)
    answer = call("verify", folder, "--quiet")
    assert answer.exit_code == 4 and "NOT SHOWN TO BE INTACT" in answer.stdout
    found = json.loads(call("verify", folder, "--json").stdout)
    assert found["outcome"] == "unsigned" and found["signed_by"] is None


def test_a_record_that_contradicts_itself_is_not_signed(folder: Path, key: Path) -> None:
    run = AuditRun.model_validate_json((folder / "run.json").read_bytes())
    forged = run.model_copy(update={"verdict": "pass", "exit_code": 0})
    (folder / "run.json").write_text(forged.model_dump_json(indent=1))
    answer = call("sign", folder, "--key", key)
    assert answer.exit_code == 2 and answer.stderr.count("\n") == 1 and "not signed: verdict" in answer.stderr
    assert not (folder / "manifest.json").exists() and not (folder / "manifest.dsse.json").exists()


def test_a_record_of_another_version_is_not_signed(folder: Path, key: Path) -> None:
    path = folder / "run.json"
    record = json.loads(path.read_text())
    record["environment"]["recaudit"] = "0.0.9"
    path.write_text(json.dumps(record))
    answer = call("sign", folder, "--key", key)
    assert answer.exit_code == 2 and "written by recaudit 0.0.9" in answer.output


def test_a_stale_report_is_not_signed(folder: Path, key: Path) -> None:
    (folder / "report.md").write_bytes(b"an older one")
    answer = call("sign", folder, "--key", key)
    assert answer.exit_code == 2 and "report.md" in answer.stderr and "recaudit report" in answer.stderr


def test_wrong_use_is_one_line_and_exits_2(folder: Path, key: Path, tmp_path: Path) -> None:
    (folder / "cells" / "link").symlink_to(key)
    run2 = tmp_path / "run2"
    write_run(run2, small_run(), reports=False)
    answers = {
        "lies in the run folder": call("verify", folder, "--key", folder / "cells" / "audit.pub"),
        "keys must come from elsewhere": call("sign", run2, "--key", run2 / "key"),
        "is a private key": call("verify", folder, "--key", key),
        "no private key": call("sign", run2, "--key", f"{key}.pub"),
        "symbolic link": call("sign", folder, "--key", key),
        "not a folder": call("verify", tmp_path / "nowhere"),
        "--data goes with --model": call("verify", folder, "--data", tmp_path),
        "never overwritten": call("keygen", key),
        "No such file": call("verify", folder, "--key", tmp_path / "nokey"),
    }
    for message, answer in answers.items():
        assert answer.exit_code == 2 and answer.stderr.count("\n") == 1, (message, answer.output)
        assert message in answer.stderr


def test_a_loose_key_is_told(folder: Path, key: Path) -> None:
    key.chmod(0o640)
    answer = call("sign", folder, "--key", key)
    assert answer.exit_code == 0 and "mode 0640" in answer.stderr and "chmod 600" in answer.stderr
    assert stat.S_IMODE(key.stat().st_mode) == 0o640, "somebody else's file is not changed"


def test_help_teaches_by_example() -> None:
    for command in ("keygen", "sign", "verify"):
        answer = call(command, "--help")
        assert answer.exit_code == 0 and f"recaudit {command} " in answer.stdout


def test_model_and_data_at_hand_are_those_that_an_audit_records(checkpoint: Path) -> None:
    from recaudit.audit.run import _card
    from recaudit.cli.options import open_target

    card = _card(open_target(checkpoint, None), None)
    assert integrity._fingerprints(checkpoint, None) == (card.model_fingerprint, card.data_fingerprint)


def test_another_model_is_found(folder: Path, key: Path, checkpoint: Path) -> None:
    call("sign", folder, "--key", key)
    answer = call("verify", folder, "--key", f"{key}.pub", "--model", checkpoint)
    assert answer.exit_code == 1 and "the model given is another one" in answer.stdout
