from __future__ import annotations

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recaudit.reports import text


@given(st.text(st.characters(exclude_categories=[])))
def test_cleaned_text_may_stand_in_xml(value: str) -> None:
    element = ElementTree.Element("a")
    element.text = text.clean(value)
    assert ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8")) is not None


@given(st.text(), st.integers(1, 40))
def test_cut_text_is_one_short_line(value: str, limit: int) -> None:
    line = text.cut(value, limit)
    assert len(line) <= limit and not any(sign in line for sign in "\n\r\t")


@given(st.floats(-1e6, 1e6), st.booleans())
def test_a_number_reads_back_within_its_digits(value: float, signed: bool) -> None:
    places = text.decimals(value)
    shown = text.number(value, places, signed=signed)
    if places < 0:
        assert "10⁻" in shown or value == 0
        return
    read = float(shown.replace(",", "").replace(text.MINUS, "-"))
    assert abs(read - value) <= 0.5 * 10.0**-places + 1e-9


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0"), (-0.0, "0"), (0.0790, "0.0790"), (-0.5, "−0.500"), (1e-6, "1 × 10⁻⁶"), (1234.5, "1,234"),
     (-2.5e-5, "−2.5 × 10⁻⁵"), (12.345, "12.3")],
)  # fmt: skip
def test_numbers(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "0 %"), (0.5, "50 %"), (0.1234, "12.3 %"), (0.00123, "0.12 %"), (1e-7, "under 0.01 %"),
     (1.0, "100 %"), (0.99999, "100.0 %")],
)  # fmt: skip
def test_shares(value: float | None, shown: str) -> None:
    assert text.percent(value).replace(text.NBSP, " ") == shown


def test_decimals_fit_the_largest_value() -> None:
    assert [text.decimals(v) for v in (0.0971, 0.5, 5.2, 52.0, 5200.0, 1e-5)] == [4, 3, 2, 1, 0, -1]
    assert text.decimals(None, math.inf) == 1


def test_moments() -> None:
    assert text.when("2026-03-02T09:15:00+01:00") == "2026-03-02 08:15 UTC"
    assert text.when("some day") == "some day"
