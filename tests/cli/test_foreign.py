"""Other people's models as a user gives them: RecBole's files, given parts, lists."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from recaudit.cli.program import app


@pytest.fixture(scope="module")
def files(shared: Path) -> Path:
    return shared / "checkpoints" / "recbole"


def asked(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(own) for own in arguments])


def test_evaluate_gives_recboles_figures(files: Path) -> None:
    answer = asked(
        "evaluate", "--model", files / "sasrec-magazine.pth", "--data", files / "magazine.inter", "--consumed"
    )
    assert answer.exit_code == 0, answer.output
    assert "ids and split verified" in answer.stderr
    figures = dict(line.split() for line in answer.stdout.splitlines())
    assert figures["ndcg@20"] == "0.1350" and figures["hr@10"] == "0.1954"


def test_import_with_given_parts(files: Path, tmp_path: Path) -> None:
    parts = {part: files / "split-ml100k" / f"ml100k.{part}.inter.gz" for part in ("train", "valid", "test")}
    given = [word for part, path in parts.items() for word in (f"--{part}", path)]
    out = tmp_path / "ckpt"
    answer = asked(
        "import", "--model", files / "bpr-ml100k.pth", "--data", files / "ml100k.inter.gz", *given, "--out", out
    )
    assert answer.exit_code == 0, answer.output
    assert "comes out again (0.2479)" in answer.stdout
    found = asked("evaluate", "--model", out, "--json")
    assert json.loads(found.stdout)["ndcg@20"] == pytest.approx(0.2911, abs=1e-4)
    half = asked("import", "--model", files / "bpr-ml100k.pth", "--data", files / "ml100k.inter.gz", "--train",
                 parts["train"], "--out", tmp_path / "x")  # fmt: skip
    assert half.exit_code == 2 and "--train and --test go together" in half.stderr


def test_lists_alone_are_audited_as_far_as_they_go(ratings: Path, checkpoint: Path, tmp_path: Path) -> None:
    lists = tmp_path / "lists.csv"
    assert asked("recommend", "--model", checkpoint, "-k", 30, "--out", lists).exit_code == 0
    out = tmp_path / "out"
    answer = asked("run", "--data", ratings, "--lists", lists, "--preset", "quick", "--out", out, "-j", 1, "--quiet")
    assert answer.exit_code in (0, 1), answer.output
    record = json.loads((out / "run.json").read_text())
    assert record["target"]["origin"] == "black box, lists as they were given"
    reasons = {entry["check"]: entry["reason"] for entry in record["skipped"]}
    assert "cannot be trained again" in reasons["promotion"]
    assert any(found["id"].startswith("exposure") for found in record["evidence"])
    shutil.rmtree(out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "give one of --model"),
        (("--lists", "a.csv", "--python", "a:b"), "give one of --model"),
        (("--lists", "a.csv"), "needs its data"),
        (("--refit-cmd", "x", "--model", "y"), "goes with --recommend-cmd"),
    ],
)
def test_what_does_not_go_together(arguments: tuple[str, ...], words: str) -> None:
    answer = asked("run", *arguments)
    assert answer.exit_code == 2 and words in answer.stderr and answer.stderr.count("\n") == 1
