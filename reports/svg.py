"""Makes matplotlib's SVG fit to stand inside a page: CSS variables for colours, one font, no shared names, a title.

Inline SVG shares identifiers and style sheets with the whole page: identifiers get a prefix, the style sheet goes.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from .text import cut, undirected

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

# "font-size: 9px; font-family: 'DejaVu Sans', ..." or the older "font: 9px 'DejaVu Sans', ...": the page has its own
_FAMILY = re.compile(r"; font-family: [^;]*|font-family: [^;]*; ?")
_OLD_FONT = re.compile(r"font: (?:(bold|\d{3}) )?([\d.]+px)[^;]*")

COLOURS = {
    "#010100": "ink", "#010101": "muted", "#010102": "rule", "#010103": "page", "#010104": "bound",
    "#020200": "c0", "#020201": "c1", "#020202": "c2", "#020203": "c3",
    "#020204": "c4", "#020205": "c5", "#020206": "c6", "#020207": "c7",
}  # fmt: skip
"""Placeholder colour of a figure -> name of the page's CSS variable: both colour schemes from one drawing."""

INK, MUTED, RULE, PAGE, BOUND = list(COLOURS)[:5]
SERIES = list(COLOURS)[5:]


def inline(figure: Figure, key: str, title: str, description: str) -> str:
    """The figure as an `svg` element for a page; the same figure gives the same bytes.

    Args:
        figure: drawn in the placeholder colours alone.
        key: unique within the page; prefix of all identifiers.
        title: accessible name.
        description: what is seen, in words.
    """
    import matplotlib as mpl

    buffer = io.BytesIO()
    with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"recaudit/{key}"}):
        warnings.simplefilter("ignore", UserWarning)  # glyphs missing in matplotlib's font: the browser has its own
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                parent.remove(child)
    referenced = set(re.findall(rb"(?:url\(|href=\")#([^)\"]+)", buffer.getvalue()))
    for element in root.iter():
        _restyle(element, key, {name.decode() for name in referenced})
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{key}-title {key}-desc", "class": "plot"}
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ElementTree.Element(f"{{{SVG}}}{tag}", {"id": f"{key}-{tag}"})
        element.text = cut(undirected(text), 600)
        root.insert(place, element)
    ElementTree.register_namespace("", SVG)
    return re.sub(r"\s*\n\s*", "\n", ElementTree.tostring(root, encoding="unicode"))


def _restyle(element: ElementTree.Element, key: str, referenced: set[str]) -> None:
    name = element.attrib.pop("id", None)
    if name in referenced:
        element.set("id", f"{key}-{name}")
    link = element.attrib.pop(f"{{{XLINK}}}href", None)
    if link is not None:
        element.set("href", f"#{key}-{link.removeprefix('#')}")
    clip = element.get("clip-path")
    if clip is not None:
        element.set("clip-path", clip.replace("url(#", f"url(#{key}-"))
    style = element.get("style")
    if style is not None:
        style = _FAMILY.sub("", style)
        style = _OLD_FONT.sub(lambda f: (f"font-weight: {f[1]}; " if f[1] else "") + f"font-size: {f[2]}", style)
        for placeholder, variable in COLOURS.items():
            style = style.replace(placeholder, f"var(--{variable})")
        element.set("style", style)
