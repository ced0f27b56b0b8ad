"""What a file of bare tensors does not say and its owner must: model, settings, how it was trained, its numbering."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...datasets.errors import CheckpointError
from ..checkpoint_files import printable, read_bytes, refuse

_LIMIT = 1 << 20


class OwnersRecipe(BaseModel):
    """A recipe file; every field may be left out where the checkpoint says it itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str | None = Field(default=None, description="one of `recaudit list models`")
    settings: dict[str, Any] = Field(default_factory=dict, description="of that model, e.g. layers: 3")
    epochs: int | None = Field(default=None, ge=0, description="how long it was trained")
    seed: int = Field(default=0, description="it was trained with")
    split: str | None = Field(default=None, description="as of `recaudit train --split`, if the data give no parts")
    ids: Literal["numbers", "appearance"] | None = Field(
        default=None,
        description="numbers: row n is the user or item called n; appearance: rows follow the data's order",
    )
    padding: int | None = Field(default=None, ge=0, le=8, description="rows before the first user and item")
    metrics: dict[str, float] = Field(
        default_factory=dict, description='what it reached on the test part ("ndcg@20": 0.15): proves ids and split'
    )
    consumed: bool = Field(default=False, description="whether those metrics let consumed items into the lists")
    tolerance: float = Field(
        default=1e-4, gt=0, le=1e-3, description="how far a metric may be off, by its printed digits"
    )


def read_recipe(path: Path) -> OwnersRecipe:
    """Read a recipe, YAML.

    Raises:
        CheckpointError: unreadable, no YAML, or a field that is unknown or out of its range; the message names it.
    """
    try:
        content = yaml.safe_load(read_bytes(path, _LIMIT).decode())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise refuse(path, "a recipe in YAML", str(error).split("\n")[0], "see docs/foreign.md for one") from None
    try:
        return OwnersRecipe.model_validate({} if content is None else content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        remedy = f"fields are {', '.join(OwnersRecipe.model_fields)}"
        raise refuse(path, f"a valid {printable(where)}", first["msg"], remedy) from None


def needed(path: Path, name: str, why: str, example: str) -> CheckpointError:
    """An error about what only the owner can say."""
    remedy = f"give `recaudit import --recipe FILE` with {example}"
    return refuse(path, f"{name}, which {why}", "no recipe that says it", remedy)
