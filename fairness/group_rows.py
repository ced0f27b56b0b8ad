"""Small parts of the check "groups": columns to group by, rows for the report, errors of group measures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..datasets.sides import usual_columns
from .disparity import UtilityDisparity
from .group_exposure import GroupExposure, exposure_disparity, group_exposure
from .groups import Groups
from .recommendations import Recommendations
from .resample import standard_errors
from .value import PerUser, Value

AUTO = ("auto",)
"""In place of names of columns: those of the usual names that exist."""

NAMED = 30
"""Groups that the details name, the largest."""


def columns_of(
    table: pd.DataFrame | None, wanted: tuple[str, ...], usual: tuple[str, ...]
) -> Iterator[tuple[str, pd.Series | str]]:
    """The columns to group by, each with its values, or with the reason why it cannot be had.

    Args:
        table: side features, or None.
        wanted: names from the policy; AUTO for those of the usual names that exist.
        usual: names to look for.
    """
    known = [] if table is None else [str(name) for name in table.columns]
    for name in usual_columns(table, usual) if wanted == AUTO else wanted:
        if table is None or name not in known:
            yield name, f"the data has no column {name!r}; it has {', '.join(known) or 'no side features'}"
        else:
            yield name, table[name]


def group_table(found: GroupExposure) -> list[dict[str, Any]]:
    """The largest groups: items, share of the catalogue, of training events, and of exposure by place."""
    interactions = np.full(len(found.names), np.nan) if found.interactions is None else found.interactions
    order = np.argsort(-found.sizes, kind="stable")[:NAMED]
    return [
        {
            "name": found.names[at],
            "items": round(float(found.sizes[at]), 2),
            "catalogue": float(found.catalogue[at]),
            "interactions": float(interactions[at]) if np.isfinite(interactions[at]) else None,
            "exposure": float(found.dcg[at]) if np.isfinite(found.dcg[at]) else None,
        }
        for at in order
    ]


def utility_table(found: UtilityDisparity) -> dict[str, Any]:
    """Groups of users with their means, and how likely so large a gap is by chance."""
    rows = [
        {"name": g.name, "users": g.users, "mean": g.mean.value, "standard_error": g.standard_error}
        for g in found.groups[:NAMED]
    ]
    return {"groups": rows, "p_value": found.p_value.value, "worst": found.worst, "best": found.best}


def disparity_error(data: Recommendations, groups: Groups, slug: str, seed: int) -> float | None:
    """Standard error over users of a number of `exposure_disparity`."""

    def formula(sample: Recommendations) -> Value:
        value: Value = getattr(exposure_disparity(group_exposure(sample, groups)), slug)
        return value

    return finite(standard_errors(data, {slug: formula}, seed)[slug])


def mean_error(found: PerUser) -> float | None:
    """Standard error of a mean over users."""
    values = found.values[~np.isnan(found.values)]
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None


def gap_error(found: UtilityDisparity) -> float | None:
    """Standard error of the difference of the best and the worst group, taken as given: they were picked by it."""
    errors = {group.name: group.standard_error for group in found.groups}
    best, worst = errors.get(found.best), errors.get(found.worst)
    return None if best is None or worst is None else float(np.hypot(best, worst))


def numbers(values: Mapping[str, Value]) -> dict[str, float]:
    """The defined ones."""
    return {name: found.value for name, found in values.items() if found.value is not None}


def finite(value: float) -> float | None:
    """The number, None for NaN."""
    return value if np.isfinite(value) else None
