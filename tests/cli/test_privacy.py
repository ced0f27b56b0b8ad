"""The privacy commands on a small checkpoint: a file of single users, a bound from planted canaries."""

from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from recaudit.cli import tables
from recaudit.cli.privacy import _write_private
from recaudit.datasets.errors import UnfinishedError

Recaudit = Callable[..., "CompletedProcess[str]"]


@pytest.fixture(scope="module")
def planted(recaudit: Recaudit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("privacy")
    found = {name: folder / name for name in ("train.csv", "secret.json", "ckpt", "regular", "work")}
    answer = recaudit("unlearn", "plant", "--out", found["train.csv"], "--secret", found["secret.json"], "--count", 300)
    assert answer.returncode == 0, answer.stderr
    for name, weight in (("ckpt", 5), ("regular", 100_000)):
        answer = recaudit(
            "train", "--model", "ease", "--set", f"regularisation={weight}", "--data", found["train.csv"],
            "--out", found[name],
        )  # fmt: skip
        assert answer.returncode == 0, answer.stderr
    return found


def test_a_memorised_canary_refutes_a_claim(recaudit: Recaudit, planted: dict[str, Path]) -> None:
    def bound(name: str, *more: Any) -> tuple[int, dict[str, Any]]:
        answer = recaudit(
            "privacy", "epsilon", "--model", planted[name], "--secret", planted["secret.json"], "--json", *more
        )
        return answer.returncode, json.loads(answer.stdout)

    code, found = bound("ckpt", "--claimed", 0.1)
    assert code == 1 and 0.1 < found["epsilon"] <= found["ceiling"] and found["refuted"]
    assert found["unit"] == "interaction"
    assert bound("ckpt", "--claimed", 50)[0] == 0 == bound("ckpt")[0]
    assert bound("regular")[1]["epsilon"] < found["epsilon"]


def test_the_risk_file_is_the_owners_alone_and_names_users(
    recaudit: Recaudit, planted: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "risk.csv"
    out.write_text("old")
    out.chmod(0o644)
    answer = recaudit("privacy", "risk", "--model", planted["ckpt"], "--out", out, "--work", planted["work"])
    assert answer.returncode == 0, answer.stderr
    assert "median exposure" in answer.stdout and "rank correlation" in answer.stdout
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    rows = list(csv.DictReader(out.open()))
    untold = [row for row in rows if row["exposure"] == ""]
    assert rows[len(rows) - len(untold) :] == untold and all(row["first_half"] == "" for row in untold)
    assert (f"{len(untold):,} users could not be tried" in answer.stdout) == bool(untold)
    assert [path.name for path in tmp_path.iterdir()] == ["risk.csv"]  # nothing half-written beside it
    exposure = [float(row["exposure"]) for row in rows[: len(rows) - len(untold)]]
    assert len(rows) > 100 and exposure == sorted(exposure, reverse=True) and exposure[0] > 0.9
    assert rows[0].keys() == {"user", "events_tried", "exposure", "first_half", "second_half"}


def test_the_risk_file_is_checked_before_any_model_is_trained(
    recaudit: Recaudit, planted: dict[str, Path], tmp_path: Path
) -> None:
    for out, words in (
        (tmp_path, "is a folder"), (tmp_path / "x.xlsx", ".csv or .parquet"), (tmp_path / "no" / "x.csv", "no folder")
    ):  # fmt: skip
        answer = recaudit(
            "privacy", "risk", "--model", planted["ckpt"], "--out", out, "--work", tmp_path / "work", "--jobs", 1
        )
        assert answer.returncode == 2 and words in answer.stderr and len(answer.stderr.splitlines()) == 1
        assert not (tmp_path / "work").exists()


def test_an_old_risk_file_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, columns: Any) -> None:
        path.write_text("half")
        raise UnfinishedError("no space left")

    out = tmp_path / "risk.csv"
    out.write_text("old")
    with monkeypatch.context() as patched, pytest.raises(UnfinishedError):
        patched.setattr(tables, "write_table", broken)
        _write_private(out, {})
    assert out.read_text() == "old" and list(tmp_path.iterdir()) == [out]
    _write_private(out, {"user": ["a"], "exposure": [0.5]})
    assert out.read_text().splitlines() == ["user,exposure", "a,0.5"] and stat.S_IMODE(out.stat().st_mode) == 0o600


def test_wrong_use_is_one_line(recaudit: Recaudit, planted: dict[str, Path], tmp_path: Path) -> None:
    for arguments, words in (
        (("privacy", "epsilon", "--model", planted["ckpt"], "--secret", tmp_path / "none.json"), "none.json"),
        (("privacy", "epsilon", "--model", tmp_path / "none", "--secret", planted["secret.json"]), "none"),
        (("privacy", "risk", "--model", tmp_path / "none", "--out", tmp_path / "x.csv"), "none"),
    ):
        answer = recaudit(*arguments)
        assert answer.returncode == 2 and words in answer.stderr and len(answer.stderr.splitlines()) == 1
