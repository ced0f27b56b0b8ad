"""From a policy file to plain data and the line of every field; hostile or broken YAML is refused in one line."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from stat import S_ISFIFO, S_ISREG
from typing import Any

import yaml

from ..datasets.errors import PolicyError

LIMIT = 256 * 1024
DEPTH = 12

Place = tuple[int | str, ...]


@dataclass(frozen=True)
class Source:
    """A parsed policy: its name for messages, its content, and the line of every field by place."""

    name: str
    content: Mapping[str, Any]
    lines: Mapping[Place, int]

    def at(self, place: Place) -> str:
        """File, line and field for a message; the line of the innermost field that stands in the file."""
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).lstrip(".")
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return f"{self.name}, line {self.lines[place[:length]]}, {field}"
        return f"{self.name}, {field}" if field else self.name


def read_policy_text(path: Path) -> str:
    """The text of a policy file.

    Raises:
        PolicyError: missing, no regular file, too large, not UTF-8.
    """
    try:
        mode = path.stat().st_mode
        if not (S_ISREG(mode) or S_ISFIFO(mode)):  # a pipe: a shell's <(...)
            raise PolicyError(f"{path}: not a file; give the YAML file that `recaudit init` writes")
        with path.open("rb") as file:
            content = file.read(LIMIT + 1)
        if len(content) > LIMIT:
            raise PolicyError(f"{path}: a policy has at most {LIMIT:,} bytes, this has more; is it the right file?")
        return content.decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise PolicyError(f"{path}: {reason}; `recaudit init` writes a policy to start from") from None
    except UnicodeDecodeError as error:
        raise PolicyError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from None


def parse_policy_text(text: str, name: str) -> Source:
    """Parse a policy; it holds text, numbers, true or false, dates, lists and mappings with text keys, no more.

    Args:
        text: YAML.
        name: of the file, for messages.

    Raises:
        PolicyError: not YAML, tags, anchors, repeated or non-text keys, numbers that are not finite, nested deeply.
    """
    lines: dict[Place, int] = {}
    try:
        _scan(text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _walk(root, (), lines, name)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PolicyError(_where(error, name)) from None
    except ValueError as error:  # for example the date 2026-02-30
        raise PolicyError(f"{name}: {_one_line(error)}; put the value in quotes if it is text") from None
    if content is None:
        raise PolicyError(f"{name}: the file is empty; `recaudit init` writes a policy to start from")
    if not isinstance(content, dict):
        raise PolicyError(f"{name}: expected fields such as 'version: 1', got a {type(content).__name__}")
    source = Source(name, content, lines)
    _plain(content, (), source)
    return source


def _scan(text: str, name: str) -> None:
    """Refuse depth and anchors event by event: what comes behind them, which may cost minutes, is never read."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None):  # of an alias or of what it repeats
            raise PolicyError(
                f"{name}{_line(event.start_mark)}: anchors and aliases are not read; write the value out "
                "(text that begins with * or & needs quotes)"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH:
            raise PolicyError(f"{name}{_line(event.start_mark)}: nested more than {DEPTH} levels deep")


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], name: str) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != "tag:yaml.org,2002:str" or not isinstance(key, yaml.ScalarNode):
                shown = repr(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                raise PolicyError(f"{name}, line {line}: a field's name must be text, got {shown}; put it in quotes")
            below = (*place, key.value)
            if below in lines:
                raise PolicyError(
                    f"{name}, line {line}: {key.value!r} stands twice, first in line {lines[below]}; remove one"
                )
            lines[below] = line
            _walk(value, below, lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            below = (*place, number)
            lines[below] = value.start_mark.line + 1
            _walk(value, below, lines, name)


def _plain(value: Any, place: Place, source: Source) -> None:
    """Refuse what JSON cannot hold: it could not enter the record."""
    if isinstance(value, dict):
        for key, below in value.items():
            _plain(below, (*place, key), source)
    elif isinstance(value, list):
        for number, below in enumerate(value):
            _plain(below, (*place, number), source)
    elif isinstance(value, float) and not math.isfinite(value):
        raise PolicyError(f"{source.at(place)}: must be a finite number, got {value}")
    elif isinstance(value, date | datetime):
        if place[:1] != ("waivers",):
            raise PolicyError(f"{source.at(place)}: a date has no meaning here; put it in quotes if it is text")
    elif value is not None and not isinstance(value, bool | int | float | str):
        kind = type(value).__name__
        raise PolicyError(f"{source.at(place)}: expected text, a number, a list or fields, got {kind}")


def _where(error: yaml.YAMLError, name: str) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return f"{name}{_line(mark)}: not valid YAML: {_one_line(problem)}; check indentation, quotes and brackets there"


def _line(mark: Any) -> str:
    return "" if mark is None else f", line {mark.line + 1}"


def _one_line(text: object) -> str:
    return " ".join(str(text).split())
