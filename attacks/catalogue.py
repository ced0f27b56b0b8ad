"""The attacks there are: one line each; outsiders add theirs by the entry-point group `recaudit.attacks`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from ..datasets.errors import InputError, unknown_name
from .aush import AUSH
from .average import Average
from .bandwagon import Bandwagon
from .base import Attack
from .clear import CLeaR
from .clone import CloneAndPush
from .diffusion import Diffusion
from .dlattack import DLAttack
from .dp_sequences import DPSequences
from .dual_promotion import DualPromotion
from .extraction import ExtractedSequences
from .goal import Kind
from .gradient_sequences import GradientSequences
from .legup import LegUP
from .legup_features import FeatureLegUP
from .love_hate import LoveHate
from .pga import PGA
from .popular import Popular
from .random_fillers import RandomFillers
from .rev_sequences import RevSequences
from .revadv import RevAdv
from .reverse_bandwagon import ReverseBandwagon
from .segment import Segment
from .uba import UBA

GROUP = "recaudit.attacks"

ATTACKS: Mapping[str, type[Attack]] = {
    "random": RandomFillers,
    "average": Average,
    "love-hate": LoveHate,
    "bandwagon": Bandwagon,
    "reverse-bandwagon": ReverseBandwagon,
    "popular": Popular,
    "segment": Segment,
    "clone-and-push": CloneAndPush,
    "aush": AUSH,
    "diffusion": Diffusion,
    "leg-up": LegUP,
    "leg-up-features": FeatureLegUP,
    "pga": PGA,
    "revadv": RevAdv,
    "dl-attack": DLAttack,
    "clear": CLeaR,
    "uba": UBA,
    "gradient-sequences": GradientSequences,
    "dp-sequences": DPSequences,
    "rev-sequences": RevSequences,
    "dual-promotion": DualPromotion,
    "extracted-sequences": ExtractedSequences,
}

_MEMBERS = ("name", "title", "reference", "grants")


def names() -> tuple[str, ...]:
    """All attack names: the built-in ones, then outsiders'."""
    return (*ATTACKS, *sorted(_outsiders()))


def attack_class(name: str) -> type[Attack]:
    """The class of an attack.

    Raises:
        InputError: there is no such attack (the message names the nearest), or an outsider's cannot be used.
    """
    if name in ATTACKS:
        return ATTACKS[name]
    if name not in _outsiders():
        raise unknown_name("attack", name, names())
    return _outside_class(_outsiders()[name])


def build(name: str, settings: Mapping[str, Any] | None = None) -> Attack:
    """An attack with its settings.

    Raises:
        InputError: unknown attack, unknown field, or a value outside its range.
    """
    kind = attack_class(name)
    try:
        config = kind.config_type.model_validate(dict(settings or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        known = ", ".join(kind.config_type.model_fields) or "none"
        raise InputError(f"attack {name!r}, field {field!r}: {first['msg']}. Fields: {known}.") from None
    return kind(config)


def distinct(wanted: Iterable[str], kind: Kind) -> dict[str, tuple[str, ...]]:
    """The attacks to run on such data, each with the asked-for names that coincide with it there.

    An attack that coincides with another runs under the other's name, once.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in wanted:
        own = attack_class(name).aliases.get(kind, name)
        found[own] = (*found.get(own, ()), name)
    return found


@cache
def _outsiders() -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if entry.name in ATTACKS or (entry.name in found and found[entry.name].value != entry.value):
            raise InputError(f"{entry.value} offers an attack named {entry.name!r}, which is taken; rename it there")
        found[entry.name] = entry
    return found


def _outside_class(entry: EntryPoint) -> type[Attack]:
    try:
        found = entry.load()
    except Exception as error:  # an outsider's module may raise anything
        raise InputError(
            f"attack {entry.name!r} of {entry.value} cannot be imported: {type(error).__name__}: {error}; "
            "mend or uninstall that package"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Attack)) or not all(hasattr(found, m) for m in _MEMBERS):
        raise InputError(
            f"attack {entry.name!r} of {entry.value} must be a subclass of recaudit.attacks.base.Attack "
            f"with {', '.join(_MEMBERS)}"
        )
    return found
