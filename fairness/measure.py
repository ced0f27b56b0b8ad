"""What a measure is: pure functions of recommendations, with a descriptor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .recommendations import Recommendations
from .value import Value

Formula = Callable[[Recommendations], Value]

Ends = Callable[[int, int, int], tuple[float, float]]
"""(users m, items n, list length k) -> lowest and highest value of the original form that lists can have."""


@dataclass(frozen=True)
class Measure:
    """A measure of individual item fairness.

    Attributes:
        slug: its name in files, policies and on the command line.
        symbol: as the paper writes it.
        title: the field's name.
        direction: "up" if higher is fairer, else "down".
        needs: "lists" alone, "relevance" too, or also the full "ranks" of relevant items (without which the
            original form cannot be had), or what users have "consumed".
        original: the form first published.
        corrected: the authors' form with reachable ends, 0..1; None if there is none.
        inside: whether the reported form cannot leave 0..1 where there is a corrected or own one.
        own: recaudit's form, 0..1, where the authors have none; not to be compared with published figures.
        ends: reachable range of the original form; None where it depends on the relevance.
        tight: whether lists exist for both ends, or the ends are only bounds.
        source: paper, section or equation.
        meaning: one sentence for an auditor.
        limits: what it does not see.
        cured: which limits the corrected form or ours cures; "" without one.
        caution: said beside every value, because the formula does not measure fairness alone; "" if it does.
    """

    slug: str
    symbol: str
    title: str
    direction: Literal["up", "down"]
    needs: Literal["lists", "relevance", "ranks", "consumed"]
    original: Formula
    corrected: Formula | None
    source: str
    meaning: str
    limits: tuple[str, ...]
    ends: Ends | None = None
    tight: bool = True
    own: Formula | None = None
    inside: bool = True
    cured: str = ""
    caution: str = ""

    @property
    def reported(self) -> Formula:
        """What an audit reports: the corrected form or ours, from 0 to 1, where there is one; else the original."""
        return self.own or self.corrected or self.original

    @property
    def bounded(self) -> bool:
        """Whether the reported form lies in 0..1 whatever the data."""
        return self.inside and self.reported is not self.original

    @property
    def forms(self) -> dict[str, Formula]:
        """By the name in JSON: SLUG, the corrected or only form, then SLUG_original and SLUG_own where they differ."""
        found = {self.slug: self.corrected or self.original}
        if self.corrected is not None:
            found[f"{self.slug}_original"] = self.original
        if self.own is not None:
            found[f"{self.slug}_own"] = self.own
        return found


TORS = (
    "Rampisela, Maistro, Ruotsalo, Lioma: Evaluation Measures of Individual Item Fairness for Recommender "
    "Systems: A Critical Study, ACM TORS 3(2):18, 2024 (arXiv 2311.01013)"
)
SIGIR = (
    "collected in Rampisela, Ruotsalo, Maistro, Lioma: Can We Trust Recommender System Fairness Evaluation? "
    "The Role of Fairness and Relevance, SIGIR 2024 (arXiv 2405.18276)"
)
REACHABLE = "The ends 0 and 1 can be reached whatever the number of users, items and places (the authors' correction). "
