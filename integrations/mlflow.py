"""A finished audit as a run of MLflow: metrics, parameters, tags, and the reports as artefacts.

Only the client of MLflow is used, on the store that is named: nothing is read from or written to the working folder, no
user, host or git revision is recorded, and MLflow's own reporting of its use is switched off before it is imported.

An audit is known by its evidence digest and its policy digest (tags). Logged again it updates its run; it is not
doubled. Evidence judged under another policy is another run: parameters in MLflow never change.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlparse

from ..audit.evidence import AuditRun
from ..datasets.errors import InputError, UnfinishedError
from ..reports.readings import ORDER
from ..reports.text import cut, undirected

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Value = TypeVar("Value")

INSTALL = "python -m pip install 'recaudit[mlflow]'"
PREFIX = "recaudit."
"""Of all tags."""
FILES = (
    "run.json", "evidence.jsonl", "evidence.parquet", "report.html", "report.md", "report.pdf", "record.html",
    "junit.xml", "recaudit.sarif", "manifest.json", "manifest.dsse.json",
)  # fmt: skip
"""What is logged of a folder where it is there: by name, so that nothing else of the folder leaves it."""
KEY, VALUE, TAG, EXPERIMENT = 250, 6000, 5000, 500
"""Characters that MLflow's stores take."""
METRIC_BATCH, BATCH, BATCH_CHARACTERS = 1000, 100, 500_000
"""Metrics, or parameters and tags, of one request, and how much text (MLflow: 1000, 100, 1 MB)."""
_WORDS = {"@": "_at_", "%": "pct", "+": "plus"}
_ILLEGAL = re.compile(r"[^A-Za-z0-9_.\-]")


@dataclass(frozen=True)
class Logged:
    """Where an audit went.

    Attributes:
        run_id: of MLflow.
        experiment: its name.
        uri: of the store, without a password.
        updated: whether the audit was there before.
    """

    run_id: str
    experiment: str
    uri: str
    updated: bool


def log_run(run: AuditRun, folder: Path, uri: str | None = None, experiment: str = "recaudit") -> Logged:
    """Log an audit, or update what was logged of it.

    Args:
        run: the record.
        folder: of the run; its reports become artefacts.
        uri: of the tracking store; MLFLOW_TRACKING_URI if not given.
        experiment: name; made if it is not there.

    Raises:
        InputError: MLflow is not installed, there is no store, or the store refuses; the message says what to do.
        UnfinishedError: the audit holds no evidence yet.
    """
    if not run.evidence_digest:
        raise UnfinishedError(f"{folder}: the audit has not finished; give its `recaudit run` command again")
    name = cut(experiment, EXPERIMENT)
    if not name:
        raise InputError("--experiment: give a name that is not empty")
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise InputError("no MLflow store: give --uri, for example --uri http://localhost:5000, or MLFLOW_TRACKING_URI")
    client, refused = _client(uri)
    try:
        return _log(client, run, folder, uri, name)
    except refused as error:
        raise _refusal(uri, error) from None


def metrics(run: AuditRun) -> dict[str, float]:
    """Estimates of the findings by legal name, and the number of findings of each status (`findings.STATUS`)."""
    found = {f.id: f.estimate for f in run.findings if f.estimate is not None}
    tally = Counter(finding.status for finding in run.findings)
    counts = {f"findings.{status}": float(tally[status]) for status in ORDER if status != "measured"}
    return counts | {name: value for name, value in _legal(found).items() if name not in counts}


def parameters(run: AuditRun) -> dict[str, str]:
    """The policy, flattened: `policy.checks.promotion.sizes`; lists as JSON, a rule a parameter; cut to the limits."""
    legal = _legal({f"policy.{name}": value for name, value in _flat(run.policy, "")})
    return {name: cut(value, VALUE) for name, value in legal.items()}


def tags(run: AuditRun) -> dict[str, str]:
    """Verdict, digests and target."""
    found = {
        "verdict": run.verdict,
        "exit_code": str(run.exit_code),
        "status": run.status,
        "target": run.target.name,
        "family": run.target.family,
        "evidence_digest": run.evidence_digest,
        "policy_digest": run.policy_digest,
        "model_fingerprint": run.target.model_fingerprint,
        "data_fingerprint": run.target.data_fingerprint,
        "version": run.environment.get("recaudit", ""),
        "started": run.started,
    }
    return {PREFIX + name: _plain(value, TAG) for name, value in found.items()}


