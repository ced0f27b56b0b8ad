"""Run one check on a small target, as the engine does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.evidence import Evidence
from recaudit.audit.probe import Probe
from recaudit.audit.store import Store
from recaudit.fairness.side import ExposureMeasures
from recaudit.recommenders.target import Target


def evidence_of(probe: Probe, target: Target, folder: Path, cutoffs: tuple[int, ...] = (10, 20)) -> Sequence[Evidence]:
    """The evidence of a check whose cells are computed in this process."""
    protocol, store = Protocol(cutoffs, (ExposureMeasures(),)), Store(folder)
    results, _ = run_plan(make_plan(target, [probe], protocol, store), target, protocol, store, jobs=1)
    return probe.evidence(target, results)
