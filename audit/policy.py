"""What an audit does and what it demands: checks with their settings, rules with bounds and reasons, waivers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)

from ..datasets.errors import PolicyError, unknown_name
from .digests import policy_digest
from .evidence import Severity
from .policy_file import Source, parse_policy_text, read_policy_text

PRESETS = ("quick", "standard", "thorough")


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic would take true for 1
        raise ValueError("must be a number, not true or false")
    return value


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Number = Annotated[float, BeforeValidator(_no_flag), Field(allow_inf_nan=False)]
Whole = Annotated[int, BeforeValidator(_no_flag)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Part):
    """A bound on every evidence that its pattern selects; of several matching rules the first one counts."""

    select: Text
    """Glob over evidence ids, e.g. "promotion.*.hr@20"."""
    bound: Number
    """What the measure must not be worse than; which side is worse stands in the evidence."""
    reason: Text
    """Why the bound is where it is; printed beside every finding."""
    author: str = ""
    """Who set the bound."""
    severity: Severity = "error"
    """error: a broken bound fails the gate; warning and info are reported only."""
    clauses: tuple[Text, ...] = ()
    """Clauses of laws or standards that the finding may be read for."""
    remedy: str = ""
    """What to try when the bound is broken."""


class Waiver(_Part):
    """Excuses findings for a time; ends by itself."""

    check: Text
    """Glob over check names or finding ids."""
    owner: Text
    """Who answers for it."""
    reason: Text
    """Why it is acceptable for now."""
    expires: date
    """Last day on which it counts."""
    scope: Text | None = None
    """Glob over finding ids that narrows it; all findings of the check if not given."""


class Policy(_Part):
    """The pre-declared method of an audit; its digest is taken before the first cell."""

    version: Literal[1] = 1
    preset: str = "standard"
    """Preset that omitted sections were taken from."""
    seed: Whole = Field(default=0, ge=0, lt=2**63)
    confidence: Number = Field(default=0.95, gt=0.5, lt=1)
    """Simultaneous over the findings of a check."""
    strict: bool = Field(default=False, strict=True)
    """Exit with 4 where the verdict is inconclusive."""
    cutoffs: tuple[Annotated[Whole, Field(ge=1, le=1000)], ...] = Field(default=(10, 20), min_length=1)
    """Lengths K of the lists that are measured."""
    checks: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Settings by check, validated by the check's own config type; `enabled: false` switches one off."""
    rules: tuple[Rule, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    waiver_days: Whole = Field(default=365, ge=1)
    """A waiver that expires later than this many days ahead does not count: exceptions are looked at again."""

    @field_validator("checks", mode="before")
    @classmethod
    def _settings(cls, checks: Any) -> Any:
        if not isinstance(checks, Mapping):
            return checks
        # "exposure:" with nothing below means: with its defaults
        checks = {name: {} if settings is None else settings for name, settings in checks.items()}
        for name, settings in checks.items():
            if isinstance(settings, Mapping) and not isinstance(settings.get("enabled", True), bool):
                raise ValueError(f"{name}.enabled must be true or false, got {settings['enabled']!r}")
        return checks

    @field_validator("cutoffs")
    @classmethod
    def _distinct(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(cutoffs)))

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal for policies that ask for the same, whatever their layout."""
        return policy_digest(self.model_dump(mode="json"))


def preset_text(name: str) -> str:
    """A preset as commented YAML, ready to edit.

    Raises:
        InputError: there is no such preset; the message names the nearest.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return files(__package__).joinpath("presets", f"{name}.yaml").read_text("utf-8")


def load_policy(path: Path | None, preset: str = "standard") -> Policy:
    """A policy file, or a preset.

    Sections that a file leaves out are taken from the preset it names, else from `preset`.

    Args:
        path: YAML, at most 256 KiB; None for the preset itself.
        preset: quick, standard or thorough.

    Raises:
        PolicyError: the file cannot be read or is not valid; one line with file, line, field and remedy.
        InputError: there is no such preset.
    """
    if path is None:
        return _validated(parse_policy_text(preset_text(preset), f"preset {preset}"))
    source = parse_policy_text(read_policy_text(path), str(path))
    base = source.content.get("preset", preset)
    if base not in PRESETS:
        raise PolicyError(f"{source.at(('preset',))}: {unknown_name('preset', str(base), PRESETS)}")
    sections = parse_policy_text(preset_text(base), f"preset {base}").content
    return _validated(Source(source.name, {**sections, **source.content}, source.lines))


def _validated(source: Source) -> Policy:
    try:
        return Policy.model_validate(source.content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = tuple(first["loc"])
        raise PolicyError(f"{source.at(place)}: {_explained(first['type'], place, first)}") from None


def _explained(kind: str, place: tuple[int | str, ...], error: Mapping[str, Any]) -> str:
    """What was wrong and what to write instead, in one line."""
    parts: dict[str, type[BaseModel]] = {"rules": Rule, "waivers": Waiver}
    part = parts.get(str(place[0]), Policy) if len(place) > 1 else Policy
    if kind == "extra_forbidden":
        return str(unknown_name("field", str(place[-1]), part.model_fields))
    if kind == "missing":
        purpose = _MISSING.get(str(place[-1]), "it is required")
        return f"{place[-1]} is missing; {purpose}"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = repr(error["input"])
    return f"{message} (got {shown if len(shown) <= 60 else shown[:57] + '...'})"


_MISSING = {
    "select": "give a pattern over evidence ids such as 'promotion.*.hr@20'",
    "bound": "give the number that the measure must not be worse than",
    "reason": "say in a sentence why, it is printed in the report",
    "owner": "name who answers for the waiver",
    "expires": "give the last day as YYYY-MM-DD",
    "check": "give a check's name or a pattern over finding ids",
}
