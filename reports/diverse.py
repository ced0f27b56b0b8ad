"""The few failures of an audit that an engineer looks at first: bad ones, and unlike each other.

The worst ten are mostly ten times the same thing: one attack, one stratum. A determinantal point process prefers sets
that are good one by one and different from each other; Nguyen et al. 2023, "Efficient Failure Pattern Identification
of Predictive Algorithms" (UAI), choose failing samples for a person to look at in that way. The set is found by the
greedy search of Chen et al. 2018, "Fast Greedy MAP Inference for Determinantal Point Process to Improve Recommendation
Diversity" (NeurIPS), algorithm 1.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..audit.evidence import AuditRun, CellResult, Evidence, Finding
from .readings import real

Floats = NDArray[np.float64]

TOLERANCE = 1e-10
"""Share of an item's own weight below which what it adds is rounding: a copy of what was chosen."""
CANDIDATES = 2000
"""Failures that are weighed against each other at most, the worst ones."""
WORST = 3.0
"""Beyond this many times the usual excess a failure is not made heavier: variety would have no say."""


def greedy(diagonal: Floats, column: Callable[[int], Floats], k: int, tolerance: float = TOLERANCE) -> list[int]:
    """Choose items one by one, each the one that multiplies the determinant of the chosen most.

    The Cholesky factor grows by a row a step, so that k of n items cost O(n k^2) and k columns of the kernel.

    Args:
        diagonal: float64 [n], the kernel's diagonal, not negative.
        column: gives a column of the kernel, float64 [n]; the kernel must be positive semidefinite.
        k: how many to choose.
        tolerance: an item of which a smaller share than this is new is never chosen.

    Returns:
        Indices in the order of choice; fewer than k where the rest adds nothing.
    """
    left = np.array(diagonal, np.float64)
    n = len(left)
    floor = tolerance * left
    open_ = left > 0
    rows = np.zeros((min(k, n), n))
    chosen: list[int] = []
    while len(chosen) < min(k, n):
        gain = np.where(open_ & (left > floor), left, -np.inf)
        best = int(gain.argmax())
        if gain[best] == -np.inf:
            break
        step = len(chosen)
        rows[step] = (column(best) - rows[:step, best] @ rows[:step]) / math.sqrt(left[best])
        left -= rows[step] ** 2
        open_[best] = False
        chosen.append(best)
    return chosen


def choose(features: Floats, quality: Floats, k: int) -> list[int]:
    """A diverse handful by a kernel of quality times similarity: q_i exp(-|x_i - x_j|^2 / 2) q_j.

    Args:
        features: float64 [n, d]; points that lie near each other count as alike.
        quality: float64 [n], positive; only ratios matter.
        k: how many to choose.

    Returns:
        Indices in the order of choice, at most k; of equal points one.
    """
    if len(quality) == 0:
        return []

    def column(j: int) -> Floats:
        similar: Floats = np.exp(-0.5 * ((features - features[j]) ** 2).sum(1))
        weighted: Floats = quality * similar * quality[j]
        return weighted

    return greedy(quality**2, column, k)


@dataclass(frozen=True)
class Look:
    """One item, user or case that broke a bound in one finding.

    Attributes:
        subject: its id, as the evidence names it.
        title: for people; the id where there is none.
        finding: id of the finding.
        status: of the finding, "fail" or "inconclusive".
        attack: name, or what stands for it; empty if there is none.
        size: of the attack, as text; may be empty.
        stratum: popularity group; may be empty.
        measure: the finding's.
        unit: of the numbers.
        value: mean over the case's seeds.
        bound: what it broke.
        past: how far the value lies on the bad side, positive.
        cells: keys and labels of the cells that show it, those of this case alone where there are any.
    """

    subject: str
    title: str
    finding: str
    status: str
    attack: str
    size: str
    stratum: str
    measure: str
    unit: str
    value: float
    bound: float
    past: float
    cells: tuple[tuple[str, str], ...]


