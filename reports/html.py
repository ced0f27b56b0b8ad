"""The report as one self-contained HTML page: no script, nothing loaded, readable on a phone and on paper."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..audit.evidence import AuditRun, Finding
from . import defense_parts, privacy_parts, simulation_parts, standing, text, unlearning_parts
from .attack_plots import hit_rate_panels, rank_shift_panels
from .diverse import worth_a_look
from .fairness_parts import REFERENCES, against_popularity, group_tables, measure_rows, popularity_buckets
from .method import GLOSSARY, limits, method
from .plots import at, lorenz, utility
from .readings import ORDER, WORDS, Reading, real, state
from .summary import answers, counts, verdict_sentences

FINDINGS, POINTS, ROWS = 1000, 500, 200
"""Rows that a table holds at most: a report stays below 10 MB and says what it left to `run.json`."""
POLICY_CHARACTERS = 20_000

TITLES = {"promotion": "Pushing items with fake users", "demotion": "Burying items with fake users"}
LEDE = "What happens to target items when an attacker adds fake accounts to the training data so that they are shown "
LEDES = {"promotion": f"{LEDE}more.", "demotion": f"{LEDE}less."}
LINKS = {
    "promotion": "See the attacks",
    "demotion": "See the attacks",
    "defense": "See the defences",
    "unlearning": "See the methods",
    "privacy": "See the attacks",
    "simulate": "See the rounds",
    "utility": "See the metrics",
    "exposure": "See the items",
    "groups": "See the groups",
}


@dataclass(frozen=True)
class Glyph:
    """Horizontal places, 0..136, of a finding's estimate, interval ends and bound in the small drawing of its row."""

    dot: float
    low: float | None
    high: float | None
    bound: float | None


@dataclass(frozen=True)
class Row:
    """A finding as a row: decimals shared by its numbers, the sign, the relation that the bound demands."""

    finding: Finding
    places: int
    signed: bool
    relation: str
    glyph: Glyph | None


def page(run: AuditRun) -> bytes:
    """`report.html`: the same run gives the same bytes."""
    reading = Reading(run)
    rows = _rows(reading.findings[:FINDINGS])
    groups = [(name, found) for name in ORDER if (found := [row for row in rows if state(row.finding) == name])]
    attacks = [part for check in TITLES if (part := _attack(reading, check))]
    sections = {part["check"] for part in attacks}
    tables, group_rows = group_tables(reading), measure_rows(reading, "groups")
    sections |= {"groups"} if group_rows else set()
    defenses = defense_parts.context(reading)
    sections |= {"defense"} if defenses["defenses"] else set()
    forgetting = unlearning_parts.context(reading)
    sections |= {"unlearning"} if forgetting["unlearning"] else set()
    private = privacy_parts.context(reading)
    sections |= {"privacy"} if private["privacy"] else set()
    looped = simulation_parts.context(reading)
    sections |= {"simulate"} if looped["loops"] else set()
    sections |= ({"exposure"} if reading.exposure else set()) | ({"utility"} if reading.utility else set())
    context = {
        "run": run,
        "words": WORDS,
        "verdict": verdict_sentences(reading),
        "counts": counts(reading),
        "answers": answers(reading),
        "sections": sections,
        "links": LINKS,
        "contents": _contents(sections),
        "groups": groups,
        "shown_findings": len(rows),
        "attacks": attacks,
        "exposure": reading.exposure,
        "utility": reading.utility,
        "group_tables": tables,
        "group_rows": group_rows[:ROWS],
        "references": REFERENCES,
        "waived": [finding for finding in reading.findings if finding.status == "waived"],
        "method": method(reading),
        "limits": limits(reading),
        "glossary": GLOSSARY,
        "rules": policy_rules(run),
        "waivers": policy_waivers(run),
        "policy_text": text.clean(json.dumps(run.policy, indent=1, ensure_ascii=False))[:POLICY_CHARACTERS],
        "environment": sorted(run.environment.items())[:ROWS],
        "cell_counts": _cell_counts(run),
        "cap": ROWS,
        **defenses,
        **forgetting,
        **private,
        "looks": worth_a_look(run),
        "beside": standing.sentences(standing.place(run)),
        **looped,
        **_exposure(reading),
        **_utility(reading),
    }
    return environment().get_template("report.html.j2").render(context).encode("utf-8", "replace")


