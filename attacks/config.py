"""Settings of the injection checks in a policy."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from ..audit.probe import ProbeConfig
from ..datasets.errors import InputError
from .budget import accounts_of
from .catalogue import CATALOGUE, names
from .goal import Placement
from .targets import STRATA, Stratum


def _in_order(strata: tuple[Stratum, ...]) -> tuple[Stratum, ...]:
    if not strata:
        raise ValueError(f"name at least one stratum of {', '.join(STRATA)}")
    return tuple(stratum for stratum in STRATA if stratum in strata)


Strata = Annotated[tuple[Stratum, ...], AfterValidator(_in_order)]
"""One stratum at least, from head to cold, each once."""


class InjectionConfig(ProbeConfig):
    """Settings of the checks "promotion" and "demotion"."""

    attacks: tuple[str, ...] = ("popular", "pga", "dual-promotion")
    """Names from `recaudit list attacks`, or `all`; those that coincide on the data at hand run once, those that do not
    fit the model are reported as not run."""
    sizes: tuple[str, ...] = ("1%",)
    """Fake accounts: shares of the genuine users ("1%") or numbers ("50")."""
    per_stratum: int = Field(default=5, ge=1)
    """Target items per stratum; fewer than five rarely allow a verdict."""
    strata: Strata = STRATA
    """head: top 10 % of the items by popularity; middle: next 40 %; cold: the rest with at least two events."""
    items: tuple[str, ...] = ()
    """Ids of the target items; drawn by stratum if none is named."""
    seeds_per_target: int = Field(default=1, ge=1)
    """Refit seeds under which each target is attacked; at most `control_seeds`."""
    control_seeds: int = Field(default=3, ge=1)
    """Refits without an attack, each under a seed of its own."""
    cutoff: int = Field(default=20, ge=1)
    """K of HR@K; one of the policy's cut-offs."""
    profile: int | None = Field(default=None, ge=2)
    """Events of a fake account, target included; the mean genuine profile if not given."""
    knowledge: float = Field(default=1.0, gt=0, le=1)
    """Share of the genuine users whose profiles the attacker sees."""
    placement: Placement = "every-second"
    """Where the target stands in the profiles against sequential models."""
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings of single attacks, by name."""

    @field_validator("attacks", mode="before")
    @classmethod
    def _all(cls, attacks: Any) -> Any:
        return names() if attacks == "all" else attacks

    @field_validator("attacks")
    @classmethod
    def _known(cls, attacks: tuple[str, ...]) -> tuple[str, ...]:
        if not attacks:
            raise ValueError("name at least one attack, see `recaudit list attacks`")
        return tuple(dict.fromkeys(CATALOGUE.sound(name) for name in attacks))

    @field_validator("sizes")
    @classmethod
    def _sizes(cls, sizes: tuple[str, ...]) -> tuple[str, ...]:
        if not sizes:
            raise ValueError("give at least one attack size such as '1%'")
        for size in sizes:
            _or_value_error(accounts_of, size, 1)
        return tuple(dict.fromkeys(size.replace(" ", "") for size in sizes))

    @model_validator(mode="after")
    def _consistent(self) -> InjectionConfig:
        if self.seeds_per_target > self.control_seeds:
            raise ValueError(
                f"seeds_per_target ({self.seeds_per_target}) must not exceed control_seeds ({self.control_seeds})"
            )
        for name, settings in self.settings.items():
            CATALOGUE.sound(name, settings)
        return self


def _or_value_error(check: Any, *arguments: Any) -> None:
    """Let pydantic name the field of a wrong value."""
    try:
        check(*arguments)
    except InputError as error:
        raise ValueError(str(error)) from None
