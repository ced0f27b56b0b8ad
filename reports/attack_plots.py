"""Plots of attacks: size against hit rate, and the rank shift of every target. One panel a popularity stratum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .plots import FONT, Plot, apart, axes, tick, words
from .readings import AttackPoint, stratum_rank
from .svg import BOUND, INK, MUTED, PAGE, RULE, SERIES, inline
from .text import MINUS, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = "os^Dv<>p"
WIDTH = 3.7
STRATA_SHOWN = 6


def hit_rate_panels(points: Sequence[AttackPoint], key: str) -> list[Plot]:
    """Attack size against the target's hit rate, a panel a stratum, all to one scale, each around its control.

    Several sizes are drawn as lines over sizes; a single size as rows, an attack a row.

    Args:
        points: of one check and one hit rate.
        key: prefix of identifiers.
    """
    shown = _strongest(points, len(SERIES))
    sizes = [size for size, _ in sorted({p.size: p.share for p in shown}.items(), key=lambda pair: (pair[1], pair[0]))]
    strata = _strata(shown)
    limits = _limits([[end for p in shown if p.stratum == stratum for end in _ends(p)] for stratum in strata])
    draw = _lines if len(sizes) > 1 else _rows
    return [
        Plot(stratum, draw([p for p in shown if p.stratum == stratum], points, sizes, limits[n], f"{key}-{n}"))
        for n, stratum in enumerate(strata)
    ]


def rank_shift_panels(points: Sequence[AttackPoint], key: str) -> list[Plot]:
    """The log2 rank shift of every target under every attack, a panel a stratum on one common scale."""
    shown = _strongest(points, len(SERIES))
    values = [value for point in shown for _, value in point.targets]
    if not values:
        return []
    # at least half a step wide, lest noise look like an effect
    low, high = min(*values, -0.25), max(*values, 0.25)
    room = 0.06 * (high - low)
    limits = (low - room, high + room)
    return [
        Plot(stratum, _dots([p for p in shown if p.stratum == stratum], points, limits, f"{key}-{n}"))
        for n, stratum in enumerate(_strata(shown))
    ]


def _strata(points: Sequence[AttackPoint]) -> list[str]:
    return sorted({point.stratum for point in points}, key=stratum_rank)[:STRATA_SHOWN]


def _strongest(points: Sequence[AttackPoint], limit: int) -> list[AttackPoint]:
    """The points of the attacks with the largest effects, in their own order."""
    effect: dict[str, float] = {}
    for point in points:
        effect[point.attack] = max(effect.get(point.attack, 0.0), abs(point.estimate or 0.0))
    chosen = sorted(effect, key=lambda name: -effect[name])[:limit]
    return [point for point in points if point.attack in chosen]


def _interval(point: AttackPoint) -> tuple[float, float] | None:
    """The interval of the change, laid at the control's level; the targets' range where no rule judged it."""
    values = [value for _, value in point.targets]
    ends = (point.low, point.high) if point.low is not None else (min(values), max(values)) if values else (None, None)
    one, other = (point.level(end) for end in ends)
    return None if one is None or other is None else (min(one, other), max(one, other))


def _ends(point: AttackPoint) -> list[float]:
    levels = [point.attacked, point.control, point.clone, *(_interval(point) or ())]
    bound = point.level(point.bound)
    if bound is not None and bound >= 0:  # below zero it cannot be broken
        levels.append(bound)
    return [level for level in levels if level is not None]


def _limits(panels: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Limits of equal width for every panel, around its own levels, not below zero where shares end."""
    width = max((max(ends) - min(ends) for ends in panels if ends), default=0.0) * 1.14 or 0.01
    limits = []
    for ends in panels:
        low = max((min(ends) + max(ends) - width) / 2 if ends else 0.0, -0.05 * width)
        limits.append((low, low + width))
    return limits


def _bound(points: Sequence[AttackPoint]) -> float | None:
    """The level of the bound where all points share one bound and one control."""
    levels = {round(level, 9) for point in points if (level := point.level(point.bound)) is not None}
    return levels.pop() if len(levels) == 1 else None


def _style(attack: str, all_points: Sequence[AttackPoint]) -> tuple[str, str]:
    """Colour and marker of an attack, the same in every panel."""
    names = list(dict.fromkeys(point.attack for point in all_points))
    place = names.index(attack)
    return SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)]