def environment() -> Environment:
    """The templates, with everything escaped that is not marked as the report's own drawing."""
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "cut": lambda value, limit=300: text.cut(str(value), limit),
        "undirected": text.undirected,
        "count": text.count,
        "num": lambda value, places=None, signed=False: text.number(value, places, signed=signed),
        "percent": text.percent,
        "points": text.points,
        "duration": text.duration,
        "when": text.when,
    }
    return templates


def policy_rules(run: AuditRun) -> list[dict[str, str]]:
    """The policy's rules as text, whatever its version calls valid."""
    rules = run.policy.get("rules")
    found = []
    for rule in rules if isinstance(rules, list) else ():
        entry = rule if isinstance(rule, dict) else {"select": rule}
        clauses = entry.get("clauses") or entry.get("clause") or ()
        bound = entry.get("bound")
        found.append(
            {
                "select": str(entry.get("select", "")),
                "bound": _bound(bound),
                "severity": str(entry.get("severity", "error")),
                "reason": str(entry.get("reason", "")),
                "author": str(entry.get("author", "")),
                "clauses": clauses if isinstance(clauses, str) else "; ".join(str(clause) for clause in clauses),
            }
        )
    return found


def policy_waivers(run: AuditRun) -> list[dict[str, str]]:
    """The policy's waivers as text, whatever its version calls valid."""
    waivers = run.policy.get("waivers")
    names = ("check", "scope", "owner", "reason", "expires")
    known = [entry for entry in (waivers if isinstance(waivers, list) else ()) if isinstance(entry, dict)]
    return [{name: str(entry.get(name) or "") for name in names} for entry in known]


def _bound(value: Any) -> str:
    number = real(value)
    if number is None:
        return "–" if value is None else str(value)
    return text.number(number) if 0 < abs(number) < 5e-4 else f"{number:g}".replace("-", text.MINUS)


def _contents(sections: set[str]) -> list[tuple[str, str]]:
    names = {
        "findings": "Findings",
        "look": "What to look at",
        "promotion": "Pushing items",
        "demotion": "Burying items",
        "defense": "Defences",
        "unlearning": "Deletion requests",
        "privacy": "Leaks about users",
        "simulate": "Rounds of retraining",
        "exposure": "Who gets shown",
        "groups": "Groups of items and users",
        "utility": "How good it is",
        "open": "Not run, waived",
        "method": "Method and limits",
        "policy": "Policy",
        "glossary": "Glossary",
        "annex": "Cells",
    }
    return [(anchor, name) for anchor, name in names.items() if anchor not in LINKS or anchor in sections]


def _rows(findings: Sequence[Finding]) -> list[Row]:
    spans: dict[tuple[str, str], list[float]] = {}
    for finding in findings:
        ends = [finding.estimate, finding.bound, *(finding.interval or ())]
        spans.setdefault((finding.measure, finding.unit), [0.0]).extend(end for end in ends if end is not None)
    rows = []
    for finding in findings:
        low, high = finding.interval or (None, None)
        values = spans[finding.measure, finding.unit]
        least, most = min(values), max(values)

        def place(value: float | None, least: float = least, most: float = most) -> float | None:
            return None if value is None else round(3 + 130 * (value - least) / (most - least), 1)

        dot = place(finding.estimate) if most > least else None
        rows.append(
            Row(
                finding,
                text.decimals(finding.estimate, low, high, finding.bound),
                any(value < 0 for value in (finding.estimate, low, finding.bound) if value is not None),
                "≤" if finding.direction == "higher" else "≥",
                None if dot is None else Glyph(dot, place(low), place(high), place(finding.bound)),
            )
        )
    return rows


