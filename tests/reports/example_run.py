"""Builds run records as an audit writes them: several attacks, sizes and strata, every status, hostile titles.

The numbers are drawn from seeded generators: they look like an audit's, they are nobody's results.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from recaudit.audit.evidence import (
    AuditRun,
    CellResult,
    Evidence,
    Failure,
    Finding,
    Skipped,
    Status,
    TargetCard,
    Unit,
)

ATTACKS = {"random": 0.35, "average": 0.45, "bandwagon": 1.0, "segment": 0.8, "clone-and-push": 0.9}
SIZES = {"0.5%": 0.005, "1%": 0.01, "3%": 0.03}
STRATA = {"head": (0.21, 0.25), "middle": (0.034, 0.6), "cold": (0.001, 1.0)}
TITLES = (
    "The Lantern Keepers (2013)",
    "<script>alert('title')</script> & Sons",
    "الفيلم \u202eالعجيب (2011)",
    "雨の日のラジオ 🎬📻",
    "A very long title " + "that never ends " * 700,
    "Quote \" and ' and `tick` | pipe",
    "@someone [click](https://example.org) #12",
    "Weiße Nächte über Łódź",
)
T95 = {3: 3.182, 5: 2.571, 7: 2.365, 15: 2.131}


def example_run(*, attacks: tuple[str, ...] = tuple(ATTACKS), sizes: tuple[str, ...] = tuple(SIZES)) -> AuditRun:
    """An audit with failures, inconclusive, waived, passed and missing findings."""
    draw = random.Random(20)
    titles = {f"{104257 + 7 * n:07d}": TITLES[n % len(TITLES)] for n in range(24)}
    evidence = [*_quality(), *_exposure()]
    for check, sign in (("promotion", 1), ("demotion", -1)):
        for attack in attacks if sign > 0 else ("love-hate", "reverse-bandwagon"):
            for size in sizes:
                for stratum in STRATA if sign > 0 else ("head", "middle"):
                    evidence += _attack(draw, check, sign, attack, size, stratum, sorted(titles))
    findings = [finding for found in evidence if (finding := _judge(found)) is not None]
    skipped = [Skipped(check="genre-exposure", reason="the data have no item features; give a table of items")]
    findings += [_not_run(entry.check, entry.reason) for entry in skipped]
    failed = "af12" + "0" * 28
    failures = [
        Failure(cell=failed, label="segment 3% -> item 0104278, seed 1", error="MemoryError: 4 GiB (ease.py:41)")
    ]
    verdict = "fail" if any(f.status == "fail" and f.severity == "error" for f in findings) else "inconclusive"
    return AuditRun(
        status="incomplete",
        verdict=verdict,
        exit_code=1,
        target=_card(),
        policy=_policy(),
        policy_digest=_hash("policy"),
        seed=7,
        environment={"recaudit": "0.1.0", "python": "3.11.2", "machine": "x86_64", "torch": "2.13.0", "numpy": "2.3.1"},
        started="2026-03-02T08:15:00+00:00",
        seconds=1260.4,
        evidence_digest=_hash("evidence"),
        findings=findings,
        evidence=evidence,
        cells=_cells(draw, attacks, sizes),
        skipped=skipped,
        failures=failures,
        titles=titles,
    )


def many_findings(n: int, text: str) -> AuditRun:
    """The example with `n` findings more, each with long texts: for the bound on a report's size."""
    run = example_run()
    model = run.findings[0]
    more = [
        model.model_copy(
            update={"id": f"{text}.{i}", "title": text, "reason": text, "remedy": text, "unit": text, "clauses": [text]}
        )
        for i in range(n)
    ]
    return run.model_copy(update={"findings": [*run.findings, *more]})


