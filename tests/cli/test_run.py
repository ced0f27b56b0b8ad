"""The audit as a command: evidence, exit codes, resuming after kill -9, the null attack."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import Recaudit


def audit(recaudit: Recaudit, checkpoint: Path, policy: Path, out: Path, *more: object) -> dict:
    answer = recaudit("run", "--model", checkpoint, "--policy", policy, "--out", out, "--jobs", 2, *more)
    assert answer.returncode in (0, 1), answer.stderr
    return json.loads((out / "run.json").read_text())


@pytest.fixture(scope="module")
def finished(recaudit: Recaudit, checkpoint: Path, policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    audit(recaudit, checkpoint, policy, out)
    return out


def test_a_run_leaves_record_and_reports(finished: Path) -> None:
    run = json.loads((finished / "run.json").read_text())
    assert run["status"] == "complete" and run["target"]["reproduced"] is True
    assert {found["check"] for found in run["findings"]} >= {"quality", "promotion"}
    assert not run["failures"]
    for name in ("report.html", "report.md", "junit.xml", "evidence.jsonl", "evidence.parquet"):
        assert (finished / name).stat().st_size > 0, name


def test_same_command_computes_nothing_again(
    recaudit: Recaudit, finished: Path, checkpoint: Path, policy: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished / "cells").iterdir()}
    first = json.loads((finished / "run.json").read_text())
    again = audit(recaudit, checkpoint, policy, finished)
    assert again["evidence_digest"] == first["evidence_digest"]
    assert {path: path.stat().st_mtime_ns for path in (finished / "cells").iterdir()} == before


def test_number_of_workers_changes_nothing(
    recaudit: Recaudit, finished: Path, checkpoint: Path, policy: Path, tmp_path: Path
) -> None:
    one = audit(recaudit, checkpoint, policy, tmp_path / "one", "--jobs", 1)
    assert one["evidence_digest"] == json.loads((finished / "run.json").read_text())["evidence_digest"]


def test_killed_at_random_moments_it_ends_with_the_same_evidence(
    recaudit: Recaudit, finished: Path, checkpoint: Path, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "recaudit", "run", "--model", str(checkpoint), "--policy", str(policy)]
    command += ["--out", str(out), "--jobs", "1"]
    moments = random.Random(5)
    kills = 0
    for _ in range(6):
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdout=quiet, stderr=quiet, start_new_session=True)
        cells = len(list((out / "cells").glob("*.json"))) if out.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            now = len(list((out / "cells").glob("*.json"))) if out.exists() else 0
            if now > cells:
                break
            time.sleep(0.01)
        time.sleep(moments.random() * 0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills, "no run was long enough to be killed"
    run = audit(recaudit, checkpoint, policy, out)
    assert run["evidence_digest"] == json.loads((finished / "run.json").read_text())["evidence_digest"]


def test_interrupted_it_exits_130_and_says_how_to_go_on(checkpoint: Path, policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "recaudit", "run", "--model", str(checkpoint), "--policy", str(policy)]
    process = subprocess.Popen([*command, "--out", str(out), "--jobs", "1"], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not list(out.glob("cells/*.json")):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "same command" in errors
    assert json.loads((out / "run.json").read_text())["status"] == "incomplete"


def test_gate_judges_again_without_computing(recaudit: Recaudit, finished: Path, tmp_path: Path) -> None:
    rules = tmp_path / "strict.yaml"
    rules.write_text(
        "version: 1\nchecks: {}\nrules:\n"
        "  - {select: 'quality.reproduction', bound: -1.0, reason: a bound that nothing can keep}\n"
    )
    answer = recaudit("gate", finished, "--policy", rules)
    assert answer.returncode == 1 and "FAIL" in answer.stdout
    assert recaudit("gate", finished).returncode in (0, 1)


def test_report_can_be_written_again_with_the_same_bytes(recaudit: Recaudit, finished: Path) -> None:
    before = (finished / "report.html").read_bytes()
    assert recaudit("report", finished).returncode == 0
    assert (finished / "report.html").read_bytes() == before


def test_a_damaged_record_is_one_line(recaudit: Recaudit, finished: Path, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes((finished / "run.json").read_bytes()[:1000])
    for command in ("gate", "report"):
        answer = recaudit(command, tmp_path)
        assert answer.returncode == 2 and answer.stderr.count("\n") == 1 and "run.json" in answer.stderr


def test_two_runs_are_compared(recaudit: Recaudit, checkpoint: Path, ratings: Path, tmp_path: Path) -> None:
    rules, other = tmp_path / "lists.yaml", tmp_path / "itemknn"
    rules.write_text(
        "version: 1\ncutoffs: [5]\nchecks: {exposure: {}}\n"
        "rules:\n  - {select: 'exposure.gini@5', bound: 1.0, reason: a bound that every list keeps}\n"
    )
    assert recaudit("train", "--model", "itemknn", "--data", ratings, "--out", other).returncode == 0
    audit(recaudit, checkpoint, rules, tmp_path / "a")
    audit(recaudit, other, rules, tmp_path / "b")
    answer = recaudit("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert answer.returncode == 0, answer.stderr
    rows = {row["id"]: row for row in json.loads(answer.stdout)}
    gini = rows["exposure.gini@5"]
    assert gini["paired"] and gini["interval"][0] <= gini["difference"] <= gini["interval"][1]
    assert not rows["exposure.ai_f@5"]["paired"], "relevance is not kept with a run"
    same = recaudit("compare", tmp_path / "a", tmp_path / "a")
    assert same.returncode == 0 and "worse" not in same.stdout and "better " not in same.stdout


def test_a_cell_comes_out_again_and_another_number_does_not(
    recaudit: Recaudit, finished: Path, checkpoint: Path, tmp_path: Path
) -> None:
    record = json.loads((finished / "run.json").read_text())
    cell = next(cell for cell in record["cells"] if cell["kind"] == "refit")
    again = recaudit("reproduce", finished, cell["key"][:10], "--model", checkpoint)
    assert again.returncode == 0 and "comes out again" in again.stdout, again.stderr
    name = next(name for name, value in cell["values"].items() if value is not None)
    cell["values"][name] += 0.01
    (tmp_path / "run.json").write_text(json.dumps(record))
    other = recaudit("reproduce", tmp_path, cell["key"][:10], "--model", checkpoint)
    assert other.returncode == 1 and name in other.stdout
    for key, why in (("ab", "shorter than"), ("zzzz", "no cell of this audit")):
        wrong = recaudit("reproduce", finished, key, "--model", checkpoint)
        assert wrong.returncode == 2 and why in wrong.stderr
