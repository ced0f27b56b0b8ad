"""What the page shows of the check on unlearning: where each method lands between a retrain and nothing done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .plots import FONT, axes, words
from .readings import Reading, real
from .svg import INK, MUTED, SERIES, inline
from .text import number

ROWS = 60
"""Most rows that are shown."""
SHOWN = (-1.0, 1.5)
"""Ends of the axis of rho; what lies beyond stands at the end."""


@dataclass(frozen=True)
class Forgetting:
    """A method's answer to a request.

    Attributes:
        method: the unlearner, or a control.
        request: what was asked.
        control: whether it is a negative control.
        verdict: honoured, not honoured, inconclusive.
        reason: why.
        rho: of the primary statistic, None without power.
        low: lower end of its interval.
        high: upper end.
        margin: of the verdict.
        change: of NDCG against retrains.
        seconds: CPU seconds of the request.
        prepared: CPU seconds of what is done once.
        faster: how many times faster than a retrain a request is.
    """

    method: str
    request: str
    control: bool
    verdict: str
    reason: str
    rho: float | None
    low: float | None
    high: float | None
    margin: float
    change: float | None
    seconds: float | None
    prepared: float | None
    faster: float | None


def forgettings(reading: Reading) -> list[Forgetting]:
    """One for each method and request, by request, least left first, controls last."""
    costs = {cell.key: cell.costs for cell in reading.run.cells}
    changes = {}
    for found in reading.run.evidence:
        if found.check == "unlearning" and ".utility." in found.id and found.estimate is not None:
            changes[found.details.get("unlearner"), found.details.get("request")] = found.estimate
    rows = []
    for found in reading.run.evidence:
        details = found.details
        named = details.get("unlearner"), details.get("request")
        if found.check != "unlearning" or found.measure != "residual" or not all(isinstance(n, str) for n in named):
            continue
        own = costs.get(found.cells[0], {}) if found.cells else {}
        fits = [cost for key in found.cells[1:] if (cost := costs.get(key, {}).get("fit")) is not None]
        seconds = own.get("forget")
        faster = sum(fits) / len(fits) / seconds if fits and seconds else None
        control = details.get("control") is True
        rho, low, high = _primary(details)
        rows.append(
            Forgetting(
                method=str(named[0]),
                request=str(named[1]),
                control=control,
                verdict=str(details.get("verdict")),
                reason=str(details.get("reason")),
                rho=rho,
                low=low,
                high=high,
                margin=real(details.get("margin")) or 0.0,
                change=changes.get(named),
                seconds=seconds,
                prepared=own.get("prepare"),
                faster=None if control else faster,
            )
        )
    rows.sort(key=lambda row: (row.request, row.control, abs(row.rho) if row.rho is not None else 9.0, row.method))
    return rows[:ROWS]


def _primary(details: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Rho and interval of the first statistic."""
    statistics = details.get("statistics")
    first = statistics[0] if isinstance(statistics, list) and statistics else None
    if not isinstance(first, dict):
        return None, None, None
    ends = first.get("rho_interval")
    low, high = ends if isinstance(ends, list) and len(ends) == 2 else (None, None)
    return real(first.get("rho")), real(low), real(high)


def drawing(rows: Sequence[Forgetting]) -> str:
    """Rho with its interval, a row a method, the margin as a band; as an inline SVG."""
    height, margins = 0.24, (1.75, 0.15, 0.45, 0.12)
    shown = [row for row in rows if row.rho is not None]
    figure, ax = axes(5.6, height * len(shown) + margins[2] + margins[3], margins)
    low, high = SHOWN
    margin = max((row.margin for row in shown), default=0.0)
    ax.axvspan(-margin, margin, color=SERIES[0], alpha=0.14, linewidth=0)
    for place in (0.0, 1.0):
        ax.axvline(place, color=MUTED, linewidth=0.8)
    for place, row in enumerate(shown):
        at = min(max(row.rho or 0.0, low), high)
        if row.low is not None and row.high is not None:
            ax.plot([max(row.low, low), min(row.high, high)], [place, place], color=MUTED, linewidth=1.2)
        sound = row.verdict == "honoured"
        ax.plot(at, place, "o", color=SERIES[0] if sound else SERIES[1], markersize=4.5,
                fillstyle="full" if sound else "none")  # fmt: skip
        name = f"{words(row.method, 18)}, {words(row.request, 14)}"
        ax.text(low - 0.06, place, name, ha="right", va="center", fontsize=FONT - 1,
                color=MUTED if row.control else INK, parse_math=False)  # fmt: skip
    ax.set(
        xlim=SHOWN, ylim=(len(shown) - 0.5, -0.5), yticks=[], xlabel="rho: 0 like a retrain, 1 like nothing was done"
    )
    said = [
        f"{words(row.method, 40)}, {words(row.request, 30)}: {row.verdict}, rho {number(row.rho, 2)}" for row in shown
    ]
    return inline(figure, "unlearning", "What each method leaves of each request", "; ".join(said) + ".")


def context(reading: Reading) -> Mapping[str, object]:
    """What the template reads."""
    rows = forgettings(reading)
    if not rows:
        return {"unlearning": None}
    limits = [text for found in reading.run.evidence if found.check == "unlearning"
              and isinstance(text := found.details.get("limits"), list)]  # fmt: skip
    drawn = drawing(rows) if any(row.rho is not None for row in rows) else ""
    return {
        "unlearning": rows,
        "unlearning_svg": drawn,
        "unlearning_limits": [str(text) for text in limits[0][:10]] if limits else [],
    }
