"""Against real local stores of MLflow, read back by its own client."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun, CellResult, Evidence, Finding, TargetCard
from recaudit.datasets.errors import InputError, UnfinishedError
from recaudit.integrations import mlflow as module

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
mlflow = pytest.importorskip("mlflow")


def finding(name: str, status: str = "fail", estimate: float | None = 0.25) -> Finding:
    return Finding.model_validate(
        {"id": name, "check": name.split(".")[0], "title": "t", "status": status, "severity": "error", "measure": "m",
         "unit": "u", "estimate": estimate, "interval": None, "confidence": 0.95, "bound": 0.1, "direction": "higher",
         "n": 5, "reason": "r"}
    )  # fmt: skip


POLICY: dict[str, Any] = {
    "version": 1, "seed": 7, "strict": False, "cutoffs": [10, 20],
    "checks": {"promotion": {"attacks": ["bandwagon"], "sizes": ["5%"]}, "groups": {}},
    "rules": [{"select": "promotion.*.hr@20", "bound": 0.05, "reason": "one user in twenty"}],
    "waivers": [],
}  # fmt: skip


def audit(**update: Any) -> AuditRun:
    card = TargetCard(
        name="lightgcn-films", family="graph", model_fingerprint="m" * 64, data_fingerprint="d" * 64, users=9, items=9,
        train_events=1, valid_events=1, test_events=1, split="given", recipe={}, reproduced=True,
    )  # fmt: skip
    found = [finding("promotion.bandwagon.5%.cold.hr@20"), finding("exposure.gini@20", "pass", 0.7)]
    found += [finding("groups", "not_run", None)]
    evidence = Evidence(
        id="exposure.gini@20", check="exposure", title="t", measure="m", unit="u", worse="higher", estimate=0.7, n=5
    )
    cell = CellResult(key="k", kind="model", label="l", params={}, seed=0, values={}, seconds=1.0)
    run = AuditRun(
        status="complete", verdict="fail", exit_code=1, target=card, policy=POLICY, policy_digest="a" * 64, seed=7,
        environment={"recaudit": "0.1.0"}, started="2026-03-02T08:15:00+00:00", seconds=1.0, evidence_digest="e" * 64,
        findings=found, evidence=[evidence], cells=[cell], skipped=[], failures=[],
    )  # fmt: skip
    return run.model_copy(update=update)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "audit"
    (path / "cells").mkdir(parents=True)
    for name in ("run.json", "report.html", "junit.xml"):
        (path / name).write_text(f"content of {name}")
    for name in ("cells/secret.json", ".env", "notes.txt"):
        (path / name).write_text("not for others")
    (path / "report.md").symlink_to(path / "notes.txt")
    return path


@pytest.fixture
def store(tmp_path: Path) -> str:
    return (tmp_path / "store").as_uri()


def client(store: str) -> Any:
    return mlflow.MlflowClient(tracking_uri=store)


def test_everything_is_read_back(folder: Path, store: str) -> None:
    logged = module.log_run(audit(), folder, store, "films")
    assert not logged.updated and logged.experiment == "films"
    there = client(store).get_run(logged.run_id)
    assert there.info.status == "FINISHED" and there.info.run_name == "lightgcn-films"
    assert there.data.metrics == {
        "promotion.bandwagon.5pct.cold.hr_at_20": 0.25, "exposure.gini_at_20": 0.7, "findings.fail": 1.0,
        "findings.pass": 1.0, "findings.not_run": 1.0, "findings.inconclusive": 0.0, "findings.waived": 0.0,
    }  # fmt: skip
    params = there.data.params
    assert params["policy.cutoffs"] == "[10, 20]" and params["policy.checks.promotion.sizes"] == '["5%"]'
    assert params["policy.checks.groups"] == "{}" and params["policy.strict"] == "false"
    assert json.loads(params["policy.rules.0"])["bound"] == 0.05
    tags = {name: value for name, value in there.data.tags.items() if name.startswith("recaudit.")}
    assert tags["recaudit.verdict"] == "fail" and tags["recaudit.exit_code"] == "1"
    assert tags["recaudit.evidence_digest"] == "e" * 64 and tags["recaudit.model_fingerprint"] == "m" * 64
    for name in there.data.tags.keys() - tags.keys():
        assert name == "mlflow.runName", "no user, source or git revision"


def test_only_the_reports_become_artefacts(folder: Path, store: str, tmp_path: Path) -> None:
    logged = module.log_run(audit(), folder, store)
    names = {entry.path for entry in client(store).list_artifacts(logged.run_id)}
    assert names == {"run.json", "report.html", "junit.xml"}, "no cells, nothing else of the folder, no links"
    copy = client(store).download_artifacts(logged.run_id, "report.html", str(tmp_path))
    assert Path(copy).read_text() == "content of report.html"


def test_the_same_audit_is_updated_and_not_doubled(folder: Path, store: str) -> None:
    first = module.log_run(audit(), folder, store)
    (folder / "report.html").write_text("rendered again")
    waived = audit(findings=[finding("promotion.bandwagon.5%.cold.hr@20", "waived"), *audit().findings[1:]])
    for run in (audit(), waived.model_copy(update={"verdict": "pass", "exit_code": 0})):
        again = module.log_run(run, folder, store)
        assert again.updated and again.run_id == first.run_id
    reader = client(store)
    (experiment,) = [e for e in reader.search_experiments() if e.name == "recaudit"]
    assert len(reader.search_runs([experiment.experiment_id])) == 1
    assert len(reader.get_metric_history(first.run_id, "exposure.gini_at_20")) == 1, "equal values are not repeated"
    assert [m.value for m in reader.get_metric_history(first.run_id, "findings.fail")] == [1.0, 0.0]
    there = reader.get_run(first.run_id)
    assert there.data.tags["recaudit.verdict"] == "pass" and there.data.metrics["findings.waived"] == 1.0


def test_other_evidence_or_another_policy_is_another_run(folder: Path, store: str) -> None:
    runs = [audit(), audit(evidence_digest="f" * 64), audit(policy_digest="b" * 64, policy=POLICY | {"strict": True})]
    logged = [module.log_run(run, folder, store) for run in runs]
    assert len({entry.run_id for entry in logged}) == 3 and not any(entry.updated for entry in logged)


def test_hostile_and_long_names_are_taken(folder: Path, store: str) -> None:
    names = ["../../x", "..", "a/b//c", "a b", "a_b", "ü@\n'\"`", "x" * 900, "x" * 899 + "y", "\u202e%", "mlflow.note"]
    run = audit(
        findings=[finding(name, "fail", float(n)) for n, name in enumerate(names)],
        policy={"checks": {name: {"text": name * 30} for name in names}, "long": "ü" * 20_000, "": {"": []}},
        target=audit().target.model_copy(update={"name": "<b>'; drop\n" + "x" * 10_000}),
    )
    logged = module.log_run(run, folder, store, "a/../b <script>")
    there = client(store).get_run(logged.run_id)
    estimates = {v for name, v in there.data.metrics.items() if not name.startswith("findings.")}
    assert estimates == {float(n) for n in range(len(names))}, "no two names fall together"
    assert len(there.data.params) == len(names) + 2
    for name in (*there.data.metrics, *there.data.params):
        assert re.fullmatch(r"[\w.-]{1,250}", name, re.ASCII), name
    assert max(map(len, there.data.params.values())) <= 6000 and "\n" not in there.info.run_name


def test_many_findings_and_settings_go_in_batches(folder: Path, store: str) -> None:
    run = audit(
        findings=[finding(f"promotion.{n}.hr@20") for n in range(2100)],
        policy={"rules": [{"select": f"{n}", "reason": "ü" * 3000} for n in range(230)]},
    )
    there = client(store).get_run(module.log_run(run, folder, store).run_id)
    assert len(there.data.metrics) == 2105 and len(there.data.params) == 230


def test_legal_names() -> None:
    assert module.legal_name("promotion.bandwagon.5%.cold.hr@20") == "promotion.bandwagon.5pct.cold.hr_at_20"
    assert module.legal_name("..") == "_.." and module.legal_name("") == "_" and module.legal_name("a/b:c") == "a_b_c"
    assert len(module.legal_name("x" * 900)) == 250
    same = module.metrics(audit(findings=[finding("a@b", estimate=1.0), finding("a_at_b", estimate=2.0)]))
    assert Counter(len(name) for name in same if name.startswith("a_at_b")) == {15: 2}


def test_what_cannot_be_logged_is_one_line(folder: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match="--uri"):
        module.log_run(audit(), folder)
    with pytest.raises(InputError, match="--experiment"):
        module.log_run(audit(), folder, store, " \n")
    with pytest.raises(UnfinishedError, match="has not finished"):
        module.log_run(audit(evidence_digest=""), folder, store)
    with pytest.raises(InputError, match="no digest"):
        module.log_run(audit(evidence_digest="x' or '1'='1"), folder, store)
    with pytest.raises(InputError, match="nosuch") as caught:
        module.log_run(audit(), folder, "nosuch://user:secret@host/x")
    assert "secret" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InputError, match=r"pip install 'recaudit\[mlflow\]'"):
        module.log_run(audit(), folder, store)


CODE = """
import sys
from pathlib import Path
sockets = []
wanted = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda event, args: sockets.append(event) if event in wanted else None)
from recaudit.audit.evidence import AuditRun
from recaudit.integrations.mlflow import log_run
run = AuditRun.model_validate_json(Path(sys.argv[1]).read_bytes())
log_run(run, Path(sys.argv[1]).parent, sys.argv[2])
from mlflow.telemetry.utils import is_telemetry_disabled
import time; time.sleep(0.5)
assert is_telemetry_disabled() and not sockets, sockets
assert "torch" not in sys.modules
"""


@pytest.mark.parametrize("kind", ["folder", "database"])
def test_nothing_but_the_store_is_touched(folder: Path, tmp_path: Path, kind: str) -> None:
    if kind == "database":
        pytest.importorskip("sqlalchemy")
        pytest.importorskip("alembic")
    (folder / "run.json").write_text(audit().model_dump_json())
    home, work, store = (tmp_path / name for name in ("home", "work", "kept"))
    for path in (home, work, store):
        path.mkdir()
    uri = store.as_uri() if kind == "folder" else f"sqlite:///{store}/mlflow.db"
    # without the marks of test and CI runs, which switch MLflow's reporting off by themselves
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")}
    env = kept | {"HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    answer = subprocess.run(
        [sys.executable, "-c", CODE, str(folder / "run.json"), uri], cwd=work, env=env, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    assert list(work.iterdir()) == [] and list(home.iterdir()) == [] and list(store.iterdir())
