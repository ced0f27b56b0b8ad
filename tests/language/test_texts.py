"""What is read about an item."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.datasets.errors import DataError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.language import texts
from recaudit.language.texts import COLUMNS, LONGEST, item_texts, normalised, texts_of, why_no_texts


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


def of_items(table: pd.DataFrame) -> InteractionLog:
    count = len(table)
    names = np.array([str(number) for number in range(count)])
    return InteractionLog(np.zeros(count, np.int32), np.arange(count, dtype=np.int32), names[:1], names, items=table)


def slowly(text: str) -> str:
    """What `normalised` says it does, sign by sign."""
    clean = "".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in unicodedata.normalize("NFC", text))
    return " ".join(clean.split())[:LONGEST].rstrip()


@given(
    st.lists(st.lists(st.one_of(st.text(), st.none(), st.integers()), min_size=2, max_size=2), min_size=1, max_size=5)
)
def test_texts_and_their_count_are_those_of_the_plain_way(rows: list[list[object]]) -> None:
    table = pd.DataFrame({"title": [row[0] for row in rows], "brand": [row[1] for row in rows]}, dtype=object)
    plain = [
        slowly(". ".join(filter(None, (slowly(v.replace("|", ", ")) for v in row if isinstance(v, str)))))
        for row in rows
    ]
    assert texts_of(table) == plain
    why = why_no_texts(of_items(table))
    assert (why is not None) == (2 * plain.count("") > len(plain))
    assert why is None or why.startswith(f"{plain.count('')} of {len(plain)}")


def test_the_columns_that_are_read_can_be_fewer() -> None:
    log = of_items(pd.DataFrame({"title": ["a", "b|c", None], "description": 3 * ["x"]}))
    assert item_texts(log, ("title",)) == ["a", "b, c", ""] and item_texts(log)[2] == "x"
    with pytest.raises(DataError, match=r"a column title$"):
        item_texts(of_items(pd.DataFrame({"description": 3 * ["x"]})), ("title",))
    assert len(texts_of(pd.DataFrame({"price": [1, 2]}))) == 2 and len(COLUMNS) == 5


def test_long_texts_are_cut_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Watched:
        @staticmethod
        def normalize(form: str, text: str) -> str:
            seen.append(len(text))
            return unicodedata.normalize("NFC", text)

    monkeypatch.setattr(texts, "unicodedata", Watched)
    log = of_items(pd.DataFrame({"title": 3 * ["a"], "description": 3 * [100_000 * "word "]}))
    assert why_no_texts(log) is None and not seen
    assert [len(text) for text in item_texts(log)] == 3 * [LONGEST] and max(seen) == 4 * LONGEST and len(seen) == 6
