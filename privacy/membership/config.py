"""Settings of the check "privacy" in a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator

from ...audit.probe import ProbeConfig
from ...datasets.errors import InputError
from ..mitigations.base import Mitigation
from ..mitigations.catalogue import build
from .candidates import Unit
from .catalogue import ATTACKS
from .reading import Access


class PrivacyConfig(ProbeConfig):
    """Settings of the check "privacy"."""

    units: tuple[Unit, ...] = Field(default=("interactions",), min_length=1)
    """What is guessed: interactions (single pairs), users (whole histories). Each has models of its own."""
    attacks: tuple[str, ...] = Field(default=("lira", "rmia"), min_length=1)
    """lira, rmia, plain. The first one, with the first access that all arms share, is what epsilon is bounded by.

    Users who are seen by their lists are attacked by taste besides (`taste.py`); it takes no setting."""
    access: tuple[Access, ...] = Field(default=("scores", "ranks", "lists", "weights"), min_length=1)
    """What the outsider sees of the model; weights are for who has the file."""
    models: int = Field(default=6, ge=4, le=256)
    """Trainings for each unit; each is the victim once and a reference of all others."""
    candidates: int = Field(default=1000, ge=20)
    """Training pairs, and held-out pairs, that a coin puts into each training log; of users so many."""
    planted: int = Field(default=200, ge=0)
    """Items out of a user's taste, planted by coins: what is easiest to remember."""
    overlap: float = Field(default=1.0, gt=0, le=1)
    """Share of all other events that each model is trained on, drawn anew: 1 is an outsider who knows all of them.

    Of each user with a candidate one other event stays at least."""
    cutoff: int = Field(default=20, ge=1)
    """K of the lists that are seen, and of NDCG@K."""
    delta: float = Field(default=1e-5, ge=0, lt=1)
    """Of the lower bound on epsilon."""
    mitigations: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    """By a name of your own: `use` (`recaudit list mitigations`) and its settings."""

    @field_validator("units", "attacks", "access")
    @classmethod
    def _once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))

    @field_validator("attacks")
    @classmethod
    def _known(cls, attacks: tuple[str, ...]) -> tuple[str, ...]:
        for name in attacks:
            if name not in ATTACKS:
                raise ValueError(f"unknown attack {name!r}; there are {', '.join(ATTACKS)}")
        return attacks

    @field_validator("mitigations")
    @classmethod
    def _can_be_built(cls, mitigations: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        for name, own in mitigations.items():
            if not name.replace("-", "").isalnum() or name == "none" or not name.islower():
                raise ValueError(f"mitigation {name!r}: use lower-case letters, digits, hyphens, and not 'none'")
            try:
                made(own)
            except InputError as error:
                raise ValueError(f"mitigation {name!r}: {error}") from None
        return mitigations

    @property
    def built(self) -> dict[str, Mitigation]:
        """The mitigations by name."""
        return {name: made(own) for name, own in self.mitigations.items()}


def made(own: Mapping[str, Any]) -> Mitigation:
    """A mitigation from what a policy says of it; InputError."""
    if not isinstance(own.get("use"), str):
        raise InputError("`use` must name a mitigation; see `recaudit list mitigations`")
    return build(own["use"], {name: value for name, value in own.items() if name != "use"})
