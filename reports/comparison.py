"""Two runs side by side: what got worse comes first, as an HTML page and as Markdown.

The page is made like the report: one file, no script, both colour schemes, a table behind every plot.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..audit.evidence import AuditRun
from . import text
from .html import environment
from .markdown import LIMIT, SHAPES, code, escape
from .plots import FONT, Plot, axes, words
from .readings import WORDS, State
from .svg import BOUND, INK, MUTED, RULE, SERIES, inline

if TYPE_CHECKING:
    from ..audit.compare import Change, Difference

CHANGES: tuple[Change, ...] = ("worse", "better", "no change shown", "unknown")
LOOKS: dict[Change, State] = {"worse": "fail", "better": "pass", "no change shown": "measured", "unknown": "not_run"}
"""The shape and colour that a change borrows from the states of findings."""
TOLD: dict[Change, str] = {
    "worse": "Worse", "better": "Better", "no change shown": "No change shown", "unknown": "Cannot be told",
}  # fmt: skip
MARKS: dict[Change, str] = {"worse": "s", "better": "o", "no change shown": "|", "unknown": "x"}
ROWS, PANELS, BARS, LINES = 500, 8, 24, 40
"""Rows of the table, plots, bars of a plot, rows of a Markdown table, at most."""


def ordered(differences: Sequence[Difference]) -> list[Difference]:
    """Worse, better, no change shown, unknown; within each the clearest first: farthest from 0 beside its interval."""
    return sorted(differences, key=lambda row: (CHANGES.index(row.change), -_clarity(row)))


def page(earlier: AuditRun, later: AuditRun, differences: Sequence[Difference]) -> bytes:
    """The comparison as one HTML file; the same runs give the same bytes.

    Args:
        earlier: the baseline.
        later: what is held against it.
        differences: of these two runs, from `audit.compare.compare`.
    """
    rows = ordered(differences)
    groups = [(name, found) for name in CHANGES if (found := [row for row in rows[:ROWS] if row.change == name])]
    context = {
        "earlier": earlier,
        "later": later,
        "words": WORDS,
        "told": TOLD,
        "looks": LOOKS,
        "lead": lead(rows),
        "counts": _counts(rows),
        "panels": _panels(rows, later),
        "groups": groups,
        "places": {row.id: _places(row) for row in rows[:ROWS]},
        "shown": min(len(rows), ROWS),
        "total": len(rows),
        "notes": notes(earlier, later, rows),
    }
    return environment().get_template("comparison.html.j2").render(context).encode("utf-8", "replace")


def markdown(earlier: AuditRun, later: AuditRun, differences: Sequence[Difference]) -> bytes:
    """The comparison as Markdown for a pull-request comment; what got worse first, at most some 60,000 characters.

    Args:
        earlier: the baseline.
        later: what is held against it.
        differences: of these two runs, from `audit.compare.compare`.
    """
    rows = ordered(differences)
    tally = " · ".join(f"{n} {TOLD[name].lower()}" for name, n in _counts(rows).items())
    parts = [
        f"## {escape(later.target.name, 80)} against {escape(earlier.target.name, 80)}",
        f"{lead(rows)}\n\n{tally}",
        "| change | what | earlier | later | difference, interval |\n|---|---|---:|---:|---:|",
    ]
    table, size = [], sum(map(len, parts))
    for row in rows[:LINES]:
        line = _line(row)
        size += len(line) + 1
        if size > LIMIT:
            break
        table.append(line)
    parts[-1] = "\n".join([parts[-1], *table])
    if len(table) < len(rows):
        parts.append(f"*{text.count(len(rows) - len(table))} more; `--html` and `--json` show all of them.*")
    parts.append("\n".join(f"- {note}" for note in notes(earlier, later, rows)))
    return ("\n\n".join(parts) + "\n").encode("utf-8", "replace")


def lead(rows: Sequence[Difference]) -> str:
    """The answer in a sentence."""
    found = Counter(row.change for row in rows)
    measured = text.plural(len(rows), "measurement")
    if found["worse"]:
        also = f", {text.count(found['better'])} better" if found["better"] else ""
        return f"Of {measured} in common {text.count(found['worse'])} got worse{also}."
    if found["better"]:
        return f"Of {measured} in common {text.count(found['better'])} got better; none is shown to have got worse."
    return f"Of {measured} in common none is shown to have changed."


def notes(earlier: AuditRun, later: AuditRun, rows: Sequence[Difference]) -> list[str]:
    """How the two were compared, and what stands between them."""
    paired = sum(row.paired for row in rows)
    found = [
        "A difference is later less earlier. It counts as better or worse only if its whole interval lies on one side "
        "of 0; the intervals hold together.",
        f"{text.count(paired)} of {text.count(len(rows))} are paired by the same users, or the same targets and seeds; "
        "the others have wider intervals than a pairing would give.",
    ]
    if earlier.target.data_fingerprint != later.target.data_fingerprint:
        found.append("The two runs are on different data: a difference is not that of the models alone.")
    if earlier.policy_digest != later.policy_digest:
        found.append("The two runs were made under different policies; only measurements of one name are compared.")
    if earlier.target.model_fingerprint == later.target.model_fingerprint:
        found.append("Both runs are of one and the same model.")
    own = [{found.id for found in run.evidence if found.estimate is not None} for run in (earlier, later)]
    lost, new = len(own[0] - own[1]), len(own[1] - own[0])
    if lost or new:
        found.append(f"Measured in one run only: {text.count(lost)} in the earlier, {text.count(new)} in the later.")
    if any(run.status == "incomplete" for run in (earlier, later)):
        found.append("An audit that did not finish is among them.")
    return found


def _counts(rows: Sequence[Difference]) -> dict[Change, int]:
    found = Counter(row.change for row in rows)
    return {name: found[name] for name in CHANGES if found[name] or name in ("worse", "better")}


def _clarity(row: Difference) -> float:
    if row.interval is None:
        return abs(row.difference)
    half = (row.interval[1] - row.interval[0]) / 2
    return abs(row.difference) / half if half > 0 else (math.inf if row.difference else 0.0)


def _places(row: Difference) -> int:
    return text.decimals(row.earlier, row.later, *(row.interval or ()))


def _line(row: Difference) -> str:
    places = _places(row)
    span = "no interval"
    if row.interval is not None:
        low, high = (text.number(end, places, signed=True) for end in row.interval)
        span = f"{low} to {high}" + ("" if row.paired else ", not paired")
    values = f"{text.number(row.earlier, places)} | {text.number(row.later, places)}"
    change = f"{SHAPES[LOOKS[row.change]]} {TOLD[row.change].lower()}"
    difference = text.number(row.difference, places, signed=True)
    return f"| {change} | {escape(row.title)}<br>{code(row.id)} | {values} | {difference} ({span}) |"


def _panels(rows: Sequence[Difference], later: AuditRun) -> list[dict[str, Any]]:
    """A plot for each unit, since only numbers of one unit share an axis; units with something worse come first."""
    units = {found.id: found.unit for found in later.evidence}
    by_unit: dict[str, list[Difference]] = defaultdict(list)
    for row in rows:
        ends = (row.difference, *(row.interval or (math.inf,)))
        if all(map(math.isfinite, ends)) and any(ends):  # an exact "no difference at all" has nothing to draw
            by_unit[units.get(row.id, "")].append(row)
    found = []
    for n, (unit, own) in enumerate(list(by_unit.items())[:PANELS]):
        found.append({"plot": Plot(unit, _draw(own[:BARS], f"change-{n}")), "hidden": max(0, len(own) - BARS)})
    return found


def _draw(rows: Sequence[Difference], key: str) -> str:
    """A row a difference: its name, below it the interval around the difference; 0 is the line to cross."""
    height = 0.42 * len(rows) + 0.62
    figure, ax = axes(3.7, height, (0.15, 0.15, 0.5, 0.1))
    ends = [end for row in rows for end in (row.difference, *(row.interval or ()))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    room = 0.06 * ((high - low) or 1.0)
    colours = {"worse": BOUND, "better": SERIES[0], "no change shown": MUTED, "unknown": MUTED}
    ax.axvline(0.0, color=RULE, linewidth=1.2)
    for place, row in enumerate(rows):
        colour = colours[row.change]
        assert row.interval is not None
        ax.plot(row.interval, [place, place], color=colour, linewidth=1.8, solid_capstyle="butt")
        ax.plot([row.difference], [place], marker=MARKS[row.change], color=colour, markersize=6)
        ax.annotate(_label(row), (0.0, place), (0, 7), va="bottom", ha="left",
                    xycoords=("axes fraction", "data"), textcoords="offset points", color=INK, fontsize=FONT - 0.5,
                    annotation_clip=False, parse_math=False)  # fmt: skip
    ax.set(xlim=(low - room, high + room), ylim=(len(rows) - 0.5, -0.8))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("later less earlier", color=MUTED, fontsize=FONT)
    ax.locator_params(axis="x", nbins=5)
    told = "; ".join(f"{_label(row)} {row.difference:+.3g}" for row in rows)
    return inline(figure, key, "Differences with their intervals", told + ".")


def _label(row: Difference) -> str:
    """The id, behind what happened if anything did: seven characters more or less decide whether it fits."""
    return (f"{row.change}: " if row.change in ("worse", "better") else "") + words(row.id, 48)
