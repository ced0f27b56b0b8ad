"""What a report is made of, whatever it is printed as: sections of paragraphs, lists, tables and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..text import Sentence


@dataclass(frozen=True)
class Paragraph:
    """One paragraph."""

    text: Sentence


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    lines: Sequence[Sentence]


@dataclass(frozen=True)
class Table:
    """A table with a caption.

    Attributes:
        caption: what it shows.
        head: names of the columns.
        rows: cells, one for each column.
        widths: shares of the page's width, one for each column.
        numeric: columns whose cells stand on the right.
        hidden: rows that were left out for length; the table says so.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Sentence]]
    widths: Sequence[float]
    numeric: frozenset[int] = frozenset()
    hidden: int = 0


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        svg: an svg element in the page's colours by name.
        alt: what is seen, in words.
        caption: what it shows.
    """

    svg: str
    alt: str
    caption: Sentence


@dataclass(frozen=True)
class Figures:
    """Drawings that follow each other, to be set beside each other."""

    drawings: Sequence[Figure]


@dataclass(frozen=True)
class Blanks:
    """Lines that a person fills in by hand."""

    labels: Sequence[str]


Block = Paragraph | Bullets | Table | Figure | Blanks
Flow = Paragraph | Bullets | Table | Figures | Blanks
"""Blocks as they are set."""


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, and sections one level below."""

    anchor: str
    title: str
    blocks: Sequence[Block] = ()
    parts: Sequence[Section] = field(default_factory=tuple)


@dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: what was audited, in own words around the target's name.
        facts: label and value under the title.
        moment: ISO 8601, when the audit began; also the date of the file.
        left_out: what this edition leaves out, for whom, or None.
        sections: in their order.
        attached: whether the whole record goes with it.
    """

    title: Sentence
    facts: Sequence[tuple[str, Sentence]]
    moment: str
    left_out: str | None
    sections: Sequence[Section]
    attached: bool


def beside(blocks: Sequence[Block]) -> list[Flow]:
    """The blocks with drawings that follow each other taken together."""
    found: list[Flow] = []
    for block in blocks:
        if not isinstance(block, Figure):
            found.append(block)
        elif found and isinstance(found[-1], Figures):
            found[-1] = Figures([*found[-1].drawings, block])
        else:
            found.append(Figures([block]))
    return found


def plain(text: Sentence) -> str:
    """A sentence without marks of where its pieces came from."""
    return "".join(part if isinstance(part, str) else part.value for part in text)