def _quality() -> list[Evidence]:
    values = {"model": 0.1312, "popularity": 0.0623, "recent-popularity": 0.0891, "ease": 0.1287}
    shared: dict[str, Any] = {"check": "quality", "unit": "NDCG, 0..1, mean over users with test events"}
    metrics = {
        name: {"hr@10": v * 1.5, "hr@20": v * 2.1, "ndcg@10": v * 0.8, "ndcg@20": v, "mrr@20": v * 0.6}
        for name, v in values.items()
    }
    found = [
        Evidence(
            id="quality.reproduction", title="Largest difference between a stored metric and the same computed now",
            measure="reproduction", worse="higher", estimate=0.0, n=6, standard_error=0.0,
            details={"stored": metrics["model"], "now": metrics["model"]}, cells=[_hash("model")[:32]],
            **(shared | {"unit": "absolute difference of a metric in 0..1"}),
        ),
        Evidence(
            id="quality.ndcg@20", title="Utility of the checkpoint on held-out events (NDCG@20)", measure="ndcg@20",
            worse="lower", estimate=values["model"], n=2059, standard_error=0.0061,
            baseline={k: v for k, v in values.items() if k != "model"},
            details={"values": values, "metrics": metrics}, cells=[_hash("model")[:32]], **shared,
        ),
    ]  # fmt: skip
    for name, error in (("popularity", 0.005), ("recent-popularity", 0.0049), ("ease", 0.0031)):
        found.append(
            Evidence(
                id=f"quality.ndcg@20.minus.{name}", title=f"Utility of the checkpoint less that of {name}",
                measure=f"ndcg@20.minus.{name}", worse="lower", estimate=values["model"] - values[name], n=2059,
                standard_error=error, baseline={"model": values["model"], name: values[name]}, **shared,
            )
        )  # fmt: skip
    return found


def _exposure() -> list[Evidence]:
    at = [n / 100 for n in range(101)]
    curves = {name: [[x, round(x**power, 6)] for x in at] for name, power in (("model", 7.0), ("random", 1.12))}
    curves["popularity"] = [[x, round(max(0.0, (x - 0.93) / 0.07) ** 1.3, 6)] for x in at]

    def named(counts: Sequence[int], first: int) -> list[dict[str, Any]]:
        return [
            {"id": f"{200000 + first + n:07d}", "title": TITLES[(first + n) % len(TITLES)], "count": c,
             "train_events": 400 - 11 * n}
            for n, c in enumerate(counts)
        ]  # fmt: skip

    details = {
        "lorenz": curves, "most_exposed": named(range(1480, 480, -100), 0),
        "least_exposed": named([0] * 6, 3), "never_shown": 412, "items": 1099,
        "exposure_by_popularity": {
            name: [
                {"items": 0.05, "events": round((n + 1) / 210, 6), "exposure": round((n + 1) ** power / total, 6),
                 "never_shown": round(0.9 - 0.045 * n, 6)}
                for n in range(20)
            ]
            for name, power in (("model", 3), ("popularity", 12), ("random", 0))
            for total in [sum((n + 1) ** power for n in range(20))]
        },
    }  # fmt: skip
    return [
        Evidence(
            id="exposure.gini@20", check="exposure", measure="Gini index", worse="higher", estimate=0.7521, n=2059,
            title="How unevenly exposure is shared among all items of the catalogue; 0 even, 1 one list for all.",
            unit="0..1, lower is fairer", standard_error=0.004, details=details,
            baseline={"popularity": 0.973, "random": 0.061, "fairest reachable": 0.0},
        ),
        Evidence(
            id="exposure.qf@20", check="exposure", measure="Qualification fairness", worse="lower", estimate=0.6251,
            title="Share of items shown to anybody at all.", unit="0..1, higher is fairer", n=2059,
            standard_error=0.006, details={"notes": ["An item shown once counts as much as one shown to all."]},
            baseline={"popularity": 0.06, "random": 1.0, "fairest reachable": 1.0},
        ),
        Evidence(
            id="exposure.jain@20", check="exposure", measure="Jain's index", worse="lower", estimate=None, n=0,
            title="How even exposure is, strictly.", unit="0..1, higher is fairer",
            missing="undefined for 0 lists of 20 from 1099 items",
        ),
        Evidence(
            id="groups.items.genres.js@20", check="groups", measure="js", worse="higher", estimate=0.21, n=2059,
            title="Distance of the groups' exposure from their share of the catalogue: items by genres",
            unit="0..1, 0 = parity", standard_error=0.01, baseline={"popularity": 0.4, "random": 0.02},
            details={"groups": [
                {"name": name, "items": 300.5 - n, "catalogue": 0.3, "interactions": 0.4, "exposure": 0.5 / (n + 1)}
                for n, name in enumerate(("Drama", "Comedy", "<b>War</b>"))
            ]},
        ),
        Evidence(
            id="groups.users.gender.ndcg_gap@20", check="groups", measure="ndcg_gap", worse="higher", estimate=0.02,
            title="Largest difference of NDCG@20 between groups of users by gender", unit="NDCG, 0..1", n=2059,
            details={"groups": [{"name": name, "users": 900, "mean": 0.1, "standard_error": None} for name in "FM"]},
        ),
    ]  # fmt: skip


