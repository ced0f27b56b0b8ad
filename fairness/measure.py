"""What an exposure measure is: a pure function of counts with a descriptor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .counts import Counts

Formula = Callable[[Counts], float | None]


@dataclass(frozen=True)
class Measure:
    """A measure of individual item fairness by exposure alone.

    Attributes:
        slug: its name in files and policies.
        title: the field's name.
        direction: "up" if higher is fairer, else "down".
        corrected: the form with reachable ends, 0..1; None where undefined.
        original: the form first published; None where undefined.
        source: paper and equation.
        meaning: one sentence for an auditor.
        limits: what it does not see.
    """

    slug: str
    title: str
    direction: Literal["up", "down"]
    corrected: Formula
    original: Formula
    source: str
    meaning: str
    limits: str


SOURCE = (
    "Rampisela, Maistro, Ruotsalo, Lioma: Evaluation Measures of Individual Item Fairness for Recommender "
    "Systems: A Critical Study, ACM TORS 3(2):18, 2024 (arXiv 2311.01013)"
)
