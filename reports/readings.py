"""Typed readings of a run record: what evidence and findings say about one attack, one list, one question.

`Evidence.details` is free-form and may come from somebody else's check, so everything read from it is checked here;
what does not fit is left out, never an exception.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ..audit.evidence import AuditRun, Evidence, Finding

State = Literal["fail", "inconclusive", "not_run", "waived", "pass", "measured"]
"""A finding's status; "measured" where no rule of the policy judges a number."""

ORDER: tuple[State, ...] = ("fail", "inconclusive", "not_run", "waived", "pass", "measured")
WORDS: dict[State, str] = {
    "fail": "Fail",
    "inconclusive": "Inconclusive",
    "not_run": "Not run",
    "waived": "Waived",
    "pass": "Pass",
    "measured": "No bound",
}
STRATA = ("head", "middle", "cold")


@dataclass(frozen=True)
class AttackPoint:
    """One attack at one size on one popularity stratum, by one measure.

    `attacked`, `control` and `clone` are the measure's levels (None where the check gives none). `estimate`, `low`,
    `high`, `bound` and `targets` (item id, mean over seeds) are differences, `sign` * (attacked - control): a loss
    has the sign -1. `share` orders sizes. `utility` is what genuine users gain or lose in NDCG beside it.
    """

    id: str
    check: str
    measure: str
    unit: str
    attack: str
    size: str
    share: float
    stratum: str
    attacked: float | None
    control: float | None
    clone: float | None
    sign: int
    estimate: float | None
    low: float | None
    high: float | None
    bound: float | None
    worse: str
    n: int
    state: State
    targets: tuple[tuple[str, float], ...]
    utility: float | None

    def level(self, difference: float | None) -> float | None:
        """The level that a difference means, laid at the control."""
        return None if difference is None or self.control is None else self.control + self.sign * difference


@dataclass(frozen=True)
class NamedItem:
    """An item with how often it is shown and, where known, its number of training events."""

    id: str
    title: str
    count: int
    train_events: int | None


@dataclass(frozen=True)
class Exposure:
    """What the exposure check says of the lists: Lorenz curves, never shown items, both ends by title."""

    evidence: Evidence
    curves: dict[str, list[tuple[float, float]]]
    most: list[NamedItem]
    least: list[NamedItem]
    never_shown: int | None
    items: int | None


class Reading:
    """One run, read: findings by evidence, attacks, exposure, utility. Everything is a pure function of the run."""

    def __init__(self, run: AuditRun) -> None:
        """Keep the run; read nothing yet."""
        self.run = run

    @cached_property
    def findings(self) -> list[Finding]:
        """All findings, failures first, within a status by severity and then in the record's order."""
        severities = ("error", "warning", "info")
        return sorted(self.run.findings, key=lambda f: (ORDER.index(state(f)), severities.index(f.severity)))

    @cached_property
    def by_id(self) -> dict[str, Finding]:
        """The finding of each evidence id; of several the worst."""
        found: dict[str, Finding] = {}
        for finding in self.findings:
            found.setdefault(finding.id, finding)
        return found

    def of_check(self, check: str) -> list[Finding]:
        """The findings of a check, failures first."""
        return [finding for finding in self.findings if finding.check == check]

    def knows(self, check: str) -> bool:
        """Whether the audit asked for a check, be it that it did not apply."""
        run = self.run
        return check in {found.check for found in run.evidence} | {entry.check for entry in run.skipped}

    @cached_property
    def points(self) -> list[AttackPoint]:
        """All attack evidence, ordered by check, measure, attack, size, stratum."""
        read = [self._point(e) for e in self.run.evidence if isinstance(e.details.get("attack"), str)]
        ranks = {name: n for n, name in enumerate(dict.fromkeys(point.attack for point in read))}
        return sorted(
            read, key=lambda p: (p.check, p.measure, ranks[p.attack], p.share, p.size, stratum_rank(p.stratum))
        )

    def hit_rates(self, check: str) -> list[AttackPoint]:
        """A check's points by the one hit rate to show: that which most rules judge, then the largest k."""
        by_measure: dict[str, list[AttackPoint]] = defaultdict(list)
        for point in self.points:
            if point.check == check and point.measure.startswith("hr@") and point.attacked is not None:
                by_measure[point.measure].append(point)
        if not by_measure:
            return []

        def rank(measure: str) -> tuple[int, int]:
            cutoff = measure.removeprefix("hr@")
            judged = sum(point.bound is not None for point in by_measure[measure])
            return judged, int(cutoff) if cutoff.isascii() and cutoff.isdigit() else 0

        return by_measure[max(by_measure, key=rank)]

    def rank_shifts(self, check: str) -> list[AttackPoint]:
        """A check's points by log2 rank shift at each attack's largest size, where targets are listed."""
        points = [p for p in self.points if p.check == check and p.measure == "log2_rank_shift" and p.targets]
        largest: dict[str, tuple[float, str]] = {}
        for point in points:
            largest[point.attack] = max(largest.get(point.attack, (-math.inf, "")), (point.share, point.size))
        return [point for point in points if (point.share, point.size) == largest[point.attack]]

    @cached_property
    def exposure(self) -> Exposure | None:
        """Of the first evidence that holds Lorenz curves."""
        for evidence in self.run.evidence:
            curves = _curves(evidence.details.get("lorenz"))
            if curves:
                details = evidence.details
                return Exposure(
                    evidence,
                    curves,
                    _items(details.get("most_exposed")),
                    _items(details.get("least_exposed")),
                    _whole(details.get("never_shown")),
                    _whole(details.get("items")),
                )
        return None

    @cached_property
    def utility(self) -> tuple[Evidence, dict[str, float]] | None:
        """The quality evidence with values of the model and its references, model first."""
        for evidence in self.run.evidence:
            values = evidence.details.get("values")
            if evidence.check == "quality" and isinstance(values, dict):
                numbers = {str(name): real(value) for name, value in values.items()}
                known = {name: value for name, value in numbers.items() if value is not None}
                if known:
                    return evidence, dict(sorted(known.items(), key=lambda pair: pair[0] != "model"))
        return None

    @cached_property
    def metrics(self) -> dict[str, dict[str, float | None]]:
        """All utility metrics by model, where the quality check lists them."""
        table = self.utility[0].details.get("metrics") if self.utility else None
        rows = table.items() if isinstance(table, dict) else ()
        return {
            str(name): {str(key): real(value) for key, value in values.items()}
            for name, values in rows
            if isinstance(values, dict)
        }

    def title(self, item: str) -> str:
        """An item's title, its id where there is none."""
        return self.run.titles.get(item) or item

    def _point(self, evidence: Evidence) -> AttackPoint:
        details, finding = evidence.details, self.by_id.get(evidence.id)
        interval = finding.interval if finding else None
        size, attacked, control = (
            str(details.get("size", "")),
            real(details.get("attacked")),
            real(details.get("control")),
        )
        clone = details.get("clones", details.get("clone_control"))
        return AttackPoint(
            id=evidence.id,
            check=evidence.check,
            measure=evidence.measure,
            unit=evidence.unit,
            attack=str(details["attack"]),
            size=size,
            share=_share(details, size),
            stratum=str(details.get("stratum", "all")),
            attacked=attacked,
            control=control,
            clone=real(clone),
            sign=_sign(evidence, attacked, control),
            estimate=evidence.estimate,
            low=interval[0] if interval else None,
            high=interval[1] if interval else None,
            bound=finding.bound if finding else None,
            worse=evidence.worse,
            n=evidence.n,
            state=state(finding) if finding else "measured",
            targets=_targets(evidence),
            utility=real(details.get("utility_change")),
        )


