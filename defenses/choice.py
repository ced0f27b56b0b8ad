"""Which defence to take: the one that leaves least of the worst attack at a price the operator accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What a defence came to.

    Attributes:
        left: by attack and size, what is left of the rank shift, log2; means over targets and seeds.
        price: share of NDCG@K lost without an attack; negative if it gained.
    """

    left: Mapping[tuple[str, str], float]
    price: float

    @property
    def worst(self) -> tuple[str, str]:
        """The attack and size that leave most."""
        return max(self.left, key=lambda case: (self.left[case], case))


def best(outcomes: Mapping[str, Outcome], tolerance: float) -> str | None:
    """The defence whose worst case leaves least among those that cost no more than the tolerance; None if none does.

    Only defences that were measured against every case that any of them was measured against are compared: one with a
    failed cell would win by what it does not show.
    """
    cases = {case for outcome in outcomes.values() for case in outcome.left}
    fair = [name for name, own in outcomes.items() if own.price <= tolerance and set(own.left) == cases and cases]
    return min(fair, key=lambda name: (outcomes[name].left[outcomes[name].worst], outcomes[name].price), default=None)
