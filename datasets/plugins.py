"""Things by name, our own and those that other packages offer by entry points: models, attacks, defences."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from .errors import InputError, unknown_name

Kind = TypeVar("Kind")


class Catalogue(Generic[Kind]):
    """Names and the classes behind them; a class is imported when it is asked for."""

    def __init__(
        self, what: str, group: str, lines: tuple[str, ...], package: str, fault: Callable[[Any], str | None]
    ) -> None:
        """Keep the lines; import nothing.

        Args:
            what: what they are, in the singular, for messages.
            group: the entry-point group by which other packages offer theirs.
            lines: "name: module:Class", modules relative to `package`.
            package: where our own modules lie.
            fault: why what an outsider offers is no such thing, as the end of a sentence; None if it is one.
        """
        self.what = what
        self.group = group
        self.lines = lines
        self._package = package
        self._fault = fault

    @cached_property
    def own(self) -> Mapping[str, tuple[str, str]]:
        """Module and class of our own, by name."""
        found = {}
        for line in self.lines:
            name, _, path = line.partition(": ")
            module, _, attribute = path.partition(":")
            found[name] = (module, attribute)
        return found

    @cached_property
    def outsiders(self) -> Mapping[str, EntryPoint]:
        """Entry points of other packages, by name.

        Raises:
            InputError: a name is taken.
        """
        found: dict[str, EntryPoint] = {}
        for entry in entry_points(group=self.group):
            if entry.name in self.own or (entry.name in found and found[entry.name].value != entry.value):
                raise InputError(
                    f"{_source(entry)} offers another {self.what} named {entry.name!r}, which is taken; "
                    "rename it there or uninstall that package"
                )
            found[entry.name] = entry
        return found

    def names(self) -> tuple[str, ...]:
        """Our own in the order of the lines, then outsiders'."""
        return (*self.own, *sorted(self.outsiders))

    def find(self, name: str) -> type[Kind]:
        """The class of this name.

        Raises:
            InputError: there is none (the message names the nearest), or an outsider's cannot be used.
        """
        if name in self.own:
            module, attribute = self.own[name]
            found: type[Kind] = getattr(importlib.import_module(f".{module}", self._package), attribute)
            return found
        if name not in self.outsiders:
            raise unknown_name(self.what, name, self.names())
        entry = self.outsiders[name]
        try:
            found = entry.load()
        except Exception as error:  # an outsider's module may raise anything
            raise InputError(
                f"{self.what} {name!r} of {_source(entry)} cannot be imported: {type(error).__name__}: {error}; "
                "mend or uninstall that package"
            ) from error
        fault = self._fault(found)
        if fault is not None:
            raise InputError(f"{self.what} {name!r} of {_source(entry)} {fault}")
        return found

    def build(self, name: str, settings: Mapping[str, Any] | None = None) -> Kind:
        """One of this name with its settings.

        Raises:
            InputError: see `find` and `settings`.
        """
        kind: Any = self.find(name)
        found: Kind = kind(self.settings(name, kind.config_type, settings or {}))
        return found

    def sound(self, name: str, settings: Mapping[str, Any] | None = None) -> str:
        """The name, if one can be built; for validators of pydantic, which name the field.

        Raises:
            ValueError: the message of `build`.
        """
        try:
            self.build(name, settings)
        except InputError as error:
            raise ValueError(str(error)) from None
        return name

    def settings(self, name: str, config_type: type[BaseModel], values: Mapping[str, Any]) -> Any:
        """Validated settings, of `config_type`.

        Raises:
            InputError: an unknown field (the message names the nearest) or a value outside its range.
        """
        try:
            return config_type.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "config"
        known = list(config_type.model_fields)
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(where, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"{self.what} {name!r} has no field {where!r}.{hint} Fields: {', '.join(known) or 'none'}."
            )
        got = repr(first["input"])
        got = got if len(got) <= 80 else got[:77] + "..."
        raise InputError(
            f"{self.what} {name!r}, field {where!r}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {got}; "
            f"see `recaudit explain {name}` for its fields"
        )


def _source(entry: EntryPoint) -> str:
    return f"package {entry.dist.name}" if entry.dist is not None else f"{entry.value!r}"
