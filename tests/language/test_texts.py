"""What is read about an item."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError
from recaudit.datasets.synthetic import generate
from recaudit.language.texts import LONGEST, item_texts, normalised, texts_of


def test_title_comes_first_then_what_else_is_known() -> None:
    table = pd.DataFrame(
        {
            "genres": ["Comedy|Drama", None],
            "title": ["Toy\tStory ", float("nan")],
            "price": [3, 4],
            "brand": ["", "Acme"],
        }
    )
    assert texts_of(table) == ["Toy Story. Comedy, Drama", "Acme"]


@given(st.text(max_size=1200))
def test_normalised_texts_are_one_clean_line(text: str) -> None:
    found = normalised(text)
    assert len(found) <= LONGEST and "\n" not in found and "\x00" not in found and found == found.strip()
    assert normalised(found) == found


def test_composed_and_decomposed_letters_are_the_same_text() -> None:
    assert normalised("cafe\u0301") == normalised("caf\u00e9") == "caf\u00e9"


def test_logs_without_texts_are_refused() -> None:
    log = generate(users=20, items=10, events=90)
    with pytest.raises(DataError, match="no text"):
        item_texts(replace(log, items=None))
    with pytest.raises(DataError, match="no text"):
        item_texts(replace(log, items=pd.DataFrame({"price": range(10)})))
    sparse = replace(log, items=pd.DataFrame({"title": ["a"] * 4 + [None] * 6}))
    with pytest.raises(DataError, match="6 of 10 items have no text"):
        item_texts(sparse)
    assert item_texts(replace(log, items=pd.DataFrame({"title": ["a"] * 5 + [None] * 5})))[:6] == ["a"] * 5 + [""]
