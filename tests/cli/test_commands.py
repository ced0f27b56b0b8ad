"""Every command as a user gives it, right and wrong."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recaudit.cli import program
from recaudit.cli.program import app
from recaudit.datasets.errors import DataError, UnfinishedError
from recaudit.defenses.base import Detector

from .conftest import Recaudit


def wrong(answer: object, *words: str) -> None:
    """Exit 2, one line on stderr, no traceback, and the words that help."""
    assert answer.returncode == 2, answer.stderr  # type: ignore[attr-defined]
    text = answer.stderr  # type: ignore[attr-defined]
    assert text.count("\n") == 1 and "Traceback" not in text, text
    for word in words:
        assert word in text, text


def test_help_of_every_command_teaches_by_example(recaudit: Recaudit) -> None:
    for command in app.registered_commands:
        answer = recaudit(command.name, "--help")
        assert answer.returncode == 0
        assert f"recaudit {command.name}" in answer.stdout.split("Usage:", 1)[1].split("\n", 1)[1], command.name


def test_plan_shows_cells_and_cost_and_runs_nothing(
    recaudit: Recaudit, checkpoint: Path, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    answer = recaudit("plan", "--model", checkpoint, "--policy", policy, "--out", out, "--json")
    plan = json.loads(answer.stdout)
    assert plan["total"] == plan["missing"] == len(plan["cells"]) > 5
    assert plan["seconds"] > 0 and plan["memory_mib"] > 0 and not out.exists()


def test_evaluate_and_recommend_speak_the_users_ids(recaudit: Recaudit, checkpoint: Path, tmp_path: Path) -> None:
    metrics = json.loads(recaudit("evaluate", "--model", checkpoint, "-k", 5, "-k", 20, "--json").stdout)
    names = ("recall", "ndcg", "hr", "mrr", "precision", "coverage")
    assert set(metrics) == {f"{name}@{k}" for name in names for k in (5, 20)}
    users = tmp_path / "users.csv"
    users.write_text("user\nu00003\n")
    out = tmp_path / "lists.csv"
    assert recaudit("recommend", "--model", checkpoint, "--users", users, "-k", 4, "--out", out).returncode == 0
    rows = list(csv.DictReader(out.open()))
    assert [(row["user"], row["rank"]) for row in rows] == [("u00003", str(n)) for n in range(1, 5)]
    assert all(len(row["item"]) == 5 for row in rows), "leading zeros are kept"
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_attack_writes_accounts_of_the_asked_size(recaudit: Recaudit, ratings: Path, tmp_path: Path) -> None:
    out = tmp_path / "fakes.csv"
    answer = recaudit(
        "attack", "--attack", "bandwagon", "--data", ratings, "--target", "00007", "--accounts", "1%", "--profile", 9,
        "--out", out,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    rows = list(csv.DictReader(out.open()))
    accounts = {row["account"] for row in rows}
    assert len(accounts) == 3 and len(rows) == 27
    assert all(any(row["account"] == name and row["item"] == "00007" for row in rows) for name in accounts)


def test_detect_finds_copies_that_attack_wrote(recaudit: Recaudit, ratings: Path, tmp_path: Path) -> None:
    head, *rows = ratings.read_text().splitlines()
    copied = rows[0].split(",")[0]
    fakes = [f"zz{n}" + row[len(copied) :] for n in range(4) for row in rows if row.startswith(copied + ",")]
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("\n".join([head, *rows, *fakes]) + "\n")
    answer = recaudit("detect", "--detector", "near-copies", "--data", mixed, "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert {"zz0", "zz1", "zz2", "zz3", copied} <= set(list(found)[:8]) and list(found.values()) == sorted(
        found.values(), reverse=True
    )
    out = tmp_path / "suspicion.csv"
    shown = recaudit("detect", "--detector", "fap", "--data", mixed, "--out", out, "--top", 3)
    assert len(shown.stdout.splitlines()) == 5 and len(list(csv.DictReader(out.open()))) == len(found)
    wrong(recaudit("detect", "--detector", "near-copy", "--data", mixed), "near-copies")
    wrong(recaudit("detect", "--detector", "t-ce", "--data", mixed), "judges no accounts")


def test_detect_refuses_other_suffixes_and_judges_no_order_without_times(
    recaudit: Recaudit, ratings: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.txt"
    wrong(recaudit("detect", "--detector", "fap", "--data", tmp_path / "none.csv", "--out", out), ".csv or .parquet")
    assert not out.exists()
    head, *rows = ratings.read_text().splitlines()
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join(",".join(row.split(",")[:2]) for row in (head, *rows)) + "\n")
    wrong(recaudit("detect", "--detector", "surprise", "--data", plain), "`position`")


def test_detect_that_is_interrupted_does_not_say_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "suspicion", stopped)
    shown = CliRunner().invoke(app, ["detect", "--detector", "rdma"])
    assert shown.exit_code == 130 and "begins anew" in shown.stderr and "goes on" not in shown.stderr


def test_list_and_explain(recaudit: Recaudit) -> None:
    kinds = json.loads(recaudit("list", "--json").stdout)
    known = ("attacks", "rewritings", "defenses", "detectors", "unlearners", "mitigations", "models", "measures")
    assert {*known, "checks"} == set(kinds)
    for entries in kinds.values():
        assert entries and all(entry["title"] and entry["reference"] for entry in entries)
    assert "source" in recaudit("explain", "gini").stdout
    wrong(recaudit("explain", "ginni"), "gini")


def test_init_writes_a_policy_that_runs(recaudit: Recaudit, tmp_path: Path) -> None:
    for preset in ("quick", "standard", "thorough"):
        assert recaudit("init", "--preset", preset, "--out", tmp_path / f"{preset}.yaml").returncode == 0
    wrong(recaudit("init", "--out", tmp_path / "quick.yaml"), "exists")
    wrong(recaudit("init", "--preset", "quik", "--out", tmp_path / "x.yaml"), "quick")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "--model", "nowhere"), ("nowhere",)),
        (("evaluate", "--model", "nowhere"), ("nowhere",)),
        (("train", "--model", "lightgnc", "--out", "x"), ("lightgcn",)),
        (("train", "--model", "ease", "--out", "x", "--set", "lambda"), ("key=value",)),
        (("train", "--model", "ease", "--out", "x", "--set", "nonsense=1"), ("nonsense",)),
        (("train", "--model", "ease", "--out", "x", "--data", "nowhere.csv"), ("nowhere.csv",)),
        (("attack", "--attack", "bandwagn", "--target", "0104257", "--out", "x.csv"), ("bandwagon",)),
        (("attack", "--attack", "bandwagon", "--target", "104257", "--out", "x.csv"), ("104257", "leading zeros")),
        (("gate", "nowhere"), ("run.json",)),
        (("report", "nowhere"), ("run.json",)),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line_with_the_remedy(
    recaudit: Recaudit, tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    wrong(recaudit(*arguments, cwd=tmp_path), *words)
    assert not list(tmp_path.iterdir())


def test_a_policy_with_a_wrong_field_names_it(recaudit: Recaudit, checkpoint: Path, tmp_path: Path) -> None:
    policy = tmp_path / "p.yaml"
    policy.write_text("version: 1\nchecks: {promotion: {attacks: [bandwagon], size: ['1%']}}\nrules: []\n")
    wrong(recaudit("run", "--model", checkpoint, "--policy", policy, "--out", tmp_path / "out"), "promotion", "size")


def test_debug_shows_the_traceback(recaudit: Recaudit) -> None:
    answer = recaudit("evaluate", "--model", "nowhere", "--debug")
    assert answer.returncode != 0 and "Traceback" in answer.stderr


@pytest.mark.parametrize(("error", "code"), [(ValueError, 3), (UnfinishedError, 3), (DataError, 2)])
def test_what_is_raised_is_never_a_failed_gate(
    error: type[Exception], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Code 1 says that a gate failed, and is what Python ends with, after a mistake of ours and with --debug."""

    def mistaken() -> None:
        raise error("nobody has thought of this")

    monkeypatch.setattr(program, "app", mistaken)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == code
    assert "nobody has thought of this" in capsys.readouterr().err


def test_who_has_read_enough_gets_no_error() -> None:
    command = f"{sys.executable} -m recaudit list --json | head -c 1"
    answer = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
    assert answer.stderr == "" and answer.stdout == "{"
