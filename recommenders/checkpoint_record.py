"""`recaudit.json`: what a checkpoint says about itself, sealed by its own digest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, ValidationError

from ..datasets.errors import CheckpointError
from .base import Recipe
from .checkpoint_files import parse_json, printable, read_bytes, refuse, sha256

FORMAT: Final = 1
RECORD, WEIGHTS, IDS, EVENTS = "recaudit.json", "weights.safetensors", "ids.json", "events.safetensors"
TABLES = ("users.csv", "items.csv")
FILES = (WEIGHTS, IDS, EVENTS, *TABLES)
RECORD_LIMIT = 1 << 20
MOST = 2**31 - 1

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, StringConstraints(max_length=400, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
Metric = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,31}@[1-9][0-9]{0,2}$")]
Column = Annotated[str, StringConstraints(max_length=200)]
TableName = Annotated[str, StringConstraints(pattern=r"^(users|items)\.csv$")]
FileName = Annotated[str, StringConstraints(pattern=r"^((weights|events)\.safetensors|ids\.json|(users|items)\.csv)$")]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RecipeRecord(_Closed):
    """How to build and train the model again."""

    model: Line
    config: dict[str, Any]
    epochs: int | None = Field(ge=0, le=MOST)


class PartRecord(_Closed):
    """One part of the split: its number of events and `InteractionLog.fingerprint`."""

    events: int = Field(ge=0, le=MOST)
    fingerprint: Sha256


class SplitRecord(_Closed):
    """How the log was split, and what came of it."""

    recipe: Line
    train: PartRecord
    valid: PartRecord
    test: PartRecord


class OriginRecord(_Closed):
    """Where a model comes from that recaudit did not train, see `target.Origin`."""

    format: Line
    proof: Line
    verified: bool | None


class Record(_Closed):
    """Everything in `recaudit.json`."""

    format_version: Literal[1]
    name: Line
    recipe: RecipeRecord
    seed: int = Field(ge=-(2**63), lt=2**63)
    split: SplitRecord
    users: int = Field(ge=1, le=MOST)
    items: int = Field(ge=1, le=MOST)
    metrics: dict[Metric, FiniteFloat] = Field(max_length=1000)
    fit_seconds: FiniteFloat | None = Field(ge=0)
    versions: dict[Line, Line] = Field(max_length=100)
    columns: dict[TableName, Annotated[list[Column], Field(min_length=1, max_length=256)]]
    files: dict[FileName, Sha256]
    origin: OriginRecord | None = None
    digest: str

    def sealed(self) -> Record:
        """The record with the digest of everything else in it."""
        return self.model_copy(update={"digest": seal(self.model_dump(mode="json"))})

    def encode(self) -> bytes:
        """The file's bytes."""
        return json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False).encode()


def canonical(content: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal content, equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def seal(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a record's content without its digest."""
    return sha256(canonical({name: value for name, value in content.items() if name != "digest"}))


def recipe_bytes(recipe: Recipe) -> bytes:
    """The part of a model's fingerprint that its recipe gives."""
    return canonical({"model": recipe.model, "config": dict(recipe.config), "epochs": recipe.epochs})


def read_record(folder: Path) -> Record:
    """Read and check `recaudit.json`.

    Raises:
        CheckpointError: missing, damaged, edited, or of another format version.
    """
    path = folder / RECORD
    content = parse_json(path, read_bytes(path, RECORD_LIMIT))
    version = content.get("format_version") if isinstance(content, dict) else None
    if type(version) is not int or version < 1:
        raise refuse(path, f"a checkpoint record with format_version {FORMAT}", f"format_version {version!r}")
    if version > FORMAT:
        found = f"{version}: written by a newer recaudit"
        raise refuse(path, f"format_version up to {FORMAT}", found, "upgrade recaudit to open it")
    try:
        record = Record.model_validate(content)
        digest = seal(content)
    except ValidationError as error:
        raise _field_error(path, error) from None
    except RecursionError:
        raise refuse(path, "settings of ordinary depth", "lists nested beyond reading") from None
    if record.digest != digest:
        raise refuse(path, f"content with the digest {printable(record.digest, 12)}", "changed content")
    _check_files(path, record.files, record.columns)
    return record


def _field_error(path: Path, error: ValidationError) -> CheckpointError:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    found = "none" if first["type"] == "missing" else f"{printable(first['input'])} ({first['msg']})"
    return refuse(path, f"a valid field {printable(where)}", found)


def _check_files(path: Path, files: Mapping[str, str], columns: Mapping[str, list[str]]) -> None:
    for name in (WEIGHTS, IDS):
        if name not in files:
            raise refuse(path, f"the digest of {name} in files", "none")
    for name in TABLES:
        if (name in files) != (name in columns):
            raise refuse(path, f"{name} in both files and columns, or in neither", "in one")
        if name in columns and len(set(columns[name])) != len(columns[name]):
            raise refuse(path, f"distinct columns of {name}", "one of them twice")
    if EVENTS not in files and columns:
        raise refuse(path, f"side tables only beside {EVENTS}", "none of it")
