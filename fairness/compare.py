"""Paired errors of exposure differences between two runs on the same users."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..audit.evidence import AuditRun
from ..audit.store import Store
from .catalogue import BY_SLUG
from .recommendations import Recommendations
from .resample import paired_errors


def exposure_errors(earlier: tuple[AuditRun, Path], later: tuple[AuditRun, Path], seed: int = 0) -> dict[str, float]:
    """Standard error of the paired difference for every exposure evidence of lists alone that both runs have.

    From the lists that the runs keep in `cells/`. Empty where a run's lists are gone, or the runs are of other data or
    list lengths.

    Args:
        earlier: the record and its folder.
        later: the same.
        seed: of the resampling of users.
    """
    if earlier[0].target.data_fingerprint != later[0].target.data_fingerprint:
        return {}
    lists = [_lists(record, folder) for record, folder in (earlier, later)]
    first, second = lists
    if first is None or second is None or first.lists.shape != second.lists.shape:
        return {}
    measured = {found.id for found in earlier[0].evidence} & {found.id for found in later[0].evidence}
    formulas = {
        f"exposure.{measure.slug}@{first.k}": measure.reported
        for measure in BY_SLUG.values()
        if measure.needs == "lists" and f"exposure.{measure.slug}@{first.k}" in measured
    }
    found = paired_errors(first, second, formulas, seed)
    return {name: error for name, error in found.items() if np.isfinite(error)}


def _lists(record: AuditRun, folder: Path) -> Recommendations | None:
    keys = [cell.key for cell in record.cells if cell.kind == "model"]
    try:
        arrays = Store(folder / "cells").arrays(keys[0])
        return Recommendations.of(arrays["items"], record.target.items)
    except (IndexError, KeyError, OSError, ValueError):
        return None
