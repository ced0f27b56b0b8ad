"""What a defence does where nobody attacks: to utility, to genuine users, to how evenly items are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from scipy.stats import binomtest, norm

from ..attacks.reading import by_cluster, mean
from ..audit.cell import Cell
from ..audit.evidence import Evidence, Unit
from ..audit.probe import Results
from .protection import ACTIVITY, PREFIX

FAILED = "no refit with this defence and its control could be compared; see the failures"
SIDE = ("exposure/gini", "exposure/qf")
"""Measures of fairness to items that are evidence of their own; all others stand in the details."""
_LEVEL = 0.95

Made = Callable[..., Evidence]


def quiet(
    made: Made, name: str, before: Sequence[Cell], after: Sequence[Cell], users: int, results: Results, cutoff: int
) -> Iterator[Evidence]:
    """Evidence of a defence from refits without an attack, undefended and defended, seed by seed.

    Args:
        made: of the check, makes evidence.
        name: of the defence.
        before: undefended.
        after: defended, in the same order.
        users: genuine users with events.
        results: of the cells.
        cutoff: K of NDCG@K.
    """
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a in results and b in results]
    value = f"ndcg@{cutoff}"
    side = {key: (then, now) for key in _measures(pairs, results) if (then := _mean(pairs, results, key, 0)) is not None
            and (now := _mean(pairs, results, key, 1)) is not None}  # fmt: skip
    details = {"defense": name, "before": {key: then for key, (then, _) in side.items()},
               "after": {key: now for key, (_, now) in side.items()}}  # fmt: skip
    title, unit = f"Change of utility by {name} without an attack", "NDCG, defended less undefended, in -1..1"
    yield _change(made, name, f"utility.{value}", value, (title, unit), "lower", pairs, results, value, details)
    for key in SIDE:
        if key in side:
            short = key.removeprefix("exposure/")
            title = f"Change of the {short} of items' exposure by {name} without an attack"
            unit = f"{short}, defended less undefended, in -1..1"
            worse = "higher" if short == "gini" else "lower"
            yield _change(made, name, f"exposure.{short}", short, (title, unit), worse, pairs, results, key,
                          {"defense": name})  # fmt: skip
    yield from _alarms(made, name, after, users, results)


def share_error(share: float, count: int) -> tuple[float, float, float]:
    """Wilson's 95 % interval of a share of `count`, and the standard error whose normal interval reaches as far.

    The usual error of a share is 0 at 0, as if five users without an alarm proved that there is none.
    """
    found = binomtest(round(share * count), count).proportion_ci(_LEVEL, "wilson")
    reach = max(found.high - share, share - found.low)
    return float(found.low), float(found.high), float(reach / norm.ppf((1 + _LEVEL) / 2))


def _change(
    made: Made, name: str, end: str, measure: str, words: tuple[str, str], worse: str,
    pairs: Sequence[tuple[Cell, Cell]], results: Results, value: str, details: Mapping[str, object],
) -> Evidence:  # fmt: skip
    title, unit = words
    units = [
        Unit(cluster=f"seed {a.seed}", seed=a.seed, value=now - then)
        for a, b in pairs
        if (then := results[a].values.get(value)) is not None and (now := results[b].values.get(value)) is not None
    ]
    if not units:
        return made(f"{name}.{end}", title, measure, unit, worse, missing=FAILED)
    level = _mean(pairs, results, value, 0)
    return made(
        f"{name}.{end}", title, measure, unit, worse, estimate=by_cluster(units), n=len(units), units=units,
        limits=(-1.0, 1.0), baseline={} if level is None else {"undefended": level}, details=details,
        cells=[results[cell].key for pair in pairs for cell in pair],
    )  # fmt: skip


def _alarms(made: Made, name: str, after: Sequence[Cell], users: int, results: Results) -> Iterator[Evidence]:
    """Genuine users who count less than half, for defences that weigh accounts."""
    kept = [results[cell] for cell in after if cell in results]
    groups = ("false_alarms", *(f"false_alarms/{group}" for group in ACTIVITY))
    found = {group: mean([v for own in kept if (v := own.values.get(PREFIX + group)) is not None]) for group in groups}
    share = found["false_alarms"]
    if share is None or users < 1:
        return
    third = max(1, users // len(ACTIVITY))
    bounds = {
        group: share_error(value, users if group == "false_alarms" else third)[:2]
        for group, value in found.items()
        if value is not None
    }
    yield made(
        f"{name}.false_alarms", f"Genuine users whom {name} takes for fake, without an attack", "false_alarms",
        "share of the genuine users, 0..1; of a detector that removes a set share it is that share, and only how it "
        "falls on thirds of activity says something", "higher", estimate=share, n=users, limits=(0.0, 1.0),
        standard_error=share_error(share, users)[2], cells=[own.key for own in kept],
        details={"defense": name, "intervals": bounds, **{key: own for key, own in found.items() if own is not None}},
    )  # fmt: skip


def _measures(pairs: Sequence[tuple[Cell, Cell]], results: Results) -> list[str]:
    names = [key for pair in pairs for key in results[pair[0]].values if key.startswith("exposure/")]
    return list(dict.fromkeys(names))


def _mean(pairs: Sequence[tuple[Cell, Cell]], results: Results, value: str, side: int) -> float | None:
    return mean([level for pair in pairs if (level := results[pair[side]].values.get(value)) is not None])
