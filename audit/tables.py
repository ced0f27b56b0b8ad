"""The evidence as one flat table, for whoever analyses it elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl

from .evidence import Evidence

SCHEMA = {
    "id": pl.String, "check": pl.String, "measure": pl.String, "worse": pl.String, "estimate": pl.Float64,
    "standard_error": pl.Float64, "n": pl.Int64, "cluster": pl.String, "seed": pl.Int64, "value": pl.Float64,
}  # fmt: skip


def parquet(evidence: Sequence[Evidence]) -> bytes:
    """Parquet bytes with a row per sampling unit, or one row with empty unit columns where units are not listed."""
    rows: list[tuple[object, ...]] = []
    for found in evidence:
        shared = (
            found.id, found.check, found.measure, found.worse, found.estimate, found.standard_error, found.n,
        )  # fmt: skip
        units: list[tuple[object, ...]] = [(unit.cluster, unit.seed, unit.value) for unit in found.units]
        rows += [shared + unit for unit in units or [(None, None, None)]]
    buffer = io.BytesIO()
    pl.DataFrame(rows, schema=SCHEMA, orient="row").write_parquet(buffer)
    return buffer.getvalue()
