"""Findings, residual risk and clauses: what came out, in the order of its weight."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from ...audit.evidence import AuditRun, Finding
from ..attack_plots import hit_rate_panels, rank_shift_panels
from ..plots import lorenz, utility
from ..privacy_parts import curves as membership
from ..readings import ORDER, WORDS, Reading, State, state
from ..simulation_parts import loops, panels
from ..text import Data, Sentence, count, cut, decimals, number, percent, plural
from .clauses import Borne, borne, maps, unknown
from .document import Block, Bullets, Figure, Paragraph, Section, Table
from .edition import Edition
from .threats import THREATS

ROWS = 300
"""Findings of an area that are printed at most."""
PANELS = 4


def findings(reading: Reading, edition: Edition) -> Section:
    """Every finding by area, failures first."""
    parts: list[Section] = []
    measured = [evidence.check for evidence in reading.run.evidence if evidence.estimate is not None]
    for check in dict.fromkeys([*(finding.check for finding in reading.findings), *measured]):
        found = reading.of_check(check)
        title = THREATS[check].area if check in THREATS else cut(check.capitalize(), 80) or "Further"
        open_ = edition.shows(check)
        blocks: list[Block] = [_table(found, title) if open_ else _ranges(found, title)]
        if not found:
            blocks = [Paragraph(["No rule of the policy judges what was measured here."])]
        blocks += _figures(reading, check) if open_ else []
        parts.append(Section(f"findings-{len(parts) + 1}", cut(title, 80), blocks))
    said: Sentence = ["Each line is one measured quantity judged by one rule. n counts sampling units; the smallest "
                      "visible effect would be seen in four of five repeats."]  # fmt: skip
    return Section("findings", "Findings", [Paragraph(said)], parts)


def _table(found: Sequence[Finding], title: str) -> Table:
    rows: list[list[Sentence]] = []
    for finding in found[:ROWS]:
        low, high = finding.interval or (None, None)
        places = decimals(finding.estimate, low, high, finding.bound)
        span = "" if low is None else f" [{number(low, places)}, {number(high, places)}]"
        bound = "–"
        if finding.bound is not None:
            bound = f"{'≤' if finding.direction == 'higher' else '≥'} {number(finding.bound, places)}"
        why: list[str | Data] = [Data(cut(finding.reason, 300))]
        why += [". What next: ", Data(cut(finding.remedy, 300))] if finding.remedy else []
        seen = f"{count(finding.n)}" + ("" if finding.mde is None else f"; {number(finding.mde, places)}")
        status = WORDS[state(finding)] + ("" if finding.severity == "error" else f" ({finding.severity})")
        rows.append(
            [[Data(cut(finding.title, 200)), " (", Data(cut(finding.id, 120)), ")"], [status],
             [number(finding.estimate, places) + span], [bound], [seen], why]
        )  # fmt: skip
    head = ("Measured", "Result", "Estimate [interval]", "Bound", "n; smallest visible", "Why")
    return Table(f"{cut(title, 80)}: findings", head, rows, (0.28, 0.13, 0.17, 0.09, 0.1, 0.23), frozenset({2, 3, 4}),
                 max(0, len(found) - ROWS))  # fmt: skip


def _ranges(found: Sequence[Finding], title: str) -> Table:
    """Measures with their range over attacks, sizes and targets, none of which is named."""
    by_measure: dict[tuple[str, State], list[Finding]] = defaultdict(list)
    for finding in found:
        by_measure[finding.measure, state(finding)].append(finding)
    rows: list[list[Sentence]] = []
    for (measure, status), group in sorted(by_measure.items(), key=lambda pair: (pair[0][0], ORDER.index(pair[0][1]))):
        values = [finding.estimate for finding in group if finding.estimate is not None]
        span = f"{number(min(values))} to {number(max(values))}" if values else "–"
        rows.append([[Data(cut(measure, 60))], [WORDS[status]], [count(len(group))], [span]])
    head = ("Measure", "Result", "Findings", "Estimates")
    caption = f"{cut(title, 80)}: findings in ranges"
    return Table(caption, head, rows, (0.4, 0.2, 0.15, 0.25), frozenset({2, 3}))


def _figures(reading: Reading, check: str) -> list[Block]:
    found: list[Block] = []
    for kind, drawn in (
        ("Share of users shown the target, by attack size", hit_rate_panels(reading.hit_rates(check), f"r-{check}")),
        ("Move of each target's rank, in halvings", rank_shift_panels(reading.rank_shifts(check), f"s-{check}")),
    ):
        for panel in drawn[:PANELS]:
            found.append(Figure(panel.svg, f"{kind}: {cut(panel.name, 80)}", [f"{kind}: ", Data(cut(panel.name, 80))]))
    if check == "simulate":
        told = "Share of users' attention that targets get, by round of retraining; dashed without the attack"
        found += [Figure(panel.svg, f"{told}: {cut(panel.name, 80)}", [told, ": ", Data(cut(panel.name, 80))])
                  for panel in panels(loops(reading))]  # fmt: skip
    if check == "privacy" and (drawn_curves := membership(reading)):
        what = "Members found against false alarms, both on log axes; the diagonal is guessing"
        found.append(Figure(drawn_curves, what, [what]))
    if check == "exposure" and reading.exposure is not None:
        curves = dict(sorted(reading.exposure.curves.items(), key=lambda pair: pair[0] != "model")[:4])
        what = "How exposure is shared: cumulative share of exposure over items from least to most shown"
        found.append(Figure(lorenz(curves), what, [what]))
    if check == "quality" and reading.utility is not None:
        evidence, values = reading.utility
        name = cut(evidence.measure.upper(), 40)
        found.append(Figure(utility(values, name, None), f"{name} of the model and its references", [name]))
    return found


def residual(reading: Reading, edition: Edition) -> Section:
    """What is left: broken bounds, what could not be told, what is excused."""
    groups: list[tuple[str, list[Finding]]] = [
        ("Bounds that were broken", [f for f in reading.findings if f.status == "fail"]),
        ("What the tests could not tell", [f for f in reading.findings if f.status == "inconclusive"]),
        ("Waived for a time", [f for f in reading.findings if f.status == "waived"]),
    ]
    blocks: list[Block] = []
    for title, found in groups:
        areas = Counter(THREATS[f.check].area if f.check in THREATS else "Further" for f in found)
        told = "; ".join(f"{area}: {count(n)}" for area, n in areas.items())
        blocks.append(Paragraph([f"{title}: {plural(len(found), 'finding')}{' (' + told + ')' if told else ''}."]))
    blocks += _mitigations(reading)
    left = [f for f in reading.findings if f.status in ("fail", "waived")]
    lines: list[Sentence] = [
        [Data(cut(f.title, 200)), ": ", Data(cut(f.remedy, 300))]
        for f in left[:40] if f.remedy and edition.shows(f.check)
    ]  # fmt: skip
    if lines:
        blocks += [Paragraph(["What the findings themselves suggest:"]), Bullets(lines)]
    return Section("residual", "Residual risk and mitigation", blocks)


def _mitigations(reading: Reading) -> list[Block]:
    """What the best defence leaves of the worst attack, where the audit measured it."""
    best = next((e for e in reading.run.evidence if e.id.startswith("defense.best.") and e.estimate is not None), None)
    if best is None:
        return [Paragraph(["No mitigation was measured: the effect of a defence is not part of this audit."])]
    named = best.details.get("defense")
    if named == "none":
        return [Paragraph(["Before and after a measure: no defence that was measured leaves less of its worst attack, "
                           "within the policy's tolerance of utility, than no defence at all: "
                           f"{number(best.estimate)} halvings of a target's rank."])]  # fmt: skip
    price = best.details.get("price")
    told: list[str | Data] = ["Before and after a measure: with the defence that leaves least within the policy's "
                              "tolerance of utility"]  # fmt: skip
    if isinstance(named, str):
        told += [" (", Data(cut(named, 60)), ")"]
    told.append(f" the worst attack still moves a target's rank by {number(best.estimate)} halvings")
    if isinstance(price, int | float):
        told.append(f"; it {'costs' if price > 0 else 'gains'} {percent(abs(float(price)))} of the utility")
    return [Paragraph([*told, "."])]


def clauses(run: AuditRun) -> Section:
    """What bears on which clause, and what it does not show."""
    said: Sentence = ["Where evidence bears on a clause it is named; what it cannot show stands beside it. Whether a "
                      "clause applies, and whether it is complied with, is not decided here."]  # fmt: skip
    parts: list[Section] = []
    for found in maps():
        rows = [_clause(run, entry) for entry in borne(run, found)]
        head = ("Clause", "Evidence in this audit", "Can support", "Does not show")
        note = f"{found.note} Map version {found.version}, checked on {found.checked_on}; source: {found.source}"
        table = Table(found.title, head, rows, (0.22, 0.26, 0.26, 0.26))
        parts.append(Section(f"clauses-{len(parts) + 1}", found.name, [Paragraph([note]), table]))
    more = unknown(run)
    blocks: list[Block] = [Paragraph(said)]
    if more:
        names: list[str | Data] = []
        for name in more[:40]:
            names += [", " if names else "", Data(cut(name, 60))]
        blocks.append(Paragraph(["Clauses that the policy names and no map here knows: ", *names, "."]))
    return Section("clauses", "Clauses of laws and standards", blocks, parts)


def _clause(run: AuditRun, entry: Borne) -> list[Sentence]:
    clause = entry.clause
    title = [f"{clause.id}: {clause.title}"]
    if not clause.checks and not entry.findings:
        return [title, ["no test; this record itself"], [clause.supports], [clause.cannot]]
    measured = {evidence.check for evidence in run.evidence if evidence.estimate is not None}
    by_check: dict[str, Counter[State]] = defaultdict(Counter)
    for finding in entry.findings:
        by_check[finding.check][state(finding)] += 1
    told = [
        f"{_area(check)}: {', '.join(f'{count(tally[name])} {WORDS[name].lower()}' for name in ORDER if tally[name])}"
        for check, tally in by_check.items()
    ]
    told += [f"{_area(check)}: measured, no bound" for check in clause.checks if check in measured - by_check.keys()]
    lacking = [_area(check) for check in clause.checks if check not in measured]
    told += [f"NOT TESTED: {', '.join(lacking)}"] if lacking else []
    return [title, ["; ".join(told) + "."], [clause.supports], [clause.cannot]]


def _area(check: str) -> str:
    return THREATS[check].area.lower() if check in THREATS else "further"