def legal_name(name: str) -> str:
    """A name as MLflow takes it: "hr@20" becomes "hr_at_20", "5%" "5pct", anything else odd "_", at most 250 long."""
    for sign, word in _WORDS.items():
        name = name.replace(sign, word)
    name = _ILLEGAL.sub("_", name)
    if not name or name.startswith("."):  # MLflow refuses what could be read as a folder above
        name = f"_{name}"
    return name if len(name) <= KEY else f"{name[: KEY - 9]}-{_short(name)}"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _legal(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values by legal name; names that fall together get a digest of what they were."""
    wanted = Counter(legal_name(name) for name in values)
    return {
        legal if wanted[legal := legal_name(name)] == 1 else f"{legal[: KEY - 9]}-{_short(name)}": value
        for name, value in values.items()
    }


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _flat(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
        for place, entry in enumerate(value):
            yield f"{name}.{place}", json.dumps(entry, ensure_ascii=False)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(value: str, limit: int) -> str:
    return cut(undirected(value), limit)


def _client(uri: str) -> tuple[MlflowClient, type[Exception]]:
    """A client of the store, and the error it raises."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    if urlparse(uri).scheme in ("", "file"):
        # MLflow has put folders behind this switch; whoever names one wants one
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise InputError(f"MLflow cannot be imported ({error}); {INSTALL}") from None
    try:
        return MlflowClient(tracking_uri=uri), MlflowException
    except (MlflowException, ImportError) as error:
        raise _refusal(uri, error) from None


def _refusal(uri: str, error: Exception) -> InputError:
    """What the store said, without a password that stood in its address."""
    shown = address(uri)
    said = cut(str(error).replace(uri, shown), 300)
    hint = "; for databases install the whole of MLflow: python -m pip install mlflow" if "sql" in uri else ""
    return InputError(f"MLflow store {cut(shown, 200)}: {said}{hint}")


def address(uri: str) -> str:
    """A store's address without user name and password."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


def _log(client: MlflowClient, run: AuditRun, folder: Path, uri: str, name: str) -> Logged:
    known = client.get_experiment_by_name(name)
    identity = known.experiment_id if known else client.create_experiment(name, _artefacts_at(uri))
    there = _logged_before(client, identity, run)
    if there is None:
        there = client.create_run(identity, tags=tags(run), run_name=_plain(run.target.name, KEY) or "audit")
        updated = False
    else:
        updated = True
    _write(client, there, run)
    for path in (folder / name for name in FILES):
        if path.is_file() and not path.is_symlink():
            client.log_artifact(there.info.run_id, str(path))
    client.set_terminated(there.info.run_id, "FINISHED" if run.status == "complete" else "FAILED")
    return Logged(there.info.run_id, name, address(uri), updated)


def _logged_before(client: MlflowClient, experiment: str, run: AuditRun) -> Run | None:
    own = tags(run)
    digests = [f"tags.`{PREFIX}{name}` = '{own[PREFIX + name]}'" for name in ("evidence_digest", "policy_digest")]
    if any("'" in digest.split(" = ")[1][1:-1] for digest in digests):
        raise InputError("run.json: evidence_digest or policy_digest is no digest; the record is damaged")
    found = client.search_runs([experiment], " and ".join(digests), max_results=1)
    return found[0] if found else None


def _write(client: MlflowClient, there: Run, run: AuditRun) -> None:
    """What is new or has changed; equal metrics are not written again, lest their history grow."""
    from mlflow.entities import Metric, Param, RunTag

    now, identity = int(time.time() * 1000), there.info.run_id
    old = there.data
    points = [Metric(key, value, now, 0) for key, value in metrics(run).items() if old.metrics.get(key) != value]
    fixed = [Param(key, value) for key, value in parameters(run).items() if key not in old.params]
    marks = [RunTag(key, value) for key, value in tags(run).items() if old.tags.get(key) != value]
    for start in range(0, len(points), METRIC_BATCH):
        client.log_batch(identity, metrics=points[start : start + METRIC_BATCH])
    for some in _batches(fixed):
        client.log_batch(identity, params=some)
    for some in _batches(marks):
        client.log_batch(identity, tags=some)


def _batches(entries: Sequence[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for entry in entries:
        length = len(entry.key) + 4 * len(entry.value)
        if batch and (len(batch) == BATCH or size + length > BATCH_CHARACTERS):
            yield batch
            batch, size = [], 0
        batch.append(entry)
        size += length
    if batch:
        yield batch


def _artefacts_at(uri: str) -> str | None:
    """Beside a local database, where MLflow would take ./mlruns; None leaves it to the store."""
    parts = urlparse(uri)
    if not parts.scheme.startswith("sqlite") or not parts.path.strip("/"):
        return None
    # sqlite:///relative.db, sqlite:////absolute.db
    return (Path(unquote(parts.path[1:])).absolute().parent / "mlartifacts").as_uri()
