"""Numbering ids by first appearance: text stays text, whole numbers only go a faster way to the same answer."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from .log import Int32, Int64, Text

MAX_ID = 256
"""Longest id, in characters: ids are kept as fixed-width text."""

_POWERS = 10 ** np.arange(1, 19, dtype=np.int64)


def number(ids: pl.Series) -> tuple[pl.Series, Int32]:
    """Distinct ids in order of first appearance, and each row's number, int32 [rows] (-1: missing)."""
    if ids.dtype != pl.String:
        ids = ids.cast(pl.String)
    quick = _number_whole(ids)
    if quick is not None:
        return quick
    distinct = ids.unique(maintain_order=True).drop_nulls()
    if len(distinct) == 0:
        return distinct, np.full(len(ids), -1, np.int32)
    numbers = np.arange(len(distinct), dtype=np.int32)
    codes = ids.replace_strict(distinct, numbers, default=-1, return_dtype=pl.Int32).fill_null(-1)
    return distinct, codes.to_numpy().astype(np.int32, copy=False)


def _number_whole(ids: pl.Series) -> tuple[pl.Series, Int32] | None:
    """The same for ids that are all plain whole numbers of moderate size, without hashing; else None.

    "07", "+7" and "-7" are not plain: two texts that mean one number must stay two ids.
    """
    if len(ids) == 0 or ids.null_count():
        return None
    parsed = ids.cast(pl.Int64, strict=False)
    if parsed.null_count():
        return None
    value: Int64 = parsed.to_numpy()
    if value.min() < 0 or value.max() > 4 * len(value) + 1_000:
        return None
    if (np.searchsorted(_POWERS, value, side="right") + 1 != ids.str.len_bytes().to_numpy()).any():
        return None
    first = np.full(int(value.max()) + 1, -1, np.int64)
    first[value[::-1]] = np.arange(len(value) - 1, -1, -1)  # of repeats numpy keeps the last assigned: the first row
    present = np.flatnonzero(first >= 0)
    rows = np.sort(first[present])
    lookup = np.empty(len(first), np.int32)
    lookup[value[rows]] = np.arange(len(rows), dtype=np.int32)
    return ids.gather(rows), lookup[value]


def impossible(distinct: pl.Series) -> NDArray[np.bool_]:
    """Which ids are none: empty, "nan", with a line break or NUL, or longer than 256 characters."""
    broken = distinct.str.contains("[\r\n\x00]") | (distinct.str.len_chars() > MAX_ID)
    return (broken | distinct.is_in(["", "nan", "NaN"])).to_numpy()


def close_gaps(codes: Int32, distinct: pl.Series) -> tuple[Int32, Text]:
    """Numbers without those that no row has, keeping the order, and their ids as fixed-width text."""
    used = np.bincount(codes, minlength=len(distinct)) > 0
    ids = np.array(distinct.filter(pl.Series(used)).to_list(), np.str_)
    return (codes if used.all() else (np.cumsum(used, dtype=np.int32) - np.int32(1))[codes]), ids
