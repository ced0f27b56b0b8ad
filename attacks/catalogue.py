"""The attacks there are: one line each; outsiders add theirs by the entry-point group `recaudit.attacks`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..datasets.plugins import Catalogue
from .base import Attack
from .goal import Kind

ATTACKS = (
    "random: random_fillers:RandomFillers",
    "average: average:Average",
    "love-hate: love_hate:LoveHate",
    "bandwagon: bandwagon:Bandwagon",
    "reverse-bandwagon: reverse_bandwagon:ReverseBandwagon",
    "popular: popular:Popular",
    "segment: segment:Segment",
    "clone-and-push: clone:CloneAndPush",
    "aush: aush:AUSH",
    "diffusion: diffusion:Diffusion",
    "leg-up: legup:LegUP",
    "leg-up-features: legup_features:FeatureLegUP",
    "pga: pga:PGA",
    "revadv: revadv:RevAdv",
    "dl-attack: dlattack:DLAttack",
    "clear: clear:CLeaR",
    "uba: uba:UBA",
    "evasive-texts: evasive_texts:EvasiveTexts",
    "evasive-statistics: evasive_statistics:EvasiveStatistics",
    "evasive-losses: evasive_losses:EvasiveLosses",
    "gradient-sequences: gradient_sequences:GradientSequences",
    "dp-sequences: dp_sequences:DPSequences",
    "rev-sequences: rev_sequences:RevSequences",
    "dual-promotion: dual_promotion:DualPromotion",
    "extracted-sequences: extraction:ExtractedSequences",
)
"""Name, module in this folder, class. Nothing is imported until an attack is asked for."""

_MEMBERS = ("name", "title", "reference", "grants")


def _fault(found: Any) -> str | None:
    if isinstance(found, type) and issubclass(found, Attack) and all(hasattr(found, member) for member in _MEMBERS):
        return None
    return f"must be a subclass of recaudit.attacks.base.Attack with {', '.join(_MEMBERS)}"


CATALOGUE: Catalogue[Attack] = Catalogue("attack", "recaudit.attacks", ATTACKS, __package__, _fault)

names, attack_class, build = CATALOGUE.names, CATALOGUE.find, CATALOGUE.build


def distinct(wanted: Iterable[str], kind: Kind) -> dict[str, tuple[str, ...]]:
    """The attacks to run on such data, each with the asked-for names that coincide with it there.

    An attack that coincides with another runs under the other's name, once.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in wanted:
        own = attack_class(name).aliases.get(kind, name)
        found[own] = (*found.get(own, ()), name)
    return found
