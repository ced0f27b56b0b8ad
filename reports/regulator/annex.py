"""Annexes: every number with the keys of its cells, the cells, the environment."""

from __future__ import annotations

from ...audit.evidence import AuditRun
from ..text import Data, Sentence, count, cut, decimals, duration, number
from .document import Block, Paragraph, Section, Table
from .edition import Edition

NUMBERS, CELLS, KEYS = 1000, 1000, 4
"""Rows of the annexes, and keys named beside a number, at most; the attached record holds all."""
KEY = 12
"""Characters of a key that are printed."""


def sections(run: AuditRun, edition: Edition) -> list[Section]:
    """The annexes that an audience gets."""
    found = [_numbers(run), _cells(run)] if edition.details else []
    return [*found, _environment(run, edition)]


def _numbers(run: AuditRun) -> Section:
    rows: list[list[Sentence]] = []
    for evidence in run.evidence[:NUMBERS]:
        places = decimals(evidence.estimate)
        keys = ", ".join(key[:KEY] for key in evidence.cells[:KEYS])
        more = f" and {count(len(evidence.cells) - KEYS)} more" if len(evidence.cells) > KEYS else ""
        estimate = (
            [number(evidence.estimate, places)] if evidence.missing is None else [Data(cut(evidence.missing, 80))]
        )
        rows.append([[Data(cut(evidence.id, 120))], estimate, [count(evidence.n)], [Data(keys), more]])
    head = ("Evidence", "Estimate", "n", "Cells")
    table = Table("Numbers with the cells they come from", head, rows, (0.46, 0.16, 0.08, 0.3), frozenset({1, 2}),
                  max(0, len(run.evidence) - NUMBERS))  # fmt: skip
    return Section("annex-numbers", "Annex A: every number", [table])


def _cells(run: AuditRun) -> Section:
    rows: list[list[Sentence]] = [
        [[Data(cell.key[:KEY])], [Data(cut(cell.label, 140))], [str(cell.kind)], [str(cell.seed)],
         [duration(cell.seconds)]]
        for cell in run.cells[:CELLS]
    ]  # fmt: skip
    head = ("Key", "What was computed", "Kind", "Seed", "Time")
    table = Table("Cells", head, rows, (0.16, 0.46, 0.12, 0.15, 0.11), frozenset({3, 4}),
                  max(0, len(run.cells) - CELLS))  # fmt: skip
    said = (
        "A cell is computed again by `recaudit reproduce DIR KEY --model CHECKPOINT`, the beginning of its key given."
    )
    return Section("annex-cells", "Annex B: cells", [Paragraph([said]), table])


def _environment(run: AuditRun, edition: Edition) -> Section:
    rows: list[list[Sentence]] = [
        [[Data(cut(name, 60))], [Data(cut(value, 160))]] for name, value in sorted(run.environment.items())[:100]
    ]
    rows += [[["Seed of the run"], [str(run.seed)]], [["Wall time"], [duration(run.seconds)]]]
    blocks: list[Block] = [Table("Environment", ("Name", "Value"), rows, (0.32, 0.68))]
    signed = (
        "This file carries no signature of its own. Where a signed manifest goes with the folder it came in, "
        "`recaudit verify` shows whether a byte was changed; the times are claims."
    )
    blocks.append(Paragraph([signed]))
    letter = "C" if edition.details else "A"
    return Section("annex-environment", f"Annex {letter}: environment", blocks)
