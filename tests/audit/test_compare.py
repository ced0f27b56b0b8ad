"""Two runs side by side: pairing, direction, simultaneous intervals, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recaudit.audit.compare import compare
from recaudit.audit.evidence import AuditRun, Evidence, TargetCard, Unit
from recaudit.audit.statistics import interval, normal_interval
from recaudit.datasets.errors import InputError


def run_of(*evidence: Evidence, data: str = "d") -> AuditRun:
    card = TargetCard(
        name="m", family="linear", model_fingerprint="f", data_fingerprint=data, users=9, items=9, train_events=1,
        valid_events=1, test_events=1, split="given", recipe={}, reproduced=True,
    )  # fmt: skip
    return AuditRun(
        status="complete", verdict="pass", exit_code=0, target=card, policy={}, policy_digest="", seed=0,
        environment={}, started="", seconds=0.0, evidence_digest="", findings=[], evidence=list(evidence), cells=[],
        skipped=[], failures=[],
    )  # fmt: skip


def evidence(name: str = "exposure.gini@5", **values: Any) -> Evidence:
    fields = {"check": "exposure", "title": "t", "measure": "m", "unit": "0..1", "worse": "higher", "n": 100}
    return Evidence(id=name, **(fields | {"estimate": 0.5} | values))


def units(values: list[float]) -> list[Unit]:
    return [Unit(cluster=f"i{n // 2}", seed=n % 2, value=value) for n, value in enumerate(values)]


def test_standard_errors_are_independent_unless_a_paired_one_is_known() -> None:
    first, second = run_of(evidence(standard_error=0.03)), run_of(evidence(estimate=0.58, standard_error=0.04))
    (plain,) = compare(first, second)
    assert plain.interval == pytest.approx(normal_interval(0.08, 0.05, 0.95)) and not plain.paired
    assert plain.change == "no change shown"
    (paired,) = compare(first, second, {"exposure.gini@5": 0.01})
    assert paired.interval == pytest.approx(normal_interval(0.08, 0.01, 0.95)) and paired.paired
    assert paired.change == "worse"


@pytest.mark.parametrize(("worse", "change"), [("higher", "better"), ("lower", "worse")])
def test_direction_decides_what_a_fall_means(worse: str, change: str) -> None:
    runs = [run_of(evidence(estimate=value, standard_error=0.001, worse=worse)) for value in (0.5, 0.4)]
    assert compare(*runs)[0].change == change


def test_experiments_are_paired_by_target_and_seed() -> None:
    generator = np.random.default_rng(1)
    base = generator.normal(0, 1, 12)
    later = base + 0.2 + generator.normal(0, 0.01, 12)
    first = run_of(evidence("promotion.x", estimate=float(base.mean()), units=units(base.tolist())))
    second = run_of(evidence("promotion.x", estimate=float(later.mean()), units=units(later.tolist())[::-1]))
    (found,) = compare(first, second)
    expected = interval(later - base, [f"i{n // 2}" for n in range(12)], 0.95)
    assert found.interval == pytest.approx(expected) and found.paired and found.change == "worse"
    assert found.interval[0] < 0.2 < found.interval[1]


def test_intervals_widen_with_the_number_of_differences() -> None:
    names = [f"exposure.m{n}@5" for n in range(10)]
    runs = [run_of(*(evidence(name, estimate=e, standard_error=0.1) for name in names)) for e in (0.5, 0.6)]
    alone = compare(*(run_of(run.evidence[0]) for run in runs))[0].interval
    together = compare(*runs)[0].interval
    assert together[0] < alone[0] and together[1] > alone[1]


def test_other_data_are_refused_and_never_paired() -> None:
    first = run_of(evidence(standard_error=0.1), evidence("promotion.x", units=units([1.0] * 6)))
    second = run_of(*first.evidence, data="other")
    with pytest.raises(InputError, match="different data"):
        compare(first, second)
    found = {row.id: row for row in compare(first, second, {"exposure.gini@5": 0.01}, any_data=True)}
    assert not found["exposure.gini@5"].paired and found["promotion.x"].change == "unknown"


def test_nothing_in_common_is_an_error() -> None:
    with pytest.raises(InputError, match="in common"):
        compare(run_of(evidence("a.b")), run_of(evidence("c.d"), evidence("a.b", estimate=None, missing="x")))