def worth_a_look(run: AuditRun, k: int = 6) -> list[Look]:
    """A diverse handful among the cases that lie beyond the bound of a failed or inconclusive finding.

    Quality is the excess over the bound, beside the usual excess of the same measure. Alike are cases of one check,
    attack, stratum and item, of similar size and excess.

    Args:
        run: the record.
        k: how many at most.
    """
    evidence = {found.id: found for found in run.evidence}
    cases: list[tuple[Finding, Evidence, str, float, float]] = []
    for finding in run.findings:
        known = evidence.get(finding.id)
        if finding.status not in ("fail", "inconclusive") or finding.bound is None or known is None:
            continue
        sign = 1 if finding.direction == "higher" else -1
        for subject, value in _means(known):
            past = sign * (value - finding.bound)
            if past > 0:
                cases.append((finding, known, subject, value, past))
    if not cases:
        return []
    usual = _usual([(finding.measure, past) for finding, *_, past in cases])
    excess = np.array([min(past / usual[finding.measure], WORST) for finding, *_, past in cases])
    kept = np.argsort(-excess, kind="stable")[:CANDIDATES]
    worst = [cases[n] for n in kept]
    features = _features([(known, subject) for _, known, subject, _, _ in worst], excess[kept])
    cells = {cell.key: cell for cell in run.cells}
    return [_look(run, cells, *worst[n]) for n in choose(features, 1 + excess[kept], k)]


def _means(found: Evidence) -> list[tuple[str, float]]:
    """Each case of an evidence and its mean over seeds; a seed that stands for itself is nothing to look at."""
    values: dict[str, list[float]] = defaultdict(list)
    for unit in found.units:
        if unit.cluster != f"seed {unit.seed}":
            values[unit.cluster].append(unit.value)
    return [(subject, sum(own) / len(own)) for subject, own in values.items()]


def _usual(pairs: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Median excess by measure: measures share no unit."""
    by_measure: dict[str, list[float]] = defaultdict(list)
    for measure, past in pairs:
        by_measure[measure].append(past)
    return {measure: float(np.median(values)) for measure, values in by_measure.items()}


def _features(cases: Sequence[tuple[Evidence, str]], excess: Floats) -> Floats:
    """Points; check, attack, stratum and subject each add 1 to the squared distance where they differ.

    A doubling of the size adds a quarter, a further usual excess as well.
    """
    parts = [0.5 * excess[:, None], np.array([[0.5 * _doublings(found)] for found, _ in cases])]
    columns = (
        [found.check for found, _ in cases],
        [_attack(found) for found, _ in cases],
        [str(found.details.get("stratum", "")) for found, _ in cases],
        [subject for _, subject in cases],
    )
    for names in columns:
        known = {name: n for n, name in enumerate(dict.fromkeys(names))}
        one_hot = np.zeros((len(cases), len(known)))
        one_hot[np.arange(len(cases)), [known[name] for name in names]] = math.sqrt(0.5)
        parts.append(one_hot)
    return np.concatenate(parts, axis=1)


def _attack(found: Evidence) -> str:
    names = [found.details.get(name) for name in ("attack", "rewriting", "method")]
    return next((name for name in names if isinstance(name, str)), "")


def _doublings(found: Evidence) -> float:
    sizes = [real(found.details.get(name)) for name in ("size_share", "events", "accounts")]
    return next((math.log2(size) for size in sizes if size is not None and size > 0), 0.0)


def _look(
    run: AuditRun,
    cells: dict[str, CellResult],
    finding: Finding,
    found: Evidence,
    subject: str,
    value: float,
    past: float,
) -> Look:
    assert finding.bound is not None
    return Look(
        subject=subject,
        title=run.titles.get(subject) or subject,
        finding=finding.id,
        status=finding.status,
        attack=_attack(found),
        size=str(found.details.get("size", "")),
        stratum=str(found.details.get("stratum", "")),
        measure=finding.measure,
        unit=finding.unit,
        value=value,
        bound=finding.bound,
        past=past,
        cells=tuple((cell.key, cell.label) for cell in _cells(subject, [cells[k] for k in found.cells if k in cells])),
    )


def _cells(subject: str, cells: Sequence[CellResult]) -> list[CellResult]:
    """The cells made for this case alone, else those that measured it, else all of the evidence."""
    prefix = f"target/{subject}/"
    measured = [cell for cell in cells if any(name.startswith(prefix) for name in cell.values)]
    alone = [
        cell for cell in measured if all(name.startswith(prefix) for name in cell.values if name.startswith("target/"))
    ]
    asked = [cell for cell in cells if cell.kind == "inquiry" and cell.label.endswith(f"item {subject}")]
    return alone or asked or measured or list(cells)