def state(finding: Finding) -> State:
    """The finding's status; "measured" for a number that no rule bounds."""
    if finding.bound is None and finding.estimate is not None and finding.status in ("not_run", "pass"):
        return "measured"
    return finding.status


def worst(states: Iterable[State]) -> State:
    """The state of a question from those of its findings: one failure makes it failed, and so on.

    "not_run" stands only if nothing was judged: a question half answered is answered by what ran.
    """
    found = set(states)
    order: Sequence[State] = ("fail", "inconclusive", "waived", "pass", "measured")
    return next((name for name in order if name in found), "not_run")


def stratum_rank(stratum: str) -> tuple[int, str]:
    """Sort key: head, middle, cold, then others by name."""
    return (STRATA.index(stratum), "") if stratum in STRATA else (len(STRATA), stratum)


def real(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that no float holds
        return None


def _share(details: dict[str, Any], size: str) -> float:
    """What orders attack sizes: the share if the check gives it, else the accounts, else the number in the text."""
    for key in ("size_share", "accounts"):
        value = real(details.get(key))
        if value is not None:
            return value
    try:
        return real(float(size.strip().rstrip("%"))) or 0.0
    except ValueError:
        return 0.0


def _sign(evidence: Evidence, attacked: float | None, control: float | None) -> int:
    """+1 if the estimate is attacked less control, -1 if it is a loss."""
    if not evidence.measure.startswith("hr@"):
        return 1
    if attacked is not None and control is not None and evidence.estimate:
        change = attacked - control
        if change:
            return 1 if abs(change - evidence.estimate) <= abs(change + evidence.estimate) else -1
    return -1 if evidence.details.get("direction") == "nuke" else 1


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _targets(evidence: Evidence) -> tuple[tuple[str, float], ...]:
    values: dict[str, list[float]] = defaultdict(list)
    for unit in evidence.units:
        values[unit.cluster].append(unit.value)
    return tuple((item, sum(found) / len(found)) for item, found in sorted(values.items()))


def _curves(table: Any) -> dict[str, list[tuple[float, float]]]:
    curves: dict[str, list[tuple[float, float]]] = {}
    for name, points in table.items() if isinstance(table, dict) else ():
        pairs = [pair for pair in points if isinstance(pair, list | tuple)] if isinstance(points, list | tuple) else []
        read = [(real(pair[0]), real(pair[1])) for pair in pairs if len(pair) == 2]
        known = [(x, y) for x, y in read if x is not None and y is not None]
        if len(known) >= 2:
            curves[str(name)] = sorted(known)
    return curves


def _items(rows: Any) -> list[NamedItem]:
    found = []
    for row in rows if isinstance(rows, list | tuple) else ():
        shown = _whole(row.get("count")) if isinstance(row, dict) else None
        if shown is not None:
            name = str(row.get("id", ""))
            events = _whole(row.get("train_events"))
            found.append(NamedItem(name, str(row.get("title") or name), shown, events))
    return found
