"""Drawing habits shared by all plots, the Lorenz curves and the utility bars. matplotlib is imported when one draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from .svg import INK, MUTED, PAGE, RULE, SERIES, inline
from .text import NBSP, cut, number, percent, undirected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT = 9.0
"""Points. A panel of 3.7 inches is shown about 350 pixels wide, which makes 12 pixels of it."""
DASHES = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1, 2)))


@dataclass(frozen=True)
class Plot:
    """An inline SVG and the name, from data, that stands above it."""

    name: str
    svg: str


def axes(width: float, height: float, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure with one pair of quiet axes.

    Args:
        width: inches.
        height: inches.
        margins: left, right, bottom, top, inches.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    left, right, bottom, top = margins
    with mpl.rc_context(mpl.rcParamsDefault):  # somebody's matplotlibrc must not change the bytes
        figure = Figure(figsize=(width, height))
        figure.patch.set_visible(False)
        box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height)
        ax = figure.add_axes(box)
    ax.patch.set_visible(False)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set(color=RULE, linewidth=0.8)
    ax.tick_params(colors=MUTED, labelsize=FONT, length=0, pad=4)
    ax.set_axisbelow(True)
    return figure, ax


def words(text: str, limit: int = 24) -> str:
    """Text from data as it may stand in a drawing: one line, no turning of direction, short."""
    return cut(undirected(text), limit)


def tick(value: float) -> str:
    """A share as a percentage on an axis."""
    return f"{value * 100:.6g}{NBSP}%"


def apart(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Positions as near to the wanted ones as a least distance allows, within [low, high] where there is room."""
    order = sorted(range(len(wanted)), key=lambda n: (wanted[n], n))
    groups: list[list[float]] = []  # [sum of (wanted - offset), members]: pooled until no two groups touch
    for n in order:
        groups.append([wanted[n], 1])
        while len(groups) > 1 and _end(groups[-2], gap) + gap > _start(groups[-1], gap):
            total, size = groups.pop()
            groups[-1] = [groups[-1][0] + total, groups[-1][1] + size]
    placed: list[float] = []
    for group in groups:
        start = _start(group, gap)
        placed += [start + gap * member for member in range(int(group[1]))]
    shift_down = max(0.0, placed[-1] - high) if placed else 0.0
    for n in range(len(placed) - 1, -1, -1):
        ceiling = high if n == len(placed) - 1 else placed[n + 1] - gap
        placed[n] = min(placed[n], ceiling) if shift_down else placed[n]
    for n in range(len(placed)):
        floor = low if n == 0 else placed[n - 1] + gap
        placed[n] = max(placed[n], floor)
    result = [0.0] * len(wanted)
    for position, n in zip(placed, order, strict=True):
        result[n] = position
    return result


def _start(group: Sequence[float], gap: float) -> float:
    return group[0] / group[1] - gap * (group[1] - 1) / 2


def _end(group: Sequence[float], gap: float) -> float:
    return _start(group, gap) + gap * (group[1] - 1)


def lorenz(curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Lorenz curves of exposure: the model's thick, references thin, the diagonal of even exposure."""
    figure, ax = axes(4.4, 3.7, (0.55, 0.15, 0.5, 0.12))
    names = sorted(curves, key=lambda name: name != "model")[:4]
    ax.plot([0, 1], [0, 1], color=RULE, linewidth=1.0)
    for place, name in reversed(list(enumerate(names))):
        x, y = zip(*curves[name], strict=True)
        ax.plot(x, y, color=SERIES[0] if place == 0 else MUTED, linewidth=2.4 if place == 0 else 1.3,
                linestyle=DASHES[place], solid_capstyle="round", clip_on=False)  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ticks = [0, 0.25, 0.5, 0.75, 1]
    ax.set_xticks(ticks, [tick(t) for t in ticks])
    ax.set_yticks(ticks, [tick(t) for t in ticks])
    ax.grid(color=RULE, linewidth=0.5)
    ax.set_xlabel("share of items, least shown first", color=MUTED, fontsize=FONT)
    ax.set_ylabel("share of all exposure", color=MUTED, fontsize=FONT)
    # the triangle above the diagonal is always empty: room for a key in the curves' own order
    heights = {name: sum(y for _, y in curves[name]) / len(curves[name]) for name in names}
    for row, name in enumerate(sorted(names, key=lambda n: -heights[n])):
        place, level = names.index(name), 0.94 - 0.085 * row
        colour = SERIES[0] if place == 0 else MUTED
        ax.plot(
            [0.03, 0.12], [level, level], color=colour, linewidth=2.4 if place == 0 else 1.3, linestyle=DASHES[place]
        )
        ax.text(0.145, level, words(name), color=colour if place == 0 else INK, fontsize=FONT, va="center",
                parse_math=False, fontweight="bold" if place == 0 else "normal")  # fmt: skip
    ax.text(0.40, 0.425, "even", color=MUTED, fontsize=FONT, ha="right", va="bottom")
    described = "; ".join(
        f"{words(name)}: the less shown half of the items gets {percent(at(curves[name], 0.5))} of exposure"
        for name in names
    )
    return inline(figure, "lorenz", "Lorenz curves of exposure", described + ".")


def at(curve: Sequence[tuple[float, float]], x: float) -> float:
    """A piecewise linear curve's height at x."""
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 <= x <= x1 and x1 > x0:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return curve[-1][1]


def utility(values: Mapping[str, float], metric: str, interval: tuple[float, float] | None) -> str:
    """Bars of one utility metric: the model's in colour with its interval, references quiet, numbers at the ends."""
    shown = sorted(values.items(), key=lambda pair: -pair[1])[:12]
    figure, ax = axes(4.4, 0.16 + 0.29 * len(shown), (1.35, 0.6, 0.08, 0.08))
    top = max([value for _, value in shown] + ([interval[1]] if interval else [])) or 1.0
    for row, (name, value) in enumerate(shown):
        own = name == "model"
        ax.barh(row, value, height=0.62, color=SERIES[0] if own else RULE, linewidth=0)
        end = value
        if own and interval:
            ax.plot(interval, [row, row], color=PAGE, linewidth=3.6, solid_capstyle="butt")
            ax.plot(interval, [row, row], color=INK, linewidth=1.4, solid_capstyle="butt")
            end = max(value, interval[1])
        ax.annotate(number(value, 3), (end, row), (5, 0), textcoords="offset points", va="center",
                    color=INK, fontsize=FONT, fontweight="bold" if own else "normal",
                    annotation_clip=False)  # fmt: skip
        ax.annotate(words(name, 20), (0, row), (-7, 0), textcoords="offset points", va="center", ha="right",
                    color=INK, fontsize=FONT, fontweight="bold" if own else "normal", annotation_clip=False,
                    parse_math=False)  # fmt: skip
    ax.set(xlim=(min(0.0, *values.values()), top), ylim=(len(shown) - 0.5, -0.5))
    ax.set_yticks([])
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="x", labelbottom=False)
    described = "; ".join(f"{words(name)} {number(value, 3)}" for name, value in shown)
    return inline(figure, "utility", f"{metric} of the model and its references", described + ".")
