"""`recaudit run --only simulate` as a user gives it: plan, run, rules, reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recaudit.cli.program import app

POLICY = """
version: 1
checks:
  simulate:
    attacks: [random]
    sizes: ["3%"]
    per_stratum: 5
    control_seeds: 1
    rounds: 2
    recovery: 1
    users: {active: 0.4}
    variants: {patient: {eta: 0.5}}
rules:
  - {select: "simulate.*.target_share.*", bound: 0.05, reason: a twentieth of all attention}
  - {select: "simulate.*.stability", bound: 0.0, reason: no result hangs on the user model, severity: warning}
"""


def call(*arguments: object) -> tuple[int, str]:
    answer = CliRunner().invoke(app, [str(own) for own in arguments])
    return answer.exit_code, answer.output + (answer.stderr if answer.exit_code else "")


def test_from_the_policy_to_the_report(tmp_path: Path) -> None:
    from recaudit.datasets.synthetic import generate

    log = generate(users=200, items=90, events=4000, seed=3)
    assert log.time is not None
    lines = ["user_id,item_id,timestamp"]
    lines += [f"u{u:04d},<blink>{i},{t}" for u, i, t in zip(log.user, log.item, log.time, strict=True)]
    (tmp_path / "events.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "policy.yaml").write_text(POLICY)
    model, out = tmp_path / "ckpt", tmp_path / "out"
    code, text = call("train", "--model", "popularity", "--data", tmp_path / "events.csv", "--out", model, "--quiet")
    assert code == 0, text
    ask = ("--model", model, "--policy", tmp_path / "policy.yaml")
    code, text = call("plan", *ask, "--out", out)
    assert code == 0 and "12 cells, 12 to compute" in text, text
    code, text = call("run", *ask, "--out", out, "--jobs", 1, "--quiet")
    assert code == 0, text
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "complete" and not record["failures"] and len(record["cells"]) == 12
    judged = {one["id"]: one["status"] for one in record["findings"]}
    assert judged["simulate.random.3%.cold.target_share.final"] == "pass"
    assert "simulate.random.3%.stability" in judged
    page = (out / "report.html").read_text()
    assert "<blink>" not in page and "simulate.random.3%.stability" in page
    code, text = call("plan", *ask, "--out", out)
    assert code == 0 and "12 cells, 0 to compute" in text, text


@pytest.mark.parametrize(
    ("settings", "words"),
    [("{rounds: no}", "checks.simulate.rounds"), ("{variants: {a: {mood: 3}}}", "variants: a: mood")],
)
def test_bad_settings_are_one_line(tmp_path: Path, settings: str, words: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"version: 1\nchecks:\n  simulate: {settings}\nrules: []\n")
    code, text = call("plan", "--model", tmp_path, "--policy", path)
    assert code == 2 and words in text, text
