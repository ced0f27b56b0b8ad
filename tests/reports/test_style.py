from __future__ import annotations

import re
from pathlib import Path

import pytest

import recaudit.reports

CSS = (Path(recaudit.reports.__file__).parent / "templates" / "style.css").read_text("utf-8")
SCHEMES = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of #rrggbb."""
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("scheme", range(3), ids=["light", "dark", "print"])
def test_all_text_colours_can_be_read(scheme: int) -> None:
    assert len(SCHEMES) == 3
    colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6});", SCHEMES[scheme]))
    assert len(colours) == 21
    for name in colours.keys() - {"page", "raised", "rule"}:
        for ground in ("page", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
