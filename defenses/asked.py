"""Which defences a policy asks for: by name, with settings, and the control arms of those that read texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .catalogue import CATALOGUE, build
from .protection import Protection

READS = "real"
"""The arm that reads the texts as they are; the others of a defence are its controls."""


@dataclass(frozen=True)
class Asked:
    """A defence as a policy asks for it.

    Attributes:
        label: what it is called in evidence.
        protection: the defence and its settings.
        control_of: the label of the defence whose texts it does without, None of all others.
        arm: what it has in place of the texts, if it is a control.
    """

    label: str
    protection: Protection
    control_of: str | None = None
    arm: str | None = None

    def knows(self, attacks: Iterable[str]) -> bool:
        """Whether it learns from simulations of one of these attacks: what it then finds, it was taught to find."""
        config = build(self.protection.name, self.protection.settings).config
        return not set(attacks).isdisjoint(getattr(config, "attacks", ()))


def asked_for(labels: Sequence[str], settings: Mapping[str, Mapping[str, Any]], control_arms: bool) -> dict[str, Asked]:
    """By label, in order, each followed by its control arms.

    Args:
        labels: names of defences, or labels whose settings say which one to `use`.
        settings: by label.
        control_arms: whether a defence that reads texts brings the arms that do not (`arm` in its settings).

    Raises:
        InputError: there is no such defence, or a setting is wrong.
    """
    found: dict[str, Asked] = {}
    for label in labels:
        name, own = named(label, settings.get(label, {}))
        found[label] = Asked(label, Protection(name, own))
        arms = controls(name, own) if control_arms else ()
        for arm in arms:
            other = f"{label}-{arm}"
            if other not in labels:
                found[other] = Asked(other, Protection(name, {**own, "arm": arm}), label, arm)
    return found


def named(label: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The defence that a label stands for, and its settings."""
    own = dict(settings)
    return str(own.pop("use", label)), own


def controls(name: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The arms of a defence that reads texts as they are, but for that one; none of any other."""
    field = type(config := build(name, settings).config).model_fields.get("arm")
    if field is None or config.arm != READS or not getattr(config, "reads_text", True):
        return ()
    return tuple(arm for arm in _choices(field.annotation) if arm != READS)


def sound(labels: Sequence[str], settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what cannot be built, for validators of pydantic: ValueError, with the message of `build`."""
    for label in dict.fromkeys([*labels, *settings]):
        CATALOGUE.sound(*named(label, settings.get(label, {})))


def _choices(annotation: Any) -> tuple[str, ...]:
    return tuple(getattr(annotation, "__args__", ()))
