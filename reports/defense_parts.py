"""What the page shows of the check on defences: what each leaves of each attack, as a heat map and a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..audit.evidence import Evidence
from .plots import FONT, axes, words
from .readings import Reading, real
from .svg import INK, MUTED, PAGE, SERIES, inline
from .text import number

NONE = "none"
ROWS, CASES = 40, 16
"""Most defences and cases (attack at a size) that are drawn."""


@dataclass(frozen=True)
class DefenseRow:
    """A defence: what it leaves of the rank shift in each case, and its price; the first row is that of none.

    Attributes:
        name: the defence.
        left: log2 rank shift by case, None where it was not measured.
        price: change of NDCG without an attack, None for no defence.
        alarms: share of the genuine users it counts less than half, if it judges accounts.
        auc: how well it tells fakes from genuine users, mean over cases, if it judges accounts.
        gini: of items' exposure without an attack, before and after; None for no defence.
        seconds: CPU seconds of a training without an attack, mean.
        known: by case, whether the attack is one that the defence simulates to learn from.
    """

    name: str
    left: Sequence[float | None]
    price: float | None
    alarms: float | None
    auc: float | None
    gini: tuple[float, float] | None = None
    seconds: float | None = None
    known: Sequence[bool] = ()


@dataclass(frozen=True)
class Best:
    """The defence that leaves least of its worst case at a tolerated price, as the check chose it.

    Attributes:
        name: of the defence, or `NONE`.
        case: its worst attack and size.
        left: of the rank shift there, log2.
        price: change of NDCG without an attack; None for no defence.
        known: whether it has no credit there, since it simulates the attack to learn from.
    """

    name: str
    case: str
    left: float
    price: float | None
    known: bool


@dataclass(frozen=True)
class TextGain:
    """What a defence takes more by real texts than by what stands in their place, mean and extremes over cases."""

    name: str
    arm: str
    mean: float
    least: float
    most: float


@dataclass(frozen=True)
class Matrix:
    """Cases as columns, defences as rows, least left in the worst case first; the chosen one; how many there are."""

    cases: Sequence[str]
    rows: Sequence[DefenseRow]
    best: Best | None
    all_cases: int
    all_rows: int


def matrix(reading: Reading) -> Matrix | None:
    """What the check found, or None where it found nothing."""
    left: dict[str, dict[str, float]] = {}
    before: dict[str, float] = {}
    auc: dict[str, list[float]] = {}
    price: dict[str, float] = {}
    alarms: dict[str, float] = {}
    gini: dict[str, tuple[float, float]] = {}
    known: set[tuple[str, str]] = set()
    chosen: Evidence | None = None
    for found in reading.run.evidence:
        details = found.details
        name, attack, size = (details.get(key) for key in ("defense", "attack", "size"))
        if found.check != "defense" or not isinstance(name, str) or found.estimate is None:
            continue
        if found.id == "defense.best.log2_rank_shift":
            chosen = found
        elif ".utility." in found.id:
            price[name] = found.estimate
        elif found.measure == "false_alarms":
            alarms[name] = found.estimate
        elif found.measure == "gini" and (before_it := real(found.baseline.get("undefended"))) is not None:
            gini[name] = before_it, before_it + found.estimate
        elif isinstance(attack, str) and isinstance(size, str):
            case = f"{attack} {size}"
            if found.measure == "log2_rank_shift":
                left.setdefault(name, {})[case] = found.estimate
                if details.get("attack_known") is True:
                    known.add((name, case))
                if (undefended := real(found.baseline.get("undefended"))) is not None:
                    before[case] = undefended
            elif found.measure == "detector_auc":
                auc.setdefault(name, []).append(found.estimate)
    if not left:
        return None
    best = None if chosen is None else _best(chosen, price)
    all_cases = list(dict.fromkeys(case for own in left.values() for case in own))
    cases = _first(all_cases, CASES, None if best is None else best.case)
    ranked = sorted(left, key=lambda name: (max(left[name].values()), name))
    names = _first(ranked, ROWS, None if best is None else best.name)
    seconds = _seconds(reading)
    rows = [DefenseRow(NONE, [before.get(case) for case in cases], None, None, None, seconds=seconds.get(NONE))]
    for name in names:
        seen = auc.get(name)
        mean = sum(seen) / len(seen) if seen else None
        own = [left[name].get(case) for case in cases]
        taught = [(name, case) in known for case in cases]
        rows.append(
            DefenseRow(
                name, own, price.get(name), alarms.get(name), mean, gini.get(name), seconds.get(name), taught
            )
        )  # fmt: skip
    return Matrix(cases, rows, best, len(all_cases), len(ranked) + 1)


def _best(found: Evidence, price: Mapping[str, float]) -> Best | None:
    details = found.details
    name, attack, size = (str(details.get(key)) for key in ("defense", "attack", "size"))
    known = details.get("attack_known") is True
    return Best(name, f"{attack} {size}", found.estimate or 0.0, price.get(name), known)


def _first(names: Sequence[str], count: int, kept: str | None) -> list[str]:
    """The first of them, with the one that must not be left out in the last place."""
    found = list(names[:count])
    return [*found[:-1], kept] if kept in names and kept not in found and kept is not None else found


def _seconds(reading: Reading) -> dict[str, float]:
    """CPU seconds of a training without an attack by defence, and undefended, means over seeds."""
    fits = {cell.key: (cell.defense_seconds is not None, cell.costs.get("fit")) for cell in reading.run.cells}
    found: dict[str, list[float]] = {}
    for one in reading.run.evidence:
        name = one.details.get("defense")
        if one.check == "defense" and ".utility." in one.id and isinstance(name, str):
            for defended, seconds in (fits[key] for key in one.cells if key in fits):
                if seconds is not None:
                    found.setdefault(name if defended else NONE, []).append(seconds)
    return {name: sum(own) / len(own) for name, own in found.items()}


def text_gains(reading: Reading) -> list[TextGain]:
    """What real texts bring, by defence and control arm, in the order of the evidence."""
    values: dict[tuple[str, str], list[float]] = {}
    for found in reading.run.evidence:
        name, arm = (found.details.get(key) for key in ("defense", "arm"))
        own = found.check == "defense" and found.measure == "text_gain" and found.estimate is not None
        if own and isinstance(name, str) and isinstance(arm, str):
            values.setdefault((name, arm), []).append(found.estimate or 0.0)
    return [TextGain(name, arm, sum(own) / len(own), min(own), max(own)) for (name, arm), own in values.items()][:ROWS]


def heat_map(found: Matrix) -> str:
    """The matrix as an inline SVG: the darker, the more is left; what is below zero is left white."""
    height, width = 0.24, 0.74
    rows, columns = len(found.rows), len(found.cases)
    margins = (1.35, 0.1, 0.1, 0.62)
    figure, ax = axes(sum(margins[:2]) + width * columns, sum(margins[2:]) + height * rows, margins)
    most = max((value for row in found.rows for value in row.left if value is not None), default=0.0)
    for side in ax.spines.values():
        side.set_visible(False)
    for place, row in enumerate(found.rows):
        for column, value in enumerate(row.left):
            if value is None:
                continue
            share = max(0.0, value) / most if most > 0 else 0.0
            ax.fill([column, column + 1, column + 1, column], [place, place, place + 1, place + 1],
                    facecolor=SERIES[0], alpha=0.62 * share, edgecolor=PAGE, linewidth=1.0)  # fmt: skip
            taught = "*" if row.known and row.known[column] else ""
            ax.text(
                column + 0.5,
                place + 0.5,
                f"{number(value, 2)}{taught}",
                ha="center",
                va="center",
                fontsize=FONT,
                color=INK,
            )
        weight = "bold" if found.best is not None and row.name == found.best.name else "normal"
        ax.text(-0.08, place + 0.5, words(row.name, 20), ha="right", va="center", fontsize=FONT, color=INK,
                fontweight=weight, parse_math=False)  # fmt: skip
    for column, case in enumerate(found.cases):
        attack, _, size = case.rpartition(" ")
        name = f"{words(attack, 18)}\n{words(size, 8)}"
        ax.text(column + 0.1, -0.25, name, ha="left", va="bottom", fontsize=FONT - 1, color=MUTED, rotation=18,
                parse_math=False)  # fmt: skip
    ax.set(xlim=(0, columns), ylim=(rows, 0), xticks=[], yticks=[])
    return inline(figure, "defense-map", "What each defence leaves of each attack", _described(found))


def _described(found: Matrix) -> str:
    parts = []
    for row in found.rows:
        known = [value for value in row.left if value is not None and math.isfinite(value)]
        if known:
            parts.append(f"{words(row.name, 40)}: at most {number(max(known), 2)} left")
    return "; ".join(parts) + "."


def context(reading: Reading) -> Mapping[str, object]:
    """What the template reads."""
    found = matrix(reading)
    if found is None:
        return {"defenses": None}
    return {
        "defenses": found, "defense_svg": heat_map(found), "defense_best": found.best,
        "defense_taught": any(any(row.known) for row in found.rows), "defense_texts": text_gains(reading),
    }  # fmt: skip
