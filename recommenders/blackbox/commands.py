"""A system behind two commands: one that writes lists, one that trains it again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import Field, field_validator

from ...datasets.errors import InputError
from ...datasets.log import Int32, InteractionLog
from ..base import ModelConfig, Report
from .asked import Asked, long_enough, read_lists

_TOLD = 300  # characters of what a command said before it failed


class CommandsConfig(ModelConfig):
    """The commands; what stands in braces is filled in, by absolute paths; they run where recaudit was started."""

    recommend: str = Field(
        description="writes lists: {users} CSV with a column user, {history} CSV of what is known of them, {k} length, "
        "{out} the CSV to write (user, item, and rank or score), {model} the folder that the retraining wrote, empty "
        "for the system in service"
    )
    refit: str = Field(
        default="",
        description="trains again: {train} CSV (user, item, rating, timestamp), {weights} CSV (user, weight), {seed}, "
        "{model} the folder to write into; empty if it cannot",
    )
    code: str = Field(default="", description="SHA-256 of the files that the commands name, filled in when opened")
    k: int = Field(default=100, ge=1, description="length of the lists asked for")
    timeout: float = Field(default=3600.0, gt=0, description="seconds a command may run")

    @field_validator("recommend", "refit")
    @classmethod
    def _words(cls, command: str) -> str:
        try:
            shlex.split(command)
        except ValueError as error:
            raise ValueError(f"cannot be split into words: {error}") from None
        return command

    @field_validator("recommend")
    @classmethod
    def _writes(cls, command: str) -> str:
        if "{out}" not in command:
            raise ValueError("names no {out}, the file that the lists are to be written to")
        return command


class Commands(Asked):
    """A system that its owner's commands run. They run because the owner gave them, with the owner's rights."""

    name: ClassVar[str] = "commands"
    title: ClassVar[str] = "A system behind two commands"
    reference: ClassVar[str] = "the owner's system"
    config_type: ClassVar[type[ModelConfig]] = CommandsConfig

    def __init__(self, config: CommandsConfig) -> None:
        """Store the commands; run nothing."""
        super().__init__(config)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def fit(
        self,
        log: InteractionLog,
        seed: int,
        *,
        weights: NDArray[np.float32] | None = None,
        report: Report | None = None,
        **_: Any,
    ) -> None:
        """Run the retraining in a new folder, which lives as long as this object.

        Users of weight 0 are left out of what a command is given that names no {weights}.

        Raises:
            InputError: there is no such command, it takes no weights and some are neither 0 nor 1, it fails or takes
                too long.
        """
        config, why = self.config, self.why_no_refit()
        if why is not None:
            raise InputError(why)
        if weights is not None and "{weights}" not in config.refit:
            if not np.isin(weights, (0, 1)).all():
                raise InputError("--refit-cmd names no {weights}: it can leave users out, but not weigh them")
            log = log.take(weights[log.user] > 0)
        self.n_users, self.n_items = log.n_users, log.n_items
        self._folder = tempfile.TemporaryDirectory(prefix="recaudit-")
        folder = Path(self._folder.name)
        (folder / "model").mkdir()
        _write(log, folder / "train.csv")
        given = np.ones(log.n_users, np.float32) if weights is None else weights
        pl.DataFrame({"user": log.user_ids, "weight": given}).write_csv(folder / "weights.csv")
        named = {"train": folder / "train.csv", "weights": folder / "weights.csv", "model": folder / "model"}
        _run(config.refit, named | {"seed": seed % (1 << 31)}, folder, config.timeout)

    def code(self) -> str:
        """SHA-256 (hex) over the files that the commands name."""
        digest = hashlib.sha256()
        for word in shlex.split(f"{self.config.recommend} {self.config.refit}"):
            path = Path(word)
            if "{" not in word and path.is_file():
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def why_no_refit(self) -> str | None:
        """Without a command for it."""
        return None if self.config.refit else "this system cannot be trained again: it has no --refit-cmd"

    def lists(self, history: InteractionLog) -> Int32:
        """Run the command that writes lists, for all users.

        Raises:
            InputError: it fails, takes too long, or writes nothing.
            DataError: what it writes are no lists.
        """
        config = self.config
        model = "" if self._folder is None else str(Path(self._folder.name) / "model")
        with tempfile.TemporaryDirectory(prefix="recaudit-") as name:
            folder = Path(name)
            pl.DataFrame({"user": history.user_ids}).write_csv(folder / "users.csv")
            _write(history, folder / "history.csv")
            out = folder / "lists.csv"
            named = {"users": folder / "users.csv", "history": folder / "history.csv", "out": out}
            _run(config.recommend, named | {"k": config.k, "model": model}, folder, config.timeout)
            if not out.is_file():
                raise InputError(f"{shlex.split(config.recommend)[0]}: ended well and wrote no {{out}}")

            return long_enough(read_lists(out, history), history, shlex.split(config.recommend)[0])

    def __getstate__(self) -> dict[str, Any]:
        """Of the system in service alone; a retrained one lives in its folder.

        Raises:
            TypeError: it was trained again.
        """
        if self._folder is not None:
            raise TypeError("a system that was trained again cannot be handed to another process")
        return super().__getstate__()


def _write(log: InteractionLog, path: Path) -> None:
    columns: dict[str, Any] = {"user": log.user_ids[log.user], "item": log.item_ids[log.item]}
    if log.value is not None:
        columns["rating"] = log.value
    if log.time is not None:
        columns["timestamp"] = log.time
    pl.DataFrame(columns).write_csv(path)


def _run(command: str, named: dict[str, Any], folder: Path, timeout: float) -> None:
    """Run a command, in a process group of its own that is killed whole.

    Raises:
        InputError: no such program, an exit code but 0, or too long.
    """
    words = [_filled(word, named) for word in shlex.split(command)]
    told = folder / "stderr.txt"
    with told.open("wb") as said:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, start_new_session=True
            )
        except OSError as error:
            raise InputError(f"{words[0]}: cannot be run ({error.strerror or error})") from None
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise InputError(f"{words[0]}: stopped after {timeout:g} seconds; give it more by --timeout") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # children too, whether or not it has ended itself
            process.wait()
    if code:
        with told.open("rb") as read:
            read.seek(max(0, told.stat().st_size - 4 * _TOLD))
            last = " ".join(read.read().decode(errors="replace").split())[-_TOLD:]
        raise InputError(f"{words[0]}: ended with exit code {code}: {last or 'it said nothing'}")


def _filled(word: str, named: dict[str, Any]) -> str:
    for name, value in named.items():
        word = word.replace(f"{{{name}}}", str(value))
    return word
