"""What an attack is to reach, and what it hands to the finish line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..datasets.errors import InputError, RecauditError
from ..datasets.log import Int32, Int64, InteractionLog

Kind = Literal["rating", "implicit", "sequence"]
"""What the victim reads: ratings, who has what, or what follows what."""
Direction = Literal["push", "nuke"]
Placement = Literal["last", "every-second", "spread"]
"""Where the target stands in a sequence: at the end; x1, t, x2, t, ...; at random slots."""


class AttackError(RecauditError):
    """An attack crafted what cannot be: a bug of the attack, caught before anything is measured."""


@dataclass(frozen=True)
class Goal:
    """Targets, direction and budget of one attack.

    Without ratings no event says "bad": there, `nuke` pushes rivals, items that users of the target consume,
    and never touches the target itself.

    Attributes:
        targets: item indices, all of them in every profile.
        accounts: A, the number of fake accounts.
        profile: P, the exact number of events of an account, targets and repeats included.
        kind: what the victim reads.
        direction: push (raise) or nuke (bury).
        audience: indices of the users the attack aims at; None for all.
        placement: of the targets, for sequences.
        repeats: how often each target occurs, for sequences with placement "spread".
    """

    targets: tuple[int, ...]
    accounts: int
    profile: int
    kind: Kind = "implicit"
    direction: Direction = "push"
    audience: tuple[int, ...] | None = None
    placement: Placement = "every-second"
    repeats: int = 1

    def __post_init__(self) -> None:
        """Check the budget against the targets."""
        if not self.targets or len(set(self.targets)) != len(self.targets) or min(self.targets) < 0:
            raise InputError(f"an attack needs distinct target items, got {list(self.targets)}")
        if self.accounts < 0 or self.repeats < 1:
            raise InputError(f"accounts must be at least 0 and repeats at least 1, got {self.accounts}, {self.repeats}")
        if self.audience is not None and not self.audience:
            raise InputError("the audience of an attack is empty; name users, or give none to aim at all")
        if self.profile < len(self.targets):
            raise InputError(f"a profile of {self.profile} events cannot hold {len(self.targets)} targets; raise it")

    @property
    def by_rivals(self) -> bool:
        """Whether the targets are buried under promoted rivals because no event says "bad"."""
        return self.direction == "nuke" and self.kind != "rating"

    @property
    def n_forced(self) -> int:
        """Items that every profile must hold: the targets, or half a profile of rivals."""
        return max(1, self.profile // 2) if self.by_rivals else len(self.targets)

    @property
    def n_slots(self) -> int:
        """Events of a profile that are forced items; more than `n_forced` where sequences repeat them."""
        if self.kind == "sequence" and self.placement == "every-second":
            return max(self.profile // 2, self.n_forced)
        if self.kind == "sequence" and self.placement == "spread" and not self.by_rivals:
            return min(self.n_forced * self.repeats, self.profile)
        return self.n_forced

    @property
    def fillers(self) -> int:
        """Events of a profile that an attack chooses."""
        return self.profile - self.n_slots


@dataclass(frozen=True, eq=False)
class Draft:
    """What an attack crafts: its choice of fillers, the rest is done by the finish line.

    Attributes:
        items: int32 [A, m], best first (or in order of time if `ordered`); -1 for none. It may be longer or
            shorter than needed and may hold targets and repeats: the finish line cuts and fills.
        ratings: float [A, m], any real numbers; None where the attack has no opinion (then the top rating).
        scores: float [A, m], higher kept first when cut; None for the order of `items`.
        ordered: `items` is a sequence whose order matters; else the order is drawn at random.
        slots: int64 [A, s], the places of the target events in a sequence, ascending, s from 1 to P; None for
            the goal's placement.
        features: side features of the accounts, A rows with columns of the log's users; None for none.
    """

    items: Int32
    ratings: NDArray[np.floating] | None = None
    scores: NDArray[np.floating] | None = None
    ordered: bool = False
    slots: Int64 | None = None
    features: pd.DataFrame | None = None


def data_kind(log: InteractionLog, *, sequential: bool = False) -> Kind:
    """The kind of a log for a victim that reads all it can: a constant rating is no rating."""
    if sequential:
        return "sequence"
    if log.value is None or not len(log.value) or float(log.value.min()) == float(log.value.max()):
        return "implicit"
    return "rating"
