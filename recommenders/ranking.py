"""Full-ranking top-k lists and exact ranks of watched items, in tiles; consumed items excluded exactly."""
from __future__ import annotations

from dataclasses import dataclass

from ..datasets.log import Float32, Int32


@dataclass(frozen=True, eq=False)
class Slate:
    """Top-k lists: items int32 [U, K] (-1 for none), scores float32 [U, K] (-inf for none)."""

    items: Int32
    scores: Float32
