"""How a folder of sentence-transformers makes one vector of the states of many tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..datasets.errors import InputError

Pool = Literal["mean", "cls"]

_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
"""As files before version 6 name them; every other name that begins so is a mode that is not read here."""


@dataclass(frozen=True)
class Form:
    """From states to a vector.

    Attributes:
        pool: mean: over all tokens; cls: the first token's state.
        tokens: of a text that are read, or None if the folder does not say.
        lower: texts are read in lower case.
    """

    pool: Pool = "mean"
    tokens: int | None = None
    lower: bool = False


class _Module(BaseModel):
    type: str
    path: str


class _Pooling(BaseModel):
    model_config = ConfigDict(extra="allow")

    pooling_mode: str | list[str] | None = None


class _Reading(BaseModel):
    max_seq_length: int | None = None
    do_lower_case: bool = False


class _Prompts(BaseModel):
    default_prompt_name: str | None = None


def form_of(folder: Path) -> Form:
    """What a folder says in `modules.json` and beside it; the mean over all tokens if there is no such file.

    Vectors get length 1 whether or not a module Normalize says so.

    Reference: Reimers, Gurevych 2019, Sentence-BERT, EMNLP; files as sentence-transformers 2 to 6 writes them.

    Raises:
        InputError: a file cannot be read, or asks for what is not done here; it is named.
    """
    listed = folder / "modules.json"
    if not listed.is_file():
        return Form()
    modules = _read(listed, TypeAdapter(list[_Module]))
    kinds = [module.type.rpartition(".")[2] for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]) or modules[0].path:
        what = f"{' '.join(kinds)}, the first in {modules[0].path or 'this folder'}" if modules else "nothing"
        raise InputError(f"{listed}: {what}; only Transformer Pooling [Normalize] is read, the first in this folder")
    reading, prompts = folder / "sentence_bert_config.json", folder / "config_sentence_transformers.json"
    if prompts.is_file() and _read(prompts, TypeAdapter(_Prompts)).default_prompt_name:
        raise InputError(f"{prompts}: default_prompt_name; a prompt before every text is not supported")
    read = _read(reading, TypeAdapter(_Reading)) if reading.is_file() else _Reading()
    return Form(_pool(folder / modules[1].path / "config.json"), read.max_seq_length, read.do_lower_case)


def _pool(path: Path) -> Pool:
    read = _read(path, TypeAdapter(_Pooling))
    if read.pooling_mode is not None:
        modes = [read.pooling_mode] if isinstance(read.pooling_mode, str) else read.pooling_mode
    else:
        told = {name for name, value in (read.model_extra or {}).items() if name.startswith("pooling_mode_") and value}
        modes = [_MODES.get(name, name) for name in sorted(told)] or ["mean"]
    if modes == ["mean"]:
        return "mean"
    if modes == ["cls"]:
        return "cls"
    raise InputError(f"{path}: pooling {' and '.join(modes)}; only mean or cls is read")


def _read(path: Path, form: TypeAdapter[Any]) -> Any:
    try:
        return form.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InputError(f"{path}: not a file of sentence-transformers: {first}") from None
