from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recaudit.audit.evidence import AuditRun, CellResult, Evidence, Unit
from recaudit.reports.diverse import choose, greedy, worth_a_look

SEEDS = st.integers(0, 2**32 - 1)


def kernel(seed: int, n: int, rank: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, rank))
    return rows @ rows.T


def greedily(matrix: np.ndarray, k: int) -> list[int]:
    return greedy(np.diag(matrix), lambda j: matrix[:, j], k)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(1, 9), st.integers(1, 6))
def test_each_step_multiplies_the_determinant_most(seed: int, n: int, k: int) -> None:
    matrix = kernel(seed, n, n + 2)
    chosen = greedily(matrix, k)
    assert len(chosen) == len(set(chosen)) == min(n, k)
    for step in range(len(chosen)):
        before = chosen[:step]
        volumes = {j: np.linalg.det(matrix[np.ix_([*before, j], [*before, j])]) for j in range(n) if j not in before}
        assert volumes[chosen[step]] == pytest.approx(max(volumes.values()), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(2, 8), st.floats(1e-6, 1e6))
def test_the_scale_of_the_kernel_does_not_matter(seed: int, n: int, factor: float) -> None:
    matrix = kernel(seed, n, n)
    assert greedily(matrix * factor, n) == greedily(matrix, n)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 5), st.integers(1, 4))
def test_of_copies_one_is_taken_and_nothing_beyond_the_rank(seed: int, n: int, copies: int) -> None:
    points = np.random.default_rng(seed).normal(size=(n, 3)) * 3
    chosen = choose(np.repeat(points, copies, axis=0), np.ones(n * copies), n * copies)
    assert len({j // copies for j in chosen}) == len(chosen) == n
    matrix = kernel(seed, n + 3, n)
    assert len(greedily(matrix, n + 3)) <= n


def test_quality_decides_among_different_ones_and_variety_among_equals() -> None:
    far = np.array([[0.0], [10.0], [20.0], [30.0]])
    assert choose(far, np.array([1.0, 4.0, 2.0, 3.0]), 3) == [1, 3, 2]
    near = np.array([[0.0], [0.01], [5.0]])
    assert choose(near, np.array([3.0, 2.9, 1.0]), 2) == [0, 2]
    assert choose(np.empty((0, 1)), np.empty(0), 3) == [] and choose(near, np.ones(3), 0) == []


def test_many_items_stay_cheap() -> None:
    points = np.random.default_rng(1).normal(size=(2000, 6))
    chosen = choose(points, np.ones(2000), 12)
    assert len(chosen) == 12
    distances = [np.linalg.norm(points[a] - points[b]) for a, b in pairwise(chosen)]
    assert min(distances) > 2, "neighbours of what was chosen are left alone"


def test_only_cases_beyond_the_bound_of_open_findings_are_shown(run: AuditRun) -> None:
    found = worth_a_look(run, 8)
    statuses = {finding.id: finding for finding in run.findings}
    assert len(found) == 8
    for look in found:
        finding = statuses[look.finding]
        assert finding.status == look.status and look.status in ("fail", "inconclusive")
        assert look.past > 0 and look.past == pytest.approx(abs(look.value - look.bound))
        assert (look.value > look.bound) == (finding.direction == "higher")
        assert look.title == run.titles[look.subject] and look.cells
    assert len({(look.subject, look.attack, look.size) for look in found}) == 8, "not twice the same"
    assert len({look.subject for look in found}) >= 6 and len({look.attack for look in found}) >= 3
    assert worth_a_look(run, 8) == found


def test_more_varied_than_the_worst_ones(run: AuditRun) -> None:
    found = worth_a_look(run, 8)
    everything = sorted(worth_a_look(run, 10_000), key=lambda look: -look.past)
    assert len({(look.attack, look.stratum) for look in found}) >= len(
        {(look.attack, look.stratum) for look in everything[:8]}
    )


def test_a_run_without_failures_has_nothing_to_show(run: AuditRun) -> None:
    passed = [finding.model_copy(update={"status": "pass"}) for finding in run.findings]
    assert worth_a_look(run.model_copy(update={"findings": passed})) == []


def test_the_cells_of_the_case_come_first(run: AuditRun) -> None:
    def cell(key: str, kind: str, label: str, *items: str) -> CellResult:
        values = {f"target/{item}/hr@20": 0.1 for item in items}
        return CellResult.model_validate(
            {"key": key, "kind": kind, "label": label, "params": {}, "seed": 0, "values": values, "seconds": 1.0}
        )

    first = next(f for f in run.findings if f.status == "fail" and f.id.startswith("promotion"))
    found = next(e for e in run.evidence if e.id == first.id)
    subject = found.units[0].cluster
    cells = [
        cell("control", "refit", "control", subject, "other"),
        cell("own", "refit", f"push -> item {subject}", subject),
        cell("else", "refit", "push -> item other", "other"),
    ]

    def cells_of(cells: list[CellResult]) -> list[str]:
        changed: Evidence = found.model_copy(
            update={
                "cells": [c.key for c in cells],
                "units": [Unit(cluster=subject, seed=0, value=9.0), Unit(cluster="seed 3", seed=3, value=9.0)],
            }
        )
        small = run.model_copy(update={"findings": [first], "evidence": [changed], "cells": cells})
        (look,) = worth_a_look(small)
        assert look.subject == subject, "a seed is no case"
        return [key for key, _ in look.cells]

    assert cells_of(cells) == ["own"]
    assert cells_of(cells[:1]) == ["control"]
    assert cells_of([cell("asked", "inquiry", f"words -> item {subject}")]) == ["asked"]
    assert cells_of([]) == []
