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


EDITIONS: dict[str, Edition] = {
    "regulator": Edition("regulator", None, True),
    "public": Edition(
        "public",
        "Public edition. Left out, because it would help to manipulate the system: which attack at which size reached "
        "what, target items, the model's recipe, the cells, and the record itself. Counts and ranges stand for them.",
        False,
    ),
}

MANIPULATION = frozenset({"promotion", "demotion", "takeover", "rewriting", "defense", "certificate", "simulate"})
"""Checks whose findings say how the system can be manipulated."""
