"""A system behind a Python object of the owner's: `scores(users)`, and perhaps `refit(log, weights, seed)`."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.errors import DataError, InputError
from ...datasets.log import Float32, InteractionLog
from ..base import ModelConfig, Report


class PythonConfig(ModelConfig):
    """Where the object is."""

    code: str = Field(default="", description="SHA-256 of the module, filled in when opened")
    target: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description="module:object; scores(users) gives float [B, I], users and items numbered as the data have them; "
        "refit(log, weights, seed), if it is there, gives such an object that was trained on other events",
    )


class Python:
    """A system that a Python object of its owner's asks. It is imported because the owner named it."""

    name: ClassVar[str] = "python"
    title: ClassVar[str] = "A system behind a Python object"
    family: ClassVar[str] = "black box"
    reference: ClassVar[str] = "the owner's system"
    config_type: ClassVar[type[ModelConfig]] = PythonConfig

    def __init__(self, config: PythonConfig) -> None:
        """Store the name; import nothing."""
        self.config = config
        self.n_users = 0
        self.n_items = 0
        self.epochs: int | None = None
        self._object: Any = None
        self._refitted = False

    def _opened(self) -> Any:
        if self._object is None:
            self._object = opened(self.config.target)
        return self._object

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        *,
        weights: NDArray[np.float32] | None = None,
        report: Report | None = None,
        **_: Any,
    ) -> None:
        """Ask the object for one that was trained on this log.

        Raises:
            InputError: it has no refit, or that fails.
        """
        why = self.why_no_refit()
        if why is not None:
            raise InputError(why)
        refit = self._opened().refit
        self.n_users, self.n_items = log.n_users, log.n_items
        self._object = _called(f"{self.config.target}.refit", refit, log, weights, seed)
        self._refitted = True
        if not hasattr(self._object, "scores"):
            raise InputError(f"{self.config.target}.refit gave a {type(self._object).__name__} without scores(users)")

    def code(self) -> str:
        """SHA-256 (hex) of the module's file; empty if it has none."""
        self._opened()
        path = getattr(sys.modules[self.config.target.partition(":")[0]], "__file__", None)
        return "" if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()

    def why_no_refit(self) -> str | None:
        """Without a method for it."""
        if hasattr(self._opened(), "refit"):
            return None
        return f"{self.config.target} has no refit(log, weights, seed): it cannot be trained again"

    def scores(self, users: NDArray[np.int64], history: InteractionLog) -> Float32:
        """See Recommender; the history is not handed on.

        Raises:
            InputError: the object fails.
            DataError: what it gives are no scores of all items for these users.
        """
        users = np.asarray(users, np.int64)
        found = _called(f"{self.config.target}.scores", self._opened().scores, users)
        try:
            scores = np.asarray(found, np.float32)
        except (TypeError, ValueError):
            raise DataError(f"{self.config.target}.scores gave a {type(found).__name__}, no numbers") from None
        if scores.shape != (len(users), self.n_items):
            expected = (len(users), self.n_items)
            raise DataError(f"{self.config.target}.scores gave shape {scores.shape}, expected {expected}")

        return scores

    def state(self) -> dict[str, torch.Tensor]:
        """Nothing: the system keeps its own."""
        return {}

    def load(self, state: Mapping[str, torch.Tensor], n_users: int, n_items: int) -> None:
        """Take the sizes."""
        self.n_users, self.n_items = n_users, n_items

    def shapes(self, n_users: int, n_items: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """None."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        """The name alone: a worker imports the object itself. What was trained again stays in its process.

        Raises:
            TypeError: it was trained again.
        """
        if self._refitted:
            raise TypeError("a system that was trained again cannot be handed to another process")
        return self.__dict__ | {"_object": None}


def opened(target: str) -> Any:
    """The object module:object.

    Raises:
        InputError: it cannot be imported, is not there, or has no scores(users).
    """
    module, _, path = target.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # as `python -m` would find it
    try:
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name)
    except Exception as error:  # the owner's module may raise anything
        raise InputError(
            f"{target} cannot be imported: {type(error).__name__}: {error}; give the command in its folder, or set "
            "PYTHONPATH"
        ) from None
    if not callable(getattr(found, "scores", None)):
        raise InputError(f"{target} has no scores(users); see docs/foreign.md for an example")
    return found


def _called(name: str, function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Exception as error:  # the owner's code may raise anything
        raise InputError(f"{name} failed: {type(error).__name__}: {error}") from error