def _attack(
    draw: random.Random, check: str, sign: int, attack: str, size: str, stratum: str, items: list[str]
) -> list[Evidence]:
    control, ease = STRATA[stratum]
    power = ATTACKS.get(attack, 0.5)
    gain = power * ease * 0.22 * (SIZES[size] / 0.03) ** 0.6 if sign > 0 else control * power * 0.5
    start = list(STRATA).index(stratum) * 8
    units, shifts = [], []
    for item in items[start : start + 8]:
        target = draw.gauss(0.0, 0.3)
        for seed in (0, 1):
            value = gain * (1 + target + draw.gauss(0.0, 0.08))
            units.append(Unit(cluster=item, seed=seed, value=round(min(value, control) if sign < 0 else value, 5)))
            shift = sign * gain * 24 + 1.5 * target + draw.gauss(0, 0.2)
            shifts.append(Unit(cluster=item, seed=seed, value=round(shift, 4)))
    details = {
        "attack": attack, "size": size, "accounts": round(SIZES[size] * 2059), "profile": 30, "kind": "implicit",
        "knowledge": 1.0, "direction": "push" if sign > 0 else "nuke", "stratum": stratum,
        "utility_change": -0.002 * power, "control": control,
        "attacked": round(control + sign * fmean(u.value for u in units), 5),
        "clones": round(control * (1 + 0.04 * SIZES[size] / 0.01), 5),
    }  # fmt: skip
    word = "Gain" if sign > 0 else "Loss"
    shared: dict[str, Any] = {"check": check, "n": len(units), "cells": [_hash(f"{attack}{size}{stratum}")[:32]]}
    return [
        Evidence(
            id=f"{check}.{attack}.{size}.{stratum}.hr@20", measure="hr@20", worse="higher",
            title=f"{word} in hit rate of {stratum} targets under {attack} accounts of {size}",
            unit="share of genuine users, 0..1", estimate=fmean(u.value for u in units), units=units,
            resolution=1 / 2059, baseline={"control": control}, details=details, **shared,
        ),
        Evidence(
            id=f"{check}.{attack}.{size}.{stratum}.log2_rank_shift", measure="log2_rank_shift",
            title=f"Shift of {stratum} targets in log2 rank under {attack} accounts of {size}",
            worse="higher" if sign > 0 else "lower", unit="doublings of rank, positive = towards the top",
            estimate=fmean(u.value for u in shifts), units=shifts,
            details={k: details[k] for k in ("attack", "size", "accounts", "stratum")}, **shared,
        ),
    ]  # fmt: skip


def _judge(found: Evidence) -> Finding | None:
    rule = _rule(found)
    if rule is None:
        return None
    bound, severity, why = rule
    low = high = None
    if found.estimate is not None and found.units:
        means = _cluster_means(found.units)
        half = T95[len(means) - 1] * stdev(means) / len(means) ** 0.5
        low, high = found.estimate - half, found.estimate + half
    elif found.estimate is not None:
        half = 1.96 * (found.standard_error or 0.0)
        low, high = found.estimate - half, found.estimate + half
    status, reason, remedy = _status(found, low, high, bound)
    return Finding(
        id=found.id, check=found.check, title=found.title, status=status, severity=severity, measure=found.measure,
        unit=found.unit, estimate=found.estimate, confidence=0.998 if found.units else 0.95,
        interval=None if low is None or high is None else (low, high), bound=bound, direction=found.worse, n=found.n,
        mde=None if low is None or high is None else (high - low) * 0.72, baseline=found.baseline, reason=reason,
        bound_reason=why, remedy=remedy, cells=found.cells,
        clauses=["DSA Art. 34(2)"] if found.check in ("promotion", "demotion") else [],
    )  # fmt: skip


