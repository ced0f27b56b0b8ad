"""Vectors of texts kept on disk by content, so that refits and repeated audits do not encode again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..datasets.log import Float32
from .encoder import PROBE, RemoteEncoder, TextEncoder
from .opening import open_encoder

BLOCK = 256  # texts a file; a killed run loses one block at most; of a remote encoder, one request


class CachedEncoder:
    """An encoder before which a folder of finished blocks stands."""

    def __init__(self, encoder: TextEncoder, folder: Path | None = None) -> None:
        """Use a folder, by default `recaudit/text` below the user's cache directory."""
        self._encoder = encoder
        self._remote = encoder if isinstance(encoder, RemoteEncoder) else None
        self._folder = folder or default_folder()
        self.id = encoder.id

    @property
    def width(self) -> int:
        """D."""
        if self._remote is not None and self._remote.known_width is None:
            self.encode([PROBE])  # through the folder, so that it is sent once
        return self._encoder.width

    def encode(self, texts: Sequence[str]) -> Float32:
        """See TextEncoder. A damaged file is made again; where nothing can be written nothing is kept."""
        size = BLOCK if self._remote is None else self._remote.batch
        blocks = [texts[first : first + size] for first in range(0, len(texts), size)]
        if self._remote is not None:
            self._remote.announce([text for block in blocks if self._kept(block) is None for text in block])
        parts = [self._block(block) for block in blocks]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)

    def _path(self, texts: Sequence[str]) -> Path:
        content = "\x1e".join([self.id, *(text.replace("\x1e", " ") for text in texts)])
        return self._folder / f"{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:40]}.npy"

    def _kept(self, texts: Sequence[str]) -> Float32 | None:
        width = self._encoder.width if self._remote is None else self._remote.known_width
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept: Float32 = np.load(self._path(texts), allow_pickle=False)
            if kept.dtype == np.float32 and kept.ndim == 2 and kept.shape == (len(texts), width or kept.shape[1]):
                if self._remote is not None:
                    self._remote.known_width = kept.shape[1]
                return kept
        return None

    def _block(self, texts: Sequence[str]) -> Float32:
        kept = self._kept(texts)
        if kept is not None:
            return kept
        vectors = self._encoder.encode(texts)
        path = self._path(texts)
        with contextlib.suppress(OSError):  # a full or read-only disk costs time, not the run
            self._folder.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            np.save(buffer, vectors, allow_pickle=False)
            part = path.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(buffer.getvalue())
            part.replace(path)
        return vectors


def open_cached(name: str) -> TextEncoder:
    """An encoder by name (see `open_encoder`), with the folder before it unless it is faster than a disk."""
    encoder = open_encoder(name)
    return encoder if name == "static" else CachedEncoder(encoder)


def default_folder() -> Path:
    """Where vectors and answers are kept: `recaudit/text` below the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recaudit" / "text"
