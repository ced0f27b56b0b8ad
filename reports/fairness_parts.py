"""What the page shows of the checks on exposure and on groups: tables of measures, exposure against popularity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..audit.evidence import Evidence
from .plots import DASHES, FONT, axes, tick, words
from .readings import Reading, real
from .svg import INK, MUTED, RULE, SERIES, inline
from .text import percent

REFERENCES = ("popularity", "random", "fairest reachable")
COLUMNS = (
    ("items", "Items", "count"), ("users", "Users", "count"), ("catalogue", "Share of catalogue", "percent"),
    ("interactions", "Share of training events", "percent"), ("exposure", "Share of exposure", "percent"),
    ("mean", "Mean NDCG", "number"), ("standard_error", "Standard error", "number"),
)  # fmt: skip
GROUPS, TABLES = 30, 12
"""Most rows of a table of groups, and most tables."""


@dataclass(frozen=True)
class MeasureRow:
    """One measure: the model's value, its standard error, the references' values, and what to read beside it."""

    name: str
    title: str
    unit: str
    estimate: float | None
    error: float | None
    references: list[float | None]
    notes: list[str]


@dataclass(frozen=True)
class GroupTable:
    """Groups of items or users: (heading, kind) of the columns, and rows of a name and its numbers."""

    title: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[float | None]]]


def measure_rows(reading: Reading, check: str) -> list[MeasureRow]:
    """Every evidence of a check, in the record's order."""
    return [
        MeasureRow(
            name=found.measure,
            title=found.title,
            unit=found.unit,
            estimate=found.estimate,
            error=found.standard_error,
            references=[real(found.baseline.get(name)) for name in REFERENCES],
            notes=[found.missing] if found.missing else _texts(found.details.get("notes")),
        )
        for found in reading.run.evidence
        if found.check == check
    ]


def _texts(notes: Any) -> list[str]:
    return [str(note) for note in notes] if isinstance(notes, list | tuple) else []


def group_tables(reading: Reading) -> list[GroupTable]:
    """The tables of groups that evidence carries."""
    tables = (_group_table(found) for found in reading.run.evidence if found.check == "groups")
    return [table for table in tables if table is not None][:TABLES]


def _group_table(found: Evidence) -> GroupTable | None:
    rows = found.details.get("groups")
    rows = [row for row in rows if isinstance(row, dict)][:GROUPS] if isinstance(rows, list | tuple) else []
    used = [
        (key, heading, kind) for key, heading, kind in COLUMNS if any(real(row.get(key)) is not None for row in rows)
    ]
    if not rows or not used:
        return None
    cells = [(str(row.get("name", "")), [real(row.get(key)) for key, _, _ in used]) for row in rows]
    return GroupTable(found.title, [(heading, kind) for _, heading, kind in used], cells)


def popularity_buckets(reading: Reading) -> dict[str, list[tuple[float, float, float]]]:
    """By list, (share of events, share of exposure, share never shown) in buckets of items, least popular first."""
    table = reading.exposure.evidence.details.get("exposure_by_popularity") if reading.exposure else None
    found: dict[str, list[tuple[float, float, float]]] = {}
    for name, rows in table.items() if isinstance(table, dict) else ():
        cells = [
            tuple(real(row.get(key)) for key in ("events", "exposure", "never_shown")) if isinstance(row, dict) else ()
            for row in (rows if isinstance(rows, list | tuple) else ())
        ]
        whole = [(a, b, c) for a, b, c in (cell for cell in cells if len(cell) == 3) if None not in (a, b, c)]
        if len(whole) > 1:
            found[str(name)] = whole  # type: ignore[assignment]
    return dict(sorted(found.items(), key=lambda pair: pair[0] != "model")[:3])


def against_popularity(buckets: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """Share of exposure by bucket of popularity: the model's thick, references thin, training events dotted."""
    figure, ax = axes(4.4, 3.7, (0.6, 0.15, 0.5, 0.12))
    names = list(buckets)
    count = len(buckets[names[0]])
    middle = [(place + 0.5) / count for place in range(count)]
    curves = {name: [row[1] for row in rows] for name, rows in buckets.items() if len(rows) == count}
    curves["training events"] = [row[0] for row in buckets[names[0]]]
    for place, (name, heights) in reversed(list(enumerate(curves.items()))):
        model = place == 0
        ax.plot(middle, heights, color=SERIES[0] if model else MUTED, linewidth=2.4 if model else 1.3,
                linestyle=DASHES[min(place, len(DASHES) - 1)], solid_capstyle="round")  # fmt: skip
        level = 0.94 - 0.085 * place
        ax.plot([0.03, 0.12], [level, level], transform=ax.transAxes, color=SERIES[0] if model else MUTED,
                linewidth=2.4 if model else 1.3, linestyle=DASHES[min(place, len(DASHES) - 1)])  # fmt: skip
        ax.text(0.145, level, words(name), transform=ax.transAxes, color=SERIES[0] if model else INK, fontsize=FONT,
                va="center", parse_math=False, fontweight="bold" if model else "normal")  # fmt: skip
    top = max(max(heights) for heights in curves.values()) or 1.0
    ax.set(xlim=(0, 1), ylim=(0, top * 1.05))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ax.set_xticks(ticks, [tick(t) for t in ticks])
    heights_at = [top * t for t in (0, 0.25, 0.5, 0.75, 1)]
    ax.set_yticks(heights_at, [tick(round(t, 3)) for t in heights_at])
    ax.grid(color=RULE, linewidth=0.5)
    ax.set_xlabel("items, least popular first", color=MUTED, fontsize=FONT)
    ax.set_ylabel("share of exposure", color=MUTED, fontsize=FONT)
    described = "; ".join(
        f"{words(name)}: the most popular {percent(1 / count)} of the items get {percent(heights[-1])}"
        for name, heights in curves.items()
    )
    return inline(figure, "popularity", "Exposure against popularity", described + ".")