def _rule(found: Evidence) -> tuple[float, Any, str] | None:
    if found.id == "quality.reproduction":
        return 1e-6, "error", "the file must be what it says"
    if ".minus." in found.id:
        return 0.0, "error", "a learned model that loses to a trivial one needs no attack"
    if found.id.startswith("exposure.gini"):
        return 0.8, "warning", "above this the catalogue is mostly invisible"
    if found.id.startswith("exposure"):
        return 0.5, "warning", "half of the catalogue should be reachable"
    if found.id.endswith("hr@20"):
        return 0.05, "error", "one user in twenty"
    return None


def _status(found: Evidence, low: float | None, high: float | None, bound: float) -> tuple[Status, str, str]:
    if found.estimate is None or low is None or high is None:
        return "not_run", found.missing or "not measured", "see the reason"
    good, bad = (high <= bound, low > bound) if found.worse == "higher" else (low >= bound, high < bound)
    if good:
        return "pass", "the whole interval is on the good side of the bound", ""
    if bad and "clone-and-push.3%" in found.id:
        return "waived", "waived by R. Meyer until 2026-06-30: accounts are verified by phone from May", ""
    if bad:
        return "fail", "the whole interval is on the bad side of the bound", "try a defence and audit again"
    return "inconclusive", "the interval contains the bound", "about 21 targets in this stratum would settle it"


def _not_run(check: str, reason: str) -> Finding:
    return Finding(
        id=check, check=check, title="Exposure of genres", status="not_run", severity="warning", measure="", unit="",
        estimate=None, interval=None, confidence=0.95, bound=None, direction="higher", n=0, reason=reason,
        remedy="pass --data with a table of items",
    )  # fmt: skip


def _cluster_means(units: list[Unit]) -> list[float]:
    clusters = sorted({unit.cluster for unit in units})
    return [fmean(unit.value for unit in units if unit.cluster == cluster) for cluster in clusters]


def _card() -> TargetCard:
    return TargetCard(
        name="lightgcn-movies", family="graph", model_fingerprint=_hash("weights"), data_fingerprint=_hash("data"),
        users=2059, items=1099, train_events=61204, valid_events=2059, test_events=2059, split="leave-last-out",
        recipe={"model": "lightgcn", "config": {"dim": 64, "layers": 3}, "epochs": 40}, reproduced=True,
    )  # fmt: skip


def _policy() -> dict[str, Any]:
    return {
        "version": 1, "seed": 7, "strict": False, "confidence": 0.95, "cutoffs": [10, 20],
        "checks": {"quality": {"references": ["popularity", "ease"]}, "promotion": {"sizes": list(SIZES)}},
        "rules": [
            {"select": "quality.reproduction", "bound": 1e-6, "severity": "error",
             "reason": "the file must be what it says", "clauses": []},
            {"select": "promotion.*.hr@20", "bound": 0.05, "severity": "error", "reason": "one user in twenty",
             "clauses": ["DSA Art. 34(2)"]},
            {"select": "exposure.gini*", "bound": 0.8, "severity": "warning",
             "reason": "above this the catalogue is mostly invisible", "clauses": []},
        ],
        "waivers": [
            {"check": "promotion", "scope": "promotion.clone-and-push.3%.*", "owner": "R. Meyer",
             "reason": "accounts are verified by phone from May", "expires": "2026-06-30"},
        ],
    }  # fmt: skip


def _cells(draw: random.Random, attacks: tuple[str, ...], sizes: tuple[str, ...]) -> list[CellResult]:
    cells = [
        CellResult(
            key=_hash("model")[:32], kind="model", label="the checkpoint as it is", params={}, seed=0,
            values={"ndcg@20": 0.1312}, seconds=0.8,
        )
    ]  # fmt: skip
    for attack in attacks:
        for size in sizes:
            for stratum in STRATA:
                key = _hash(f"{attack}{size}{stratum}")[:32]
                values = {"ndcg@20": 0.13 + draw.gauss(0, 0.001), "target/0104257/hr@20": 0.05}
                cells.append(
                    CellResult(
                        key=key, kind="refit", label=f"{attack} {size} -> {stratum}, seed 0", params={"watch": [3]},
                        seed=0, values=values, seconds=round(draw.uniform(8, 14), 2),
                    )
                )  # fmt: skip
    return cells


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
