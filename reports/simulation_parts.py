"""What the page shows of the check on the closed loop: what a target gets of users' attention, round by round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .plots import FONT, Plot, axes, tick, words
from .readings import Reading, real
from .svg import INK, MUTED, RULE, SERIES, inline
from .text import percent

PANELS, ROUNDS = 12, 60
"""Most panels, and most rounds of one, that are drawn."""


@dataclass(frozen=True)
class Loop:
    """A target group under one attack and size.

    Attributes:
        name: attack, size and popularity group.
        clean: share of attention in each round without the attack.
        poisoned: with it.
        rounds: how many of the rounds the fake accounts were there.
        stable: whether other models of the user show the same, None where none was tried.
    """

    name: str
    clean: list[float]
    poisoned: list[float]
    rounds: int
    stable: bool | None


def loops(reading: Reading) -> list[Loop]:
    """One for each attack, size and popularity group that was simulated."""
    found = []
    for evidence in reading.run.evidence:
        details = evidence.details
        if evidence.check != "simulate" or details.get("moment") != "final":
            continue
        series = details.get("by_round")
        share = series.get("share") if isinstance(series, dict) else None
        share = share if isinstance(share, dict) else {}
        clean, poisoned = (_numbers(share.get(side)) for side in ("clean", "poisoned"))
        rounds, stable = real(details.get("round")), details.get("stable")
        if clean and len(clean) == len(poisoned) and rounds is not None:
            name = f"{details.get('attack')} {details.get('size')}, {details.get('stratum')}"
            found.append(Loop(name, clean, poisoned, int(rounds), stable if isinstance(stable, bool) else None))
    return found


def panels(found: Sequence[Loop]) -> list[Plot]:
    """A small drawing for each: with and without the attack, the removal as a line across."""
    return [Plot(loop.name, _panel(loop, n)) for n, loop in enumerate(found[:PANELS])]


def context(reading: Reading) -> dict[str, Any]:
    """What the template needs."""
    found = loops(reading)
    return {"loops": found[: 5 * PANELS], "loop_panels": panels(found)}


def _numbers(values: Any) -> list[float]:
    if not isinstance(values, list | tuple) or not 0 < len(values) <= ROUNDS:
        return []
    read = [real(value) for value in values]
    known = [value for value in read if value is not None]
    return known if len(known) == len(read) else []


def _panel(loop: Loop, number: int) -> str:
    figure, ax = axes(3.7, 2.3, (0.62, 0.2, 0.45, 0.12))
    places = range(1, len(loop.clean) + 1)
    ax.plot(places, loop.poisoned, color=SERIES[0], linewidth=2.2, marker="o", markersize=3.5, clip_on=False)
    ax.plot(places, loop.clean, color=MUTED, linewidth=1.4, linestyle=(0, (5, 2)), clip_on=False)
    if loop.rounds < len(loop.clean):
        ax.axvline(loop.rounds + 0.5, color=RULE, linewidth=1.2)
        ax.text(loop.rounds + 0.55, ax.get_ylim()[1], "removed", color=MUTED, fontsize=FONT, va="top")
    ax.set_xlabel("round of retraining", color=MUTED, fontsize=FONT)
    ax.set_xticks(list(places)[:: max(1, len(loop.clean) // 8)])
    low, high = ax.get_ylim()
    ticks = [low + (high - low) * part for part in (0.05, 0.5, 0.95)]
    ax.set_yticks(ticks, [tick(float(f"{value:.3g}")) for value in ticks])
    ax.tick_params(colors=INK)
    told = (
        f"{words(loop.name)}: {percent(loop.clean[loop.rounds - 1])} of attention without the attack and "
        f"{percent(loop.poisoned[loop.rounds - 1])} with it in round {loop.rounds}"
    )
    return inline(figure, f"loop-{number}", "Share of users' attention by round", f"{told}.")
