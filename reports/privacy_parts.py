"""What the page shows of the checks on privacy: how well members are told apart, and what would change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..audit.evidence import Evidence
from .plots import DASHES, FONT, axes, tick, words
from .readings import Reading, real
from .svg import INK, MUTED, RULE, SERIES, inline
from .text import number

ROWS = 200
"""Most rows of a table: more than the widest policy that comes with the package gives, some mitigations besides."""
CURVES = 6
CHECKS = ("privacy", "attributes", "extraction")
_ARMS = {"with": "mitigation", "by references trained as": "outsider"}


@dataclass(frozen=True)
class Inference:
    """How one attack did.

    Attributes:
        what: what is guessed, and the mitigation or the outsider's recipe; or the checkpoint.
        access: what the outsider sees.
        attack: its name.
        auc: estimate, .5 is chance.
        low: lower end of its interval; None where no rule judged it.
        high: upper end.
        chance: what it is to be read against: .5, or what the split alone tells.
        tpr: share of members found at 1 % false alarms; None where it was not measured.
        fpr: the false alarms that were really let through.
    """

    what: str
    access: str
    attack: str
    auc: float
    low: float | None
    high: float | None
    chance: float
    tpr: float | None
    fpr: float | None


@dataclass(frozen=True)
class Told:
    """Another figure of these checks: an epsilon, an attribute, a copy, a price."""

    title: str
    value: float
    baselines: str


def inferences(reading: Reading) -> list[Inference]:
    """A row for each AUC of the check "privacy", in the order of the evidence."""
    intervals = {finding.id: finding.interval for finding in reading.findings}
    rates = {found.id: found for found in _of(reading, "privacy") if found.measure == "tpr@1%"}
    rows = []
    for found in _of(reading, "privacy"):
        if found.measure != "auc" or found.estimate is None:
            continue
        details = found.details
        other = rates.get(found.id.removesuffix(".auc") + ".tpr@1%")
        low, high = intervals.get(found.id) or (None, None)
        unit = "the checkpoint's training pairs" if ".checkpoint." in found.id else str(details.get("unit", ""))
        beside = [f", {words} {name}" for words, key in _ARMS.items() if isinstance(name := details.get(key), str)]
        rows.append(
            Inference(
                what=unit + "".join(beside),
                access=str(details.get("access", "")),
                attack=str(details.get("attack", "")),
                auc=found.estimate,
                low=low,
                high=high,
                chance=next(iter(found.baseline.values()), 0.5),
                tpr=None if other is None else other.estimate,
                fpr=None if other is None else other.baseline.get("false alarms"),
            )
        )
    return rows


def told(reading: Reading) -> list[Told]:
    """Everything else that these checks measured, with what to read it against."""
    rows = []
    for check in CHECKS:
        for found in _of(reading, check):
            if found.estimate is None or (check == "privacy" and found.measure in ("auc", "tpr@1%")):
                continue
            beside = ", ".join(f"{name} {number(value, 3)}" for name, value in list(found.baseline.items())[:5])
            rows.append(Told(found.title, found.estimate, beside))
    return rows


def curves(reading: Reading) -> str:
    """True against false positive rates on log axes, for the plain recipe; an inline SVG, empty without any."""
    shown = []
    for found in _of(reading, "privacy"):
        points = _points(found.details.get("roc"))
        if points and found.details.get("mitigation") is None and found.measure == "auc":
            name = f"{found.details.get('access')}, {found.details.get('attack')}, {found.details.get('unit')}"
            shown.append((name, points, found.estimate or 0.0))
    shown = sorted(shown, key=lambda row: -row[2])[:CURVES]
    if not shown:
        return ""
    figure, ax = axes(5.6, 3.4, (0.62, 1.9, 0.5, 0.12))
    low = min(x for _, points, _ in shown for x, _ in points)
    ax.plot([low, 1], [low, 1], color=RULE, linewidth=1.0)
    for place, (name, points, _) in enumerate(shown):
        x, y = zip(*[(a, max(b, low / 2)) for a, b in points], strict=True)
        ax.plot(x, y, color=SERIES[place % len(SERIES)], linewidth=1.8, linestyle=DASHES[place % len(DASHES)])
        ax.text(1.03, 0.97 - 0.1 * place, f"{words(name, 30)}", transform=ax.transAxes, color=INK, fontsize=FONT - 1,
                va="top", parse_math=False)  # fmt: skip
        ax.plot([1.005, 1.025], [0.955 - 0.1 * place] * 2, transform=ax.transAxes, clip_on=False,
                color=SERIES[place % len(SERIES)], linewidth=1.8, linestyle=DASHES[place % len(DASHES)])  # fmt: skip
    ax.set(xscale="log", yscale="log", xlim=(low, 1), ylim=(low / 2, 1.1))
    ticks = [value for value in (0.001, 0.01, 0.1, 1.0) if value >= low]
    ax.set_xticks(ticks, [tick(value) for value in ticks])
    ax.set_yticks(ticks, [tick(value) for value in ticks])
    ax.minorticks_off()
    ax.grid(color=RULE, linewidth=0.5)
    ax.set_xlabel("false alarms: others taken for members", color=MUTED, fontsize=FONT)
    ax.set_ylabel("members found", color=MUTED, fontsize=FONT)
    said = "; ".join(f"{words(name, 60)}: AUC {number(auc, 3)}" for name, _, auc in shown)
    return inline(figure, "membership", "Members found against false alarms, both on log axes", f"{said}.")


def context(reading: Reading) -> Mapping[str, object]:
    """What the template reads."""
    rows, others = inferences(reading), told(reading)
    if not rows and not others:
        return {"privacy": None}
    return {
        "privacy": True, "privacy_rows": rows[:ROWS], "privacy_all_rows": len(rows), "privacy_told": others[:ROWS],
        "privacy_all_told": len(others), "privacy_svg": curves(reading), "privacy_drivers": drivers(reading),
    }  # fmt: skip


def drivers(reading: Reading) -> Sequence[tuple[str, float]]:
    """What makes pairs easy to tell, of the first attack that says so: standardised coefficients by name."""
    for found in _of(reading, "privacy"):
        own = found.details.get("drivers")
        if isinstance(own, dict) and own:
            return [(str(name), value) for name, raw in own.items() if (value := real(raw)) is not None][:5]
    return []


def _of(reading: Reading, check: str) -> list[Evidence]:
    return [found for found in reading.run.evidence if found.check == check]


def _points(raw: Any) -> list[tuple[float, float]]:
    """Points of a curve that a record holds, as far as they are shares; nothing if any is not."""
    if not isinstance(raw, list) or not 2 <= len(raw) <= 1000:
        return []
    found = []
    for point in raw:
        if not isinstance(point, list | tuple) or len(point) != 2:
            return []
        x, y = real(point[0]), real(point[1])
        if x is None or y is None or not (0 < x <= 1 and 0 <= y <= 1):
            return []
        found.append((x, y))
    return found