def _lines(
    points: list[AttackPoint], every: Sequence[AttackPoint], sizes: list[str], limits: tuple[float, float], key: str
) -> str:
    figure, ax = axes(WIDTH, 3.0, (0.46, 1.38, 0.46, 0.12))
    place = {size: n for n, size in enumerate(sizes)}
    last = len(sizes) - 1
    attacks = list(dict.fromkeys(point.attack for point in points))
    labels: list[tuple[float, str, str, str]] = []  # level, text, colour, weight
    for name, pick, dash in (("control", _control, "-"), ("clones", _clone, (0, (4, 2)))):
        levels = {place[p.size]: level for p in points if (level := pick(p)) is not None}
        if levels:
            at = sorted(levels)
            ax.plot(at, [levels[n] for n in at], color=MUTED, linewidth=1.3, linestyle=dash)
            labels.append((levels[at[-1]], name, MUTED, "normal"))
    level = _bound(points)
    if level is not None and limits[0] <= level <= limits[1]:
        ax.axhline(level, color=BOUND, linewidth=1.2, linestyle=(0, (1, 1.6)))
        labels.append((level, "bound", BOUND, "normal"))
    for n, attack in enumerate(attacks):
        colour, marker = _style(attack, every)
        own = sorted((p for p in points if p.attack == attack and p.attacked is not None), key=lambda p: place[p.size])
        shift = (n - (len(attacks) - 1) / 2) * min(0.08, 0.4 / len(attacks))
        xs, ys = [place[p.size] + shift for p in own], [p.attacked or 0.0 for p in own]
        ax.plot(xs, ys, color=colour, linewidth=1.5)
        for x, y, point in zip(xs, ys, own, strict=True):
            ends = _interval(point)
            if ends:
                ax.plot([x, x], ends, color=colour, linewidth=1.0, alpha=0.75, solid_capstyle="butt")
            face = colour if point.state == "fail" else PAGE
            ax.plot([x], [y], marker=marker, markersize=5.2, markerfacecolor=face, markeredgecolor=colour,
                    markeredgewidth=1.3, linestyle="none")  # fmt: skip
        if ys:
            labels.append((ys[-1], attack, colour, "bold"))
    ax.set(xlim=(-0.3, last + 0.3), ylim=limits)
    ax.set_xticks(range(len(sizes)), [words(size, 10) for size in sizes], parse_math=False)
    ticks = _ticks(limits)
    ax.set_yticks(ticks, [tick(t) for t in ticks])
    ax.grid(axis="y", color=RULE, linewidth=0.5)
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("attack size", color=MUTED, fontsize=FONT)
    _label(ax, labels, limits, height=3.0 - 0.46 - 0.12)
    return inline(figure, key, f"Hit rate by attack size, {points[0].stratum} targets", _described(points))


