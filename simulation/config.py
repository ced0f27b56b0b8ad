"""Settings of the check "simulate" in a policy."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, ValidationError, model_validator

from ..attacks.config import InjectionConfig, Strata
from .feedback import UserModel
from .loop import Course

BASE = "base"
"""The name of the user model that evidence is about; the others test it."""

VARIANTS: dict[str, dict[str, float]] = {
    "patient": {"eta": 0.5},
    "vague": {"temperature": 2.0},
    "picky": {"pickiness": 2.0},
    "seldom": {"active": 0.2},
    "browsing": {"explore": 0.3},
}
"""One other assumption each: users look further down, tell items apart less, like less, come seldom, look around."""


class SimulationConfig(InjectionConfig):
    """Settings of the check "simulate": those of the check "promotion", the rounds, the users."""

    attacks: tuple[str, ...] = ("popular",)
    strata: Strata = ("cold",)
    """The items an attacker has most reason to push."""
    control_seeds: int = Field(default=2, ge=1)
    """Clean arms for each user model, each under a seed of its own."""
    rounds: int = Field(default=4, ge=1, le=100)
    """Trainings with the fake accounts in the log; after the last of them the accounts are removed."""
    recovery: int = Field(default=4, ge=0, le=100)
    """Trainings after that."""
    users: UserModel = UserModel()
    """How simulated users behave: eta, temperature, pickiness, active, explore."""
    variants: dict[str, dict[str, float]] = VARIANTS
    """Other user models, by name: what differs from `users`. None of them: stability is not tested."""
    factor: float = Field(default=2.0, ge=1)
    """An effect under another user model is of the same size if it is at most so many times larger or smaller."""
    negligible: float = Field(default=0.001, ge=0, le=1)
    """Changes of a target's share of exposure up to this are no effect in either direction."""

    @model_validator(mode="after")
    def _people(self) -> SimulationConfig:
        for name, own in self.variants.items():
            if not re.fullmatch(r"[a-z][a-z0-9-]{0,39}", name) or name == BASE:
                raise ValueError(
                    f"variants: {name!r} is no name; use lower-case letters, digits, hyphens, not {BASE!r}"
                )
            try:
                changed = self._with(own)
            except ValidationError as error:
                first = error.errors()[0]
                field = ".".join(str(part) for part in first["loc"])
                raise ValueError(f"variants: {name}: {field}: {first['msg']}") from None
            if changed == self.users:
                raise ValueError(f"variants: {name} is what `users` says; change something or remove it")
        return self

    @property
    def people(self) -> dict[str, UserModel]:
        """User models by name, the base first."""
        return {BASE: self.users} | {name: self._with(own) for name, own in self.variants.items()}

    @property
    def course(self) -> Course:
        """How long, and how exposure is counted: as users look under the base model."""
        return Course(self.rounds, self.recovery, self.cutoff, self.users.eta)

    def _with(self, own: dict[str, Any]) -> UserModel:
        return UserModel.model_validate(self.users.model_dump() | own)
