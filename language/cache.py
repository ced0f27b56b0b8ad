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
from .encoder import TextEncoder, open_encoder

BLOCK = 256  # texts a file; a killed run loses one block at most


class CachedEncoder:
    """An encoder before which a folder of finished blocks stands."""

    def __init__(self, encoder: TextEncoder, folder: Path | None = None) -> None:
        """Use a folder, by default `recaudit/text` below the user's cache directory."""
        self._encoder = encoder
        self._folder = folder or _default()
        self.id, self.width = encoder.id, encoder.width

    def encode(self, texts: Sequence[str]) -> Float32:
        """See TextEncoder. A damaged file is made again; where nothing can be written nothing is kept."""
        parts = [self._block(texts[first : first + BLOCK]) for first in range(0, len(texts), BLOCK)]
        return np.concatenate(parts) if parts else np.zeros((0, self.width), np.float32)

    def _block(self, texts: Sequence[str]) -> Float32:
        content = "\x1e".join([self.id, *(text.replace("\x1e", " ") for text in texts)])
        path = self._folder / f"{hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:40]}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept: Float32 = np.load(path, allow_pickle=False)
            if kept.shape == (len(texts), self.width) and kept.dtype == np.float32:
                return kept
        vectors = self._encoder.encode(texts)
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


def _default() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "recaudit" / "text"
