"""`compare`, `card` and `log` as a user gives them, on records made by hand: no audit is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from recaudit.audit.evidence import AuditRun, Evidence, Finding, TargetCard, Unit
from recaudit.cli import comparing, tracking
from recaudit.cli.program import Commands

app = typer.Typer(cls=Commands)
app.command("compare")(comparing.compare)
app.command("card")(tracking.card)
app.command("log")(tracking.log)


def record(name: str, shift: float, data: str = "d" * 64, digest: str = "e" * 64) -> AuditRun:
    card = TargetCard(
        name=name, family="linear", model_fingerprint=name, data_fingerprint=data, users=9, items=9, train_events=1,
        valid_events=1, test_events=1, split="given", recipe={"model": "ease"}, reproduced=True,
    )  # fmt: skip
    units = [Unit(cluster=f"i{n}", seed=0, value=0.01 * n + shift + 0.001 * (n % 2) * shift) for n in range(8)]
    shared = {"title": "A <b>title</b>", "unit": "share", "n": 8}
    evidence = [
        Evidence.model_validate(values | shared)
        for values in (
            {"id": "quality.ndcg@20", "check": "quality", "measure": "ndcg@20", "worse": "lower", "estimate": 0.2,
             "standard_error": 0.01},
            {"id": "promotion.x.1%.head.hr@20", "check": "promotion", "measure": "hr@20", "worse": "higher",
             "estimate": sum(u.value for u in units) / 8, "units": units},
        )
    ]  # fmt: skip
    finding = Finding(
        id="quality.ndcg@20", check="quality", title="A <b>title</b>", status="pass", severity="error",
        measure="ndcg@20", unit="share", estimate=0.2, interval=(0.1, 0.3), confidence=0.95, bound=0.05,
        direction="lower", n=9, reason="the whole interval keeps the bound",
    )  # fmt: skip
    return AuditRun(
        status="complete", verdict="pass", exit_code=0, target=card, policy={"rules": [{"bound": 0.05}]},
        policy_digest="a" * 64, seed=0, environment={"recaudit": "0.1.0"}, started="2026-03-02T08:15:00+00:00",
        seconds=1.0, evidence_digest=digest, findings=[finding], evidence=evidence, cells=[], skipped=[], failures=[],
    )  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / "v1", tmp_path / "v2"
    for path, shift in zip(paths, (0.0, 0.1), strict=True):
        path.mkdir()
        (path / "run.json").write_text(record(path.name, shift).model_dump_json())
    return paths


def give(*arguments: object) -> tuple[int, str, str]:
    answer = CliRunner().invoke(app, list(map(str, arguments)))
    return answer.exit_code, answer.stdout, answer.stderr


def test_the_table_names_what_got_worse_first(folders: tuple[Path, Path]) -> None:
    code, out, err = give("compare", *folders)
    lines = out.splitlines()
    assert code == 0 and err == "" and len(lines) == 2
    assert (
        lines[0].startswith("worse            promotion.x.1%.head.hr@20")
        and "0.035 -> 0.1351, +0.1001 [+0.09" in lines[0]
    )
    assert lines[1].startswith("no change shown  quality.ndcg@20") and lines[1].endswith(", not paired")


def test_json_stays_pure_beside_files(folders: tuple[Path, Path], tmp_path: Path) -> None:
    page, text = tmp_path / "new" / "c.html", tmp_path / "c.md"
    code, out, err = give("compare", *folders, "--json", "--html", page, "--markdown", text)
    rows = {row["id"]: row for row in json.loads(out)}
    assert code == 0 and rows["promotion.x.1%.head.hr@20"]["change"] == "worse"
    assert set(rows["quality.ndcg@20"]) == {
        "id", "title", "earlier", "later", "difference", "interval", "paired", "change",
    }  # fmt: skip
    assert err.splitlines() == [str(page), str(text)]
    assert "1 got worse" in page.read_text() and "<b>title</b>" not in page.read_text()
    assert text.read_text().startswith("## v2 against v1")
    assert give("compare", *folders, "--html", page, "--quiet")[2] == ""


def test_other_data_are_refused_unless_asked_for(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (folders[1] / "run.json").write_text(record("v2", 0.1, data="else").model_dump_json())
    page = tmp_path / "c.html"
    code, out, err = give("compare", *folders, "--html", page)
    assert code == 2 and out == "" and "--any-data" in err and err.count("\n") == 1 and not page.exists()
    code, _, _ = give("compare", *folders, "--any-data", "--html", page)
    assert code == 0 and "on different data" in page.read_text()


def test_a_folder_without_a_run_is_named(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for command in (("compare", folders[0], tmp_path / "no"), ("card", tmp_path / "no"), ("log", tmp_path / "no")):
        code, _, err = give(*command)
        assert code == 2 and "run.json" in err and err.count("\n") == 1


def test_card_goes_to_stdout_or_to_a_file_that_is_not_overwritten(folders: tuple[Path, Path], tmp_path: Path) -> None:
    code, out, _ = give("card", folders[0])
    assert code == 0
    head = yaml.safe_load(out.split("---\n")[1])
    assert head["model-index"][0]["results"][0]["metrics"] == [{"type": "ndcg@20", "name": "NDCG@20", "value": 0.2}]
    path = tmp_path / "README.md"
    assert give("card", folders[0], "--out", path)[:2] == (0, f"{path}\n") and path.read_text() == out
    path.write_text("mine")
    code, _, err = give("card", folders[0], "--out", path)
    assert code == 2 and "--overwrite" in err and path.read_text() == "mine"
    assert give("card", folders[0], "--out", path, "--overwrite")[0] == 0 and path.read_text() == out


def test_log_logs_and_then_updates(folders: tuple[Path, Path], tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    store = (tmp_path / "store").as_uri()
    arguments = ("log", folders[0], "--to", "mlflow", "--uri", store, "--experiment", "films")
    code, first, _ = give(*arguments)
    assert code == 0 and first.startswith("logged: experiment films, run ")
    code, second, _ = give(*arguments)
    assert code == 0 and second == first.replace("logged", "updated")
    code, _, err = give("log", folders[0], "--to", "mflow")
    assert code == 2 and "mlflow" in err


def test_log_needs_a_store(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    code, _, err = give("log", folders[0])
    assert code == 2 and "--uri" in err


def test_help_teaches_by_example() -> None:
    for command in ("compare", "card", "log"):
        code, out, _ = give(command, "--help")
        assert code == 0 and f"recaudit {command}" in out
