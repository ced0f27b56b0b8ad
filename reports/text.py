"""Text from data made harmless, and numbers made readable: what every format of the report shares."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

_WHITE = re.compile(r"\s+")
# C0, DEL and C1 controls, lone surrogates, non-characters: illegal in XML 1.0 or invisible in HTML
_NONCHARACTERS = "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
_ILLEGAL = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MINUS = "−"
NBSP = "\u00a0"


@dataclass(frozen=True)
class Data:
    """A piece of text that came from data or policy: each format isolates and escapes it in its own way."""

    value: str


Sentence = Sequence[str | Data]
"""Own words and pieces of data in their order."""


def clean(text: str) -> str:
    """The text without characters that XML 1.0 forbids; tabs, newlines and carriage returns stay."""
    return _ILLEGAL.sub("\ufffd", text)


def cut(text: str, limit: int = 300) -> str:
    """The text on one line, cleaned, of at most `limit` characters; an ellipsis says where it was cut."""
    line = _WHITE.sub(" ", clean(text[: 4 * limit + 100])).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def undirected(text: str) -> str:
    """The text without characters that turn the reading direction, for places that cannot isolate it."""
    return _BIDI.sub("", text)


def count(value: int) -> str:
    """A whole number with separators."""
    return f"{value:,}".replace("-", MINUS)


def decimals(*values: float | None) -> int:
    """Decimals that show three digits of the largest of the values, at most four; -1 if all are tiny."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    if largest == 0.0:
        return 1
    if largest < 5e-4:
        return -1
    return min(4, max(0, 2 - math.floor(math.log10(largest))))


def number(value: float | None, places: int | None = None, *, signed: bool = False) -> str:
    """A number for people: a true minus sign, separators, three digits; a dash for none.

    Args:
        value: the number, or None.
        places: decimals, from `decimals`; None chooses for this value alone.
        signed: whether positive numbers get a plus sign.
    """
    if value is None:
        return "–"
    if value == 0:
        return "0"
    places = decimals(value) if places is None else places
    if places < 0:
        digits, exponent = f"{value:.1e}".split("e")
        text = f"{digits.removesuffix('.0')} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
        return ("+" if signed and value > 0 else "") + text.replace("-", MINUS)
    text = f"{value:{'+' if signed else ''},.{max(places, 0)}f}"
    if float(text.replace(",", "")) == 0.0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def percent(value: float | None) -> str:
    """A share in 0..1 as a percentage with two or three digits; a dash for none."""
    if value is None:
        return "–"
    scaled = abs(value) * 100
    whole = abs(scaled - round(scaled)) < 1e-9
    places = 0 if whole or scaled >= 100 else 1 if scaled >= 1 else 2
    text = f"{value * 100:.{places}f}"
    if float(text) == 0.0:
        text = "0" if value == 0 else f"under{NBSP}0.01"
    return text.replace("-", MINUS) + f"{NBSP}%"


def points(value: float | None, *, signed: bool = False) -> str:
    """A difference of shares as a number of percentage points, without the unit."""
    return "–" if value is None else number(value * 100, 1 if abs(value) >= 0.01 else 2, signed=signed)


def duration(seconds: float) -> str:
    """Wall time in the largest two fitting units."""
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s" if seconds < 10 else f"{seconds:.0f}{NBSP}s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"


def when(moment: str) -> str:
    """An ISO 8601 moment as date and time in UTC; any other text as it is."""
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{parsed.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if parsed.tzinfo else moment


def plural(n: int, one: str, many: str = "") -> str:
    """'1 finding', '2 findings'."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"
