"""Answers of chats kept on disk, each by its prompt, so that no prompt is paid for twice."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .cache import default_folder
from .chat import NUMBER, REFUSED, YES_NO, Chat
from .endpoint import EndpointRefusal

_FEW = 3  # prompts refused before any was answered: then it is not the prompts
_LINE = re.compile(r"([0-9a-f]{40}) (nan|\d(?:\.\d+)?(?:e-\d+)?)\n")


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a chat thinks of accounts.

    Attributes:
        probability: of fraud, float64 [n] in [0, 1]; NaN where no answer could be read or the prompt was refused.
        unreadable: how many are NaN.
    """

    probability: NDArray[np.float64]
    unreadable: int


def verdicts(chat: Chat, prompts: Sequence[str], folder: Path | None = None) -> Verdicts:
    """The probability of fraud for each prompt; equal prompts are asked once, and a killed run resumes.

    A prompt that the server refuses is missing, since titles are written by anybody; such a refusal is kept once a
    later prompt was answered, so that a server that refuses everything leaves nothing behind.

    Args:
        chat: whom to ask.
        prompts: see `account_prompt`.
        folder: where answers are kept, by default with the vectors.

    Raises:
        EndpointRefusal: for another reason than the prompt, or the first few prompts were all refused.
        InputError, DataError, UnfinishedError: see `Endpoint.post`.
    """
    kept = _Kept(chat.id, folder)
    found = {prompt: kept.answers[_key(prompt)] for prompt in prompts if _key(prompt) in kept.answers}
    missing = [prompt for prompt in dict.fromkeys(prompts) if prompt not in found]
    if missing:
        chat.announce(missing)
    refused: dict[str, float] = {}
    for prompt in missing:
        try:
            said = {prompt: chat.probability(prompt)}
        except EndpointRefusal as refusal:
            refused[prompt] = math.nan
            if refusal.status not in REFUSED or (not found and len(refused) == min(_FEW, len(missing))):
                raise
            continue
        kept.add(refused | said)
        found |= refused | said
        refused = {}
    found |= refused
    probability = np.array([found[prompt] for prompt in prompts], np.float64)
    return Verdicts(probability, int(np.isnan(probability).sum()))


class _Kept:
    """All answers of one chat, one file of lines "hash of the prompt, probability".

    Lines are appended whole, by one write each time, so processes may share the file; a line cut off by a crash or
    run into the next is not one and both are asked again.
    """

    def __init__(self, name: str, folder: Path | None) -> None:
        own = _key("\x1e".join([name, YES_NO, NUMBER]))
        self._path = (folder or default_folder()) / f"{own}.answers"
        self.answers: dict[str, float] = {}
        with contextlib.suppress(OSError):
            lines = self._path.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
            self.answers = {line[1]: float(line[2]) for line in map(_LINE.fullmatch, lines) if line}

    def add(self, answers: Mapping[str, float]) -> None:
        """Append; where nothing can be written nothing is kept."""
        lines = "".join(f"{_key(prompt)} {float(said)!r}\n" for prompt, said in answers.items())
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                file.write(lines.encode("ascii"))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:40]
