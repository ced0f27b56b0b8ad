"""Texts as the mean of fixed token vectors: thousands of texts a second, and words alone count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from ..datasets.errors import InputError
from ..datasets.log import Float32
from .encoder import sha256, unit

_WEIGHTS, _TOKENS = "weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"
_BLOCK = 4096  # texts at a time


class StaticEncoder:
    """Token vectors distilled from language models, shipped inside the package wordllama (MIT).

    Reference: Miller 2024, WordLlama: Recycled Token Embeddings from Large Language Models, github.com/dleemiller.
    """

    def __init__(self, folder: Path) -> None:
        """Read tokenizer and vectors from the package's folder.

        Raises:
            InputError: the package holds other files than expected.
        """
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(folder / _TOKENS))
            tensors = load_file(folder / _WEIGHTS)
            (self._vectors,) = (tensor.astype(np.float32) for tensor in tensors.values())
        except Exception as error:  # tokenizers raises bare Exception
            raise InputError(f"{folder}: not the files of wordllama 0.4 ({error}); install that version") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.width = self._vectors.shape[1]
        self.id = f"wordllama {sha256(folder / _WEIGHTS)[:16]}"

    def encode(self, texts: Sequence[str]) -> Float32:
        """See TextEncoder."""
        found = np.zeros((len(texts), self.width), np.float32)
        for first in range(0, len(texts), _BLOCK):
            encodings = self._tokenizer.encode_batch(list(texts[first : first + _BLOCK]), add_special_tokens=False)
            for row, encoding in enumerate(encodings, first):
                if encoding.ids:
                    found[row] = self._vectors[encoding.ids].mean(axis=0)
        return unit(found)