def _rows(
    points: list[AttackPoint], every: Sequence[AttackPoint], sizes: list[str], limits: tuple[float, float], key: str
) -> str:
    rank = _ranks(every)
    rows = sorted((p for p in points if p.attacked is not None), key=lambda p: rank[p.attack])
    figure, ax = _row_axes(len(rows), 0.28, 0.26)
    marks: list[tuple[float, str, str]] = []
    for name, pick, dash in (("control", _control, "-"), ("clones", _clone, (0, (4, 2)))):
        level = next((level for p in points if (level := pick(p)) is not None), None)
        if level is not None and not any(abs(level - other) < (limits[1] - limits[0]) / 30 for other, *_ in marks):
            ax.axvline(level, color=MUTED, linewidth=1.3, linestyle=dash)
            marks.append((level, name, MUTED))
        elif level is not None:
            marks[-1] = (marks[-1][0], "control, clones", MUTED)
    level = _bound(points)
    if level is not None and limits[0] <= level <= limits[1]:
        ax.axvline(level, color=BOUND, linewidth=1.2, linestyle=(0, (1, 1.6)))
        marks.append((level, "bound", BOUND))
    for row, point in enumerate(rows):
        colour, marker = _style(point.attack, every)
        ends = _interval(point)
        if ends:
            ax.plot(ends, [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        ax.plot([point.attacked or 0.0], [row], marker=marker, markersize=6, markeredgewidth=1.4, linestyle="none",
                markerfacecolor=colour if point.state == "fail" else PAGE, markeredgecolor=colour)  # fmt: skip
        _row_name(ax, row, point.attack, colour)
    ax.set(xlim=limits, ylim=(len(rows) - 0.5, -0.6))
    ticks = _ticks(limits)
    ax.set_xticks(ticks, [tick(t) for t in ticks])
    ax.grid(axis="x", color=RULE, linewidth=0.5)
    _over(ax, marks, limits)
    title = f"Hit rate under attack of size {sizes[0]}, {points[0].stratum} targets"
    return inline(figure, key, title, _described(points))


def _dots(points: list[AttackPoint], every: Sequence[AttackPoint], limits: tuple[float, float], key: str) -> str:
    rank = _ranks(every)
    rows = sorted(points, key=lambda p: rank[p.attack])
    figure, ax = _row_axes(len(rows), 0.44, 0.06)
    ax.axvline(0.0, color=MUTED, linewidth=1.0)
    for row, point in enumerate(rows):
        colour, _ = _style(point.attack, every)
        values = [value for _, value in point.targets]
        ax.plot(values, [row] * len(values), marker="o", markersize=5, linestyle="none", markeredgewidth=0,
                markerfacecolor=colour, alpha=0.45)  # fmt: skip
        if point.estimate is not None:
            ax.plot([point.estimate] * 2, [row - 0.32, row + 0.32], color=INK, linewidth=1.6, solid_capstyle="butt")
        _row_name(ax, row, point.attack, colour)
    ax.set(xlim=limits, ylim=(len(rows) - 0.5, -0.6))
    from matplotlib.ticker import MaxNLocator

    ticks = [float(t) for t in MaxNLocator(5, integer=True).tick_values(*limits) if limits[0] <= t <= limits[1]]
    ax.set_xticks(ticks, ["0" if t == 0 else f"{t:+.6g}".replace("-", MINUS) for t in ticks])
    ax.grid(axis="x", color=RULE, linewidth=0.5)
    ax.set_xlabel("shift of the target in log2 rank", color=MUTED, fontsize=FONT)
    described = "; ".join(
        f"{words(p.attack)}: mean {number(p.estimate, 1, signed=True)}, targets from "
        f"{number(min(v for _, v in p.targets), 1, signed=True)} to "
        f"{number(max(v for _, v in p.targets), 1, signed=True)}"
        for p in rows
    )
    return inline(figure, key, f"Rank shift of every target, {points[0].stratum} targets", described + ".")


def _ranks(points: Sequence[AttackPoint]) -> dict[str, int]:
    """Order of rows, the same in every panel: the largest mean effect first."""
    effects: dict[str, list[float]] = {}
    for point in points:
        effects.setdefault(point.attack, []).append(point.estimate or 0.0)
    means = {name: sum(found) / len(found) for name, found in effects.items()}
    worse = -1.0 if points[0].worse == "lower" else 1.0
    return {name: n for n, name in enumerate(sorted(means, key=lambda name: (-worse * means[name], name)))}


def _row_axes(rows: int, bottom: float, top: float) -> tuple[Figure, Axes]:
    figure, ax = axes(WIDTH, bottom + top + 0.27 * rows, (1.4, 0.16, bottom, top))
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    return figure, ax


def _row_name(ax: Axes, row: int, name: str, colour: str) -> None:
    ax.text(-0.03, row, words(name, 18), transform=ax.get_yaxis_transform(), ha="right", va="center", fontsize=FONT,
            color=colour, fontweight="bold", parse_math=False)  # fmt: skip


def _over(ax: Axes, marks: list[tuple[float, str, str]], limits: tuple[float, float]) -> None:
    """Names of vertical lines above the rows, moved apart where they would touch."""
    span = limits[1] - limits[0]
    marks = sorted(marks)
    widths = [len(text) * 0.036 * span for _, text, _ in marks]
    places: list[float] = []
    for (level, *_), width in zip(marks, widths, strict=True):
        left = places[-1] + widths[len(places) - 1] / 2 + span * 0.03 if places else -math.inf
        places.append(max(level, left + width / 2))
    right = limits[1] + span * 0.06
    for n in reversed(range(len(places))):
        places[n] = min(places[n], right - widths[n] / 2)
        right = places[n] - widths[n] / 2 - span * 0.03
    for (_, text, colour), x in zip(marks, places, strict=True):
        ax.text(
            x, 1.02, text, transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=FONT, color=colour
        )


def _control(point: AttackPoint) -> float | None:
    return point.control


def _clone(point: AttackPoint) -> float | None:
    return point.clone


def _ticks(limits: tuple[float, float]) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    low = max(0.0, limits[0])
    return [float(t) for t in MaxNLocator(4).tick_values(low, limits[1]) if low <= t <= limits[1]]


def _label(ax: Axes, labels: list[tuple[float, str, str, str]], limits: tuple[float, float], height: float) -> None:
    """Names at the right end of their lines, moved apart where they would touch, tied by thin lines."""
    gap = (FONT + 2.2) / (height * 72) * (limits[1] - limits[0])
    places = apart([level for level, *_ in labels], gap, limits[0] + gap / 3, limits[1])
    across = ax.get_yaxis_transform()
    for (level, text, colour, weight), y in zip(labels, places, strict=True):
        ax.plot([0.97, 1.05], [level, y], transform=across, color=colour, linewidth=0.7, clip_on=False)
        ax.text(1.07, y, words(text, 18), transform=across, va="center", fontsize=FONT, color=colour,
                fontweight=weight, parse_math=False)  # fmt: skip


def _described(points: Sequence[AttackPoint]) -> str:
    """The panel in words: control, then the strongest attack at every size."""
    control = next((p.control for p in points if p.control is not None), None)
    best: dict[str, AttackPoint] = {}
    for point in points:
        if point.attacked is None:
            continue
        held = best.get(point.size)
        if held is None or abs(point.estimate or 0.0) > abs(held.estimate or 0.0):
            best[point.size] = point
    parts = [f"control {percent(control)}"]
    parts += [f"largest change at {size}: {p.attack}, {percent(p.attacked)}" for size, p in best.items()]
    return "; ".join(parts) + "."