def _attack(reading: Reading, check: str) -> dict[str, Any] | None:
    rates, shifts = reading.hit_rates(check), reading.rank_shifts(check)
    if not rates and not shifts:
        return None
    names = list(dict.fromkeys(point.attack for point in shifts))[:8]
    by_item: dict[str, dict[str, float]] = {}
    for point in shifts:
        for item, value in point.targets:
            by_item.setdefault(item, {})[point.attack] = value
    items = sorted(by_item)[:ROWS]
    return {
        "check": check,
        "title": TITLES[check],
        "lede": LEDES[check],
        "k": rates[0].measure.removeprefix("hr@") if rates else "",
        "rates": hit_rate_panels(rates, f"{check}-rate"),
        "hidden": max(0, len({point.attack for point in rates}) - 8),
        "points": rates[:POINTS],
        "loss": any(point.sign < 0 for point in rates),
        "has_utility": any(point.utility is not None for point in rates),
        "all_points": len(rates),
        "shifts": rank_shift_panels(shifts, f"{check}-shift"),
        "shift_unit": shifts[0].unit if shifts else "",
        "shift_names": names,
        "shift_rows": [(reading.title(item), item, [by_item[item].get(name) for name in names]) for item in items],
        "all_targets": len(by_item),
    }


def _exposure(reading: Reading) -> dict[str, Any]:
    if reading.exposure is None:
        return {}
    curves = dict(sorted(reading.exposure.curves.items(), key=lambda pair: pair[0] != "model")[:4])
    shares = [0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
    return {
        "lorenz_svg": lorenz(curves),
        "lorenz_names": list(curves),
        **_by_popularity(reading),
        "measure_rows": measure_rows(reading, "exposure")[:ROWS],
        "lorenz_rows": [(share, [at(curve, share) for curve in curves.values()]) for share in shares],
    }


def _by_popularity(reading: Reading) -> dict[str, Any]:
    buckets = popularity_buckets(reading)
    if not buckets:
        return {"popularity_svg": None}
    rows = [[bucket[1] for bucket in lists] for lists in buckets.values()]
    never = [bucket[2] for bucket in next(iter(buckets.values()))]
    count = min(len(row) for row in rows)
    return {
        "popularity_svg": against_popularity(buckets),
        "popularity_names": list(buckets),
        "popularity_rows": [((n + 1) / count, [row[n] for row in rows], never[n]) for n in range(count)],
    }


def _utility(reading: Reading) -> dict[str, Any]:
    if reading.utility is None:
        return {}
    evidence, values = reading.utility
    finding = reading.by_id.get(evidence.id)
    error = evidence.standard_error
    interval = finding.interval if finding else None
    if interval is None and error is not None and evidence.estimate is not None:
        interval = (evidence.estimate - 1.96 * error, evidence.estimate + 1.96 * error)
    names = list(dict.fromkeys(name for row in reading.metrics.values() for name in row))[:24]
    return {
        "utility_metric": evidence.measure.upper(),
        "utility_svg": utility(values, evidence.measure.upper(), interval),
        "metric_names": names,
        "metric_rows": [(name, [row.get(key) for key in names]) for name, row in reading.metrics.items()][:ROWS],
    }


def _cell_counts(run: AuditRun) -> str:
    kinds = Counter(str(cell.kind) for cell in run.cells)
    names = {"model": "checkpoint", "reference": "reference", "refit": "refit", "inquiry": "checkpoint test"}
    parts = [text.plural(kinds[kind], name) for kind, name in names.items() if kinds[kind]]
    total = sum(cell.seconds for cell in run.cells)
    return f"{', '.join(parts)}; {text.duration(total)} of computing in all." if parts else "There are none yet."
