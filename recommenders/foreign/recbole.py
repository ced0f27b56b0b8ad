"""RecBole's checkpoints: what their configuration says, as plain values, and their tensors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.errors import CheckpointError
from ..checkpoint_files import printable, refuse
from .archive import Archive, open_archive
from .inert import Inert, read_torch
from .tensors import Tensor, arrays

_NO_RECBOLE = "give a .pth file that RecBole's trainer has saved"


@dataclass(frozen=True, eq=False)
class RecBole:
    """A RecBole checkpoint as read.

    Attributes:
        path: of the file.
        model: the name in its configuration ("LightGCN"), which decides what its tensors mean.
        settings: the final configuration; only numbers, texts, lists and dictionaries are worth reading.
        state: tensors by name.
        restored: final user [U + 1, d] and item [I + 1, d] vectors where the model keeps them, else None.
        epoch: the epoch it was saved after, from 0.
        best: the best validation score, None if there is none.
    """

    path: Path
    model: str
    settings: Mapping[str, Any]
    state: Mapping[str, NDArray[Any]]
    restored: tuple[NDArray[Any], NDArray[Any]] | None
    epoch: int
    best: float | None

    def text(self, name: str, otherwise: str = "") -> str:
        """A setting that is text, else the other one."""
        value = self.settings.get(name)
        return value if isinstance(value, str) else otherwise

    def whole(self, name: str) -> int:
        """A setting that is a whole number.

        Raises:
            CheckpointError: it is missing or something else.
        """
        value = self.settings.get(name)
        if type(value) is not int:
            raise self.lacks(name, "a whole number", value)
        return value

    def number(self, name: str, otherwise: float | None = None) -> float:
        """A setting that is a number, else the other one.

        Raises:
            CheckpointError: it is missing or something else, and there is no other.
        """
        value = self.settings.get(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.lacks(name, "a number", value)
        return float(value)

    def lacks(self, name: str, expected: str, found: Any) -> CheckpointError:
        """An error about a setting."""
        said = repr(printable(found, 80)) if isinstance(found, str | int | float) else f"a {type(found).__name__}"
        said = "none" if found is None else said
        return refuse(self.path, f"{expected} as {name!r} in its configuration", said, _NO_RECBOLE)


def read_recbole(path: Path) -> RecBole:
    """Read a checkpoint of RecBole 1.x; nothing in it is imported or run.

    Raises:
        CheckpointError: not such a file, damaged or hostile.
    """
    with open_archive(path) as archive:
        return recbole_of(archive, read_torch(archive))


def recbole_of(archive: Archive, content: Any) -> RecBole:
    """A checkpoint from what `inert.read_torch` gives.

    Raises:
        CheckpointError: it is none of RecBole's.
    """
    path = archive.path
    if not is_recbole(content):
        raise refuse(path, "a RecBole checkpoint with config and state_dict", _told(content), _NO_RECBOLE)
    config = content["config"]
    settings = config.state.get("final_config_dict") if isinstance(config.state, dict) else None
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), str):
        raise refuse(path, "a RecBole configuration that names its model", "none", _NO_RECBOLE)
    other = content.get("other_parameter")
    restored = None
    if isinstance(other, dict):
        pair = [other.get(name) for name in ("restore_user_e", "restore_item_e")]
        if all(isinstance(tensor, Tensor) for tensor in pair):
            found = arrays(archive, dict(zip(("user", "item"), pair, strict=True)), "other_parameter")
            restored = found["user"], found["item"]
    epoch = content.get("epoch")
    return RecBole(
        path, settings["model"], settings, arrays(archive, content["state_dict"], "state_dict"), restored,
        epoch if type(epoch) is int and epoch >= 0 else 0, _scalar(content.get("best_valid_score")),
    )  # fmt: skip


def is_recbole(content: Any) -> bool:
    """Whether what a file holds is RecBole's: a configuration object and a state dict."""
    return isinstance(content, dict) and isinstance(content.get("config"), Inert) and "state_dict" in content


def _scalar(value: Any) -> float | None:
    """A number, plain or as numpy pickles it (dtype and bytes)."""
    if isinstance(value, Inert) and len(value.args) == 2 and isinstance(value.args[1], bytes):
        kind = {8: "<f8", 4: "<f4"}.get(len(value.args[1]))
        value = None if kind is None else float(np.frombuffer(value.args[1], kind)[0])
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _told(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [printable(name, 40) if isinstance(name, str) else type(name).__name__ for name in list(content)[:5]]
    return f"a dictionary with {', '.join(names) or 'nothing'}"
