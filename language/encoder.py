"""What an encoder of texts is."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from ..datasets.log import Float32

CHOICES = "of texts: static, sentence, a folder with a transformers model, or endpoint:MODEL@https://HOST/v1"
"""What a setting that names an encoder is described by."""

ENDPOINT = "endpoint:"
"""Begins the name of an encoder on a server, see `language.endpoint`."""

PROBE = "width"
"""A text sent to learn how long vectors are, where nothing else was."""


class TextEncoder(Protocol):
    """Texts to vectors; deterministic, and no text changes another's vector.

    Attributes:
        id: name and hash of the weights; vectors of equal ids and texts are equal.
    """

    id: str

    @property
    def width(self) -> int:
        """D."""
        ...

    def encode(self, texts: Sequence[str]) -> Float32:
        """Vectors of length 1, float32 [n, D]; an empty text gives zeros."""
        ...


class RemoteEncoder(ABC):
    """An encoder to which texts must travel: they are announced before they do, and go a batch at a time.

    Attributes:
        id: as in TextEncoder.
        batch: texts a request.
        known_width: D once vectors were seen or were found kept; every later one must have it.
    """

    id: str
    batch: int
    known_width: int | None

    @property
    def width(self) -> int:
        """D; one word is sent if nothing else has shown it."""
        return self.encode([PROBE]).shape[1] if self.known_width is None else self.known_width

    @abstractmethod
    def announce(self, texts: Sequence[str]) -> None:
        """State what is about to be sent.

        Raises:
            InputError: sending was not allowed.
        """

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Float32:
        """As in TextEncoder."""


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unit(vectors: Float32) -> Float32:
    """Rows scaled to length 1, rows of zeros as they are: float32 [n, D]."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32 = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    return scaled
