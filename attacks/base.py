"""What an attack is: an author writes `craft`, everything else is shared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..datasets.errors import InputError
from ..datasets.log import Profiles
from .finish import finish
from .goal import AttackError, Direction, Draft, Goal, Kind
from .knowledge import Grant, Knowledge
from .similarity import rivals

__all__ = ["ALL_KINDS", "BOTH", "Attack", "AttackConfig", "AttackError", "Draft", "Goal", "Grant", "Knowledge"]

ALL_KINDS: frozenset[Kind] = frozenset({"rating", "implicit", "sequence"})
BOTH: frozenset[Direction] = frozenset({"push", "nuke"})


class AttackConfig(BaseModel):
    """Base of an attack's settings; unknown fields are refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Attack(ABC):
    """Injects fake accounts into the training log. One file, one line in `catalogue.py`.

    Class attributes:
        name: in policies, commands and evidence ids.
        title: one line for people.
        reference: authors, year, title, section.
        grants: what `craft` may read of the log.
        kinds: data it applies to.
        directions: push, nuke or both.
        aliases: by kind, the attack that this one coincides with there, so that it runs once.
        config_type: its settings.
        own_places: whether `craft` says where the targets stand in a sequence, whatever the goal's placement.
        version: raise it when the profiles change, so that stored results are not reused.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    grants: ClassVar[frozenset[Grant]]
    kinds: ClassVar[frozenset[Kind]] = ALL_KINDS
    directions: ClassVar[frozenset[Direction]] = BOTH
    aliases: ClassVar[Mapping[Kind, str]] = MappingProxyType({})
    config_type: ClassVar[type[AttackConfig]] = AttackConfig
    own_places: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def __init__(self, config: Any = None) -> None:
        """Keep the settings (defaults if None); compute nothing."""
        self.config: Any = self.config_type() if config is None else config

    @abstractmethod
    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Choose fillers for every account.

        Args:
            knowledge: what is granted; reading anything else raises KnowledgeError.
            goal: targets and budget; `goal.fillers` events of each profile are wanted.
            rng: the only source of randomness.
        """

    def needs(self, goal: Goal) -> frozenset[Grant]:
        """The grants for a goal: its own, and the log where rivals of a buried target have to be found."""
        always: frozenset[Grant] = frozenset({"catalogue", "log"} if goal.by_rivals else {"catalogue"})
        return self.grants | always

    def queries(self, goal: Goal) -> int:
        """Lists that the victim is asked for; 0 where "query" is not among the grants."""
        return 0

    @classmethod
    def applies(cls, kind: Kind, direction: Direction) -> bool:
        """Whether there is such an attack on such data."""
        return kind in cls.kinds and direction in cls.directions

    def profiles(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Profiles:
        """The fake accounts: the craft, then the finish line that all attacks share. Deterministic.

        Args:
            knowledge: with the grants of `needs(goal)`.
            goal: targets and budget; no accounts give no profiles.
            rng: craft, rivals and finish line draw from streams of their own below it.

        Raises:
            InputError: the attack does not apply, or the catalogue is too small for the profile.
            KnowledgeError: the attack read more than it declares.
            AttackError: the attack crafted what cannot be.
        """
        if not self.applies(goal.kind, goal.direction):
            raise InputError(
                f"attack {self.name!r} does not {goal.direction} on {goal.kind} data; it applies to "
                f"{', '.join(sorted(self.kinds))} data ({', '.join(sorted(self.directions))})"
            )
        if goal.accounts == 0:
            return Profiles.empty()
        if max(goal.targets) >= knowledge.n_items:
            raise InputError(f"target item index outside 0..{knowledge.n_items - 1}")
        craft_rng, rival_rng, finish_rng = rng.spawn(3)
        if goal.by_rivals:
            forced = rivals(knowledge.log, goal, rival_rng)
        else:
            forced = np.tile(np.array(goal.targets, np.int32), (goal.accounts, 1))
        draft = self.craft(knowledge, goal, craft_rng)
        return finish(draft, goal, forced, knowledge.public, finish_rng)
