"""Who a report is for, and what is left out for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Audience = Literal["regulator", "public"]


@dataclass(frozen=True)
class Edition:
    """What an audience gets.

    Attributes:
        audience: its name.
        left_out: what is left out and why, in words, or None.
        details: whether attacks, targets, recipes and cells are named one by one, and the record attached.
    """

    audience: Audience
    left_out: str | None
    details: bool

    def shows(self, check: str) -> bool:
        """Whether a check's findings, or a rule or waiver on it, are told one by one."""
        return self.details or check.split(".")[0] in OPEN


EDITIONS: dict[str, Edition] = {
    "regulator": Edition("regulator", None, True),
    "public": Edition(
        "public",
        "Public edition. Left out, because it would help to manipulate the system: which attack at which size reached "
        "what, target items, the model's recipe, the cells, and the record itself. Counts and ranges stand for them.",
        False,
    ),
}

OPEN = frozenset({"quality", "utility", "exposure", "groups", "unlearning"})
"""Checks whose findings say nothing about how the system can be manipulated; all others are told in ranges, those of
outsiders among them."""
