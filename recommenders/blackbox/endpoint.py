"""A system behind an address: user ids are posted, ranked lists come back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from ...datasets.errors import DataError, InputError
from ...datasets.log import Int32, InteractionLog
from ...language.endpoint import Endpoint
from ..base import ModelConfig
from .asked import Asked, rows_of

_NAME = "recommendations"  # the field `model` of a request
_LONGEST = 1_000  # characters of an id
_DAY = 86_400.0  # seconds that the answers of a broken run are worth


class ServedConfig(ModelConfig):
    """The address, and how it is asked."""

    url: str = Field(
        description='takes {"users": [ids], "k": n} by POST and answers {"lists": [[item ids, best first], ...]}'
    )
    k: int = Field(default=100, ge=1, description="length of the lists asked for")
    batch: int = Field(default=100, ge=1, le=10_000, description="users a request")
    per_second: float = Field(default=5.0, gt=0, le=1000, description="requests a second, at most")
    timeout: float = Field(default=60.0, gt=0, description="seconds until a try is given up")


class Served(Asked):
    """A system that is asked over HTTP. Its owner allows that ids are sent; a key comes from the environment.

    Requests that fail are tried again with backoff (`language.endpoint.Endpoint.post`). Answers are kept until all are
    there, for a day at most, so that a broken run goes on; then they are forgotten.
    """

    name: ClassVar[str] = "endpoint"
    title: ClassVar[str] = "A system behind an address"
    reference: ClassVar[str] = "the owner's system"
    config_type: ClassVar[type[ModelConfig]] = ServedConfig

    def why_no_refit(self) -> str | None:
        """Always."""
        return "a system behind an address cannot be trained again; give --refit-cmd with --recommend-cmd"

    def fit(self, log: InteractionLog, seed: int, **_: Any) -> None:
        """Impossible.

        Raises:
            InputError: always.
        """
        raise InputError(self.why_no_refit())

    def lists(self, history: InteractionLog) -> Int32:
        """Ask for the lists of all users; the history is not sent.

        Raises:
            InputError: sending was not allowed, or the server refuses.
            DataError: an answer has no list for each user, or an unknown item.
            UnfinishedError: a request failed again and again; what came is kept.
        """
        config = self.config
        endpoint = Endpoint(_NAME, config.url, timeout=config.timeout)
        users = history.user_ids.tolist()
        key = hashlib.sha256(json.dumps([config.url, config.k, config.batch, users]).encode()).hexdigest()[:40]
        folder = _cache() / "lists" / key
        batches = [users[first : first + config.batch] for first in range(0, len(users), config.batch)]
        missing = [number for number in range(len(batches)) if not _fresh(folder / f"{number}.json")]
        if missing:
            asked = sum(len(batches[number]) for number in missing)
            sys.stderr.write(f"asking {endpoint.host} for the lists of {asked:,} users; their ids are sent\n")
            endpoint.announce([user for number in missing for user in batches[number]])
        for number in missing:
            started = time.monotonic()
            answer = _lists(endpoint.post("", {"users": batches[number], "k": config.k}), len(batches[number]), config)
            _table(answer, config.k, history, config.url)  # refused before it is kept
            _keep(folder, number, answer)
            time.sleep(max(0.0, 1 / config.per_second - (time.monotonic() - started)))
        whole = [own for number in range(len(batches)) for own in json.loads((folder / f"{number}.json").read_text())]
        found = _table(whole, config.k, history, config.url)
        shutil.rmtree(folder, ignore_errors=True)
        return found


def _lists(answer: Any, users: int, config: ServedConfig) -> list[list[str]]:
    lists = answer.get("lists") if isinstance(answer, dict) else None
    if not isinstance(lists, list) or len(lists) != users or not all(isinstance(own, list) for own in lists):
        raise DataError(f'{config.url}: the answer is not {{"lists": [...]}} with a list for each of {users} users')
    found = [[str(item) for item in own[: config.k]] for own in lists]
    if any(len(set(own)) < len(own) for own in found):
        raise DataError(f"{config.url}: an item stands twice in the list of a user; list each once")
    if any(len(item) > _LONGEST for own in found for item in own):
        raise DataError(f"{config.url}: an item id of more than {_LONGEST} characters")
    return found


def _fresh(path: Path) -> bool:
    return path.is_file() and time.time() - path.stat().st_mtime < _DAY


def _table(lists: list[list[str]], k: int, log: InteractionLog, url: str) -> Int32:
    found = np.full((len(lists), k), -1, np.int32)
    length = np.array([len(own) for own in lists])
    items = np.array([item for own in lists for item in own], np.str_)
    rows = rows_of(items, log.item_ids, url, "item") if len(items) else np.empty(0, np.int64)
    user = np.repeat(np.arange(len(lists)), length)
    found[user, np.arange(len(user)) - np.repeat(np.cumsum(length) - length, length)] = rows
    return found


def _keep(folder: Path, number: int, answer: list[list[str]]) -> None:
    """Write whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{number}.part"
    part.write_text(json.dumps(answer))
    part.replace(folder / f"{number}.json")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recaudit"
