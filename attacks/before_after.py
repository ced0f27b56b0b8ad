"""Evidence of what was asked of the checkpoint as it is: targets before and after something was done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..audit.evidence import Evidence, Unit


def before_after(name: str, item: str, cutoff: int, who: str, how: str, **what: Any) -> tuple[Evidence, Evidence]:
    """The gain in HR@K and the change of log2 rank of target items.

    Args:
        name: of both ids, with the check before it.
        item: what to call such an item, as "a popular item".
        cutoff: K.
        who: whose lists they are, as "users".
        how: what was done, as the end of a title.
        what: see `_change`.
    """
    hits = _change(
        f"{name}.hr@{cutoff}", f"Gain in the share of {who} with {item} in their top {cutoff} {how}", f"hr@{cutoff}",
        f"share of {who} who lack the item, difference in -1..1", value=f"hr@{cutoff}", **what,
    )  # fmt: skip
    rank = _change(
        f"{name}.log2_rank_shift", f"How often the rank of {item} halves for {who} {how}", "log2_rank_shift",
        "log2 of the rank, before less after, mean over users", value="log2_rank", **what,
    )  # fmt: skip
    return hits, rank


def _change(
    name: str,
    title: str,
    measure: str,
    unit: str,
    *,
    value: str,
    values: Mapping[str, float | None],
    items: Sequence[str],
    seed: int,
    cells: Sequence[str],
    details: Mapping[str, Any],
    after: str = "after",
    beside: Mapping[str, str] = MappingProxyType({}),
) -> Evidence:
    """The mean change over target items, higher is worse; items that nobody lacks are left out.

    Args:
        name: the evidence's id, which begins with its check.
        title: one plain sentence fragment.
        measure: the field's name of it.
        unit: in words.
        value: "hr@K" or "log2_rank", as inquiries name it: `target/ITEM/SIDE/VALUE`.
        values: of all cells together; `target/ITEM/eligible` is the number of users.
        items: ids of the target items.
        seed: of the run.
        cells: keys of the cells; none if they failed.
        details: numbers for plots and tables; sides, users and targets are added.
        after: the side that is compared with "before".
        beside: other sides to read it against, with their names for people.
    """
    head: dict[str, Any] = {
        "id": name, "check": name.split(".")[0], "title": title, "measure": measure, "unit": unit, "worse": "higher",
        "estimate": None, "n": 0, "details": dict(details), "cells": list(cells),
    }  # fmt: skip
    by_side: dict[str, dict[str, float]] = {}
    for side in ("before", after, *beside):
        read = {item: values.get(f"target/{item}/{side}/{value}") for item in items}
        by_side[side] = {item: found for item, found in read.items() if found is not None}
    if not cells:
        return Evidence.model_validate(head | {"missing": "the test of the checkpoint did not end; see the failures"})
    if not by_side[after]:
        return Evidence.model_validate(head | {"missing": "no user with events lacks any of the items"})
    is_rank = value == "log2_rank"  # where less is more
    sign = -1 if is_rank else 1
    means = {side: float(np.mean(list(found.values()))) for side, found in by_side.items() if found}
    gains = {item: sign * (found - by_side["before"][item]) for item, found in by_side[after].items()}
    users = {item: values[f"target/{item}/eligible"] or 0.0 for item in gains}
    words = {"before": "before", **beside}
    return Evidence.model_validate(
        head
        | {
            "estimate": float(np.mean(list(gains.values()))),
            "n": len(gains),
            "units": [Unit(cluster=item, seed=seed, value=gain) for item, gain in gains.items()],
            "resolution": 0.0 if is_rank else 1 / min(users.values()),
            "limits": None if is_rank else (-1.0, 1.0),
            "baseline": {words[side]: mean for side, mean in means.items() if side in words},
            "details": {**details, **means, "users": users, "targets": gains},
        }
    )
