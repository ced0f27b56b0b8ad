"""Numbering against a plain dictionary, on both of its ways."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.ids import close_gaps, impossible, number

WHOLE = st.integers(0, 300).map(str)
MIXED = WHOLE | st.sampled_from(
    ["07", "7", "007", "+7", "-7", "0", "00", "1e1", " 7", "7 ", "", "9" * 18, "9" * 30, "x"]
)


@given(st.lists(WHOLE, max_size=60) | st.lists(MIXED | st.none(), max_size=60))
def test_number_is_the_plain_dictionary(ids):
    plain: dict[str, int] = {}
    wanted = [-1 if each is None else plain.setdefault(each, len(plain)) for each in ids]
    distinct, codes = number(pl.Series(ids, dtype=pl.String))
    assert distinct.to_list() == list(plain) and codes.tolist() == wanted and codes.dtype == np.int32


def test_impossible_ids():
    ids = ["a", "", "nan", "Nan", "NaN", "a\nb", "a\0", "x" * 256, "x" * 257]
    assert impossible(pl.Series(ids)).tolist() == [False, True, True, False, True, True, True, False, True]


def test_gaps_close_in_order():
    codes, ids = close_gaps(np.array([3, 1, 3], np.int32), pl.Series(["a", "b", "c", "d"]))
    assert ids.tolist() == ["b", "d"] and codes.tolist() == [1, 0, 1] and codes.dtype == np.int32
