"""The whole audit of one target: plan, cells, evidence, findings, the run record."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import ValidationError

from ..datasets.errors import PolicyError, unknown_name
from ..recommenders.target import Target
from .bench import Protocol
from .cell import recipe_json
from .digests import code_digest, evidence_digest
from .engine import Plan, Progress, make_plan, run_plan
from .evidence import AuditRun, CellResult, Evidence, TargetCard
from .policy import Policy
from .probe import Probe
from .store import Store, write_atomically
from .tables import parquet
from .verdict import conclude, judge

LIBRARIES = ("torch", "torch-geometric", "numpy", "scipy", "scikit-learn", "pandas", "polars")


def build_probes(policy: Policy, classes: Mapping[str, type[Probe]], only: Sequence[str] = ()) -> list[Probe]:
    """The checks that a policy enables, in its order.

    Args:
        policy: whose `checks` name them and hold their settings.
        classes: the checks there are, by key.
        only: globs over keys; empty means all.

    Raises:
        PolicyError: an unknown check or a bad setting, with the field's name.
    """
    probes = []
    for key, settings in policy.checks.items():
        if key not in classes:
            raise PolicyError(f"policy: checks: {unknown_name('check', key, classes)}")
        if not settings.get("enabled", True) or (only and not any(fnmatchcase(key, glob) for glob in only)):
            continue
        try:
            config = classes[key].config_type.model_validate({k: v for k, v in settings.items() if k != "enabled"})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in ("checks", key, *first["loc"]))
            raise PolicyError(f"policy: {where}: {first['msg']} (got {first['input']!r})") from error
        probes.append(classes[key](config, policy.seed))
    return probes


def audit(
    target: Target,
    policy: Policy,
    probes: Sequence[Probe],
    protocol: Protocol,
    out: Path,
    *,
    jobs: int | None = None,
    backend: str = "loky",
    progress: Progress | None = None,
    today: date | None = None,
) -> AuditRun:
    """Run the checks, judge them, and write `run.json` and `evidence.jsonl` to the folder `out`.

    Run again after an interruption it computes what is missing and gives the same evidence digest. While it
    runs, `run.json` stands with status "incomplete", so that a killed run is never taken for a result.
    """
    started, clock = datetime.now(UTC), time.perf_counter()
    store = Store(out / "cells")
    plan = make_plan(target, probes, protocol, store)
    blank = AuditRun(
        status="incomplete",
        verdict="inconclusive",
        exit_code=3,
        target=_card(target, None),
        policy=policy.model_dump(mode="json"),
        policy_digest=policy.digest,
        seed=policy.seed,
        environment=environment(),
        started=started.isoformat(timespec="seconds"),
        seconds=0.0,
        evidence_digest="",
        findings=[],
        evidence=[],
        cells=[],
        skipped=list(plan.skipped),
        failures=[],
    )
    _write(out, blank)
    results, failures = run_plan(plan, target, protocol, store, jobs=jobs, backend=backend, progress=progress)
    evidence = [found for probe in plan.probes for found in probe.evidence(target, results)]
    findings = judge(evidence, plan.skipped, failures, policy, today or datetime.now(UTC).date())
    verdict, exit_code = conclude(
        findings, policy, not failures, target.origin is not None and target.origin.verified is False
    )
    cells = sorted(results.by_key.values(), key=lambda cell: cell.key)
    run = blank.model_copy(
        update={
            "status": "incomplete" if failures else "complete",
            "verdict": verdict,
            "exit_code": exit_code,
            "target": _card(target, _reproduced(evidence)),
            "seconds": round(time.perf_counter() - clock, 1),
            "evidence_digest": digest(cells, evidence),
            "findings": findings,
            "evidence": evidence,
            "cells": cells,
            "failures": failures,
            "titles": _titles(target, plan),
        }
    )
    write_atomically(out / "evidence.parquet", parquet(evidence))
    _write(out, run)
    return run


def digest(cells: Sequence[CellResult], evidence: Sequence[Evidence]) -> str:
    """SHA-256 over everything that was measured, times excepted: equal for equal results."""
    dumped = ([entry.model_dump(mode="json") for entry in entries] for entries in (cells, evidence))
    return evidence_digest(*dumped)


def environment() -> dict[str, str]:
    """Versions that numbers may depend on; no host or user names."""
    from .. import __version__

    found = {
        "recaudit": __version__,
        "code": code_digest(),
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for library in LIBRARIES:
        try:
            found[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


def _write(out: Path, run: AuditRun) -> None:
    lines = "".join(found.model_dump_json() + "\n" for found in run.evidence)
    write_atomically(out / "evidence.jsonl", lines.encode())
    write_atomically(out / "run.json", run.model_dump_json(indent=1).encode())


def _reproduced(evidence: Sequence[Evidence]) -> bool | None:
    for found in evidence:
        if found.id == "quality.reproduction" and found.estimate is not None:
            return found.estimate <= 1e-6
    return None


def _titles(target: Target, plan: Plan) -> dict[str, str]:
    log = target.split.train
    watched = sorted({item for cell in plan.cells.values() for item in cell.watch})
    return {str(log.item_ids[item]): log.title(item) for item in watched}


def _card(target: Target, reproduced: bool | None) -> TargetCard:
    split = target.split
    return TargetCard(
        name=target.name,
        family=target.model.family,
        model_fingerprint=target.fingerprint,
        data_fingerprint=split.fingerprint,
        users=split.train.n_users,
        items=split.train.n_items,
        train_events=len(split.train),
        valid_events=len(split.valid),
        test_events=len(split.test),
        split=split.recipe,
        recipe=recipe_json(target.recipe),
        reproduced=reproduced,
        origin=None if target.origin is None else target.origin.format,
        verified=None if target.origin is None else target.origin.verified,
    )
