"""What an audit will cost, before it runs."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ..recommenders.target import Target
from .engine import Plan

WORKER_MIB = 450
"""Resident memory of a worker that has imported everything and holds no data (453 measured, torch 2.13 CPU)."""


@dataclass(frozen=True)
class Cost:
    """Number of cells, wall seconds (None if the checkpoint does not say how long it trained), memory."""

    cells: int
    missing: int
    workers: int
    seconds: float | None
    memory_mib: float

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "total": self.cells, "missing": self.missing, "workers": self.workers,
            "seconds": self.seconds, "memory_mib": round(self.memory_mib),
        }  # fmt: skip

    def sentence(self) -> str:
        """For people."""
        when = "unknown time (the checkpoint does not say how long it trained)"
        if self.seconds is not None:
            when = (
                f"about {max(1, round(self.seconds / 60))} min" if self.seconds > 90 else f"about {self.seconds:.0f} s"
            )
        return (
            f"{self.cells} cells, {self.missing} to compute: {when} on {self.workers} workers, "
            f"about {self.memory_mib / 1024:.1f} GiB of memory"
        )


def estimate(plan: Plan, target: Target, jobs: int | None) -> Cost:
    """The cost of what is missing in a plan.

    A refit costs what the training of the checkpoint cost by its own record, an inquiry what it says itself, a
    reference model a small part. Memory counts each worker's
    copy of the log (16 bytes an event, three times over while a model is built), its float32 vectors with optimiser
    state, and one block of scores.
    """
    workers = min(jobs or os.cpu_count() or 1, max(len(plan.missing), 1))
    log = target.split.train
    kinds = Counter(cell.kind for cell in plan.missing.values())
    asked = sum(cell.inquiry.trainings for cell in plan.missing.values() if cell.inquiry is not None)
    refits = kinds["refit"] + asked
    seconds = None
    if target.fit_seconds is not None:
        seconds = (refits * target.fit_seconds + 0.5 * (kinds["model"] + kinds["reference"])) / workers
    weights = sum(tensor.numel() * tensor.element_size() for tensor in target.model.state().values())
    block = 512 * log.n_items * 4
    memory = workers * (WORKER_MIB + (3 * 16 * len(log) + 4 * weights + 2 * block) / 2**20)
    return Cost(len(plan.cells), len(plan.missing), workers, seconds, memory)
