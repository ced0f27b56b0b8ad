"""Texts by a transformer: the mean of its last hidden states, from a folder on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets.errors import InputError
from ..datasets.log import Float32
from .encoder import sha256, unit

SENTENCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights of all-MiniLM-L6-v2 that were tested."""

_TOKENS = 256  # tokens of a text that are read
_BATCH = 64


class SentenceEncoder:
    """A transformers model: sentence encoders and causal language models alike, weights as safetensors only.

    Reference: Reimers, Gurevych 2019, Sentence-BERT, EMNLP, mean pooling; hidden states of a causal model as item
    vectors: Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723.
    """

    def __init__(self, folder: Path, expected: str | None = None) -> None:
        """Open the folder; nothing is downloaded, no code of it runs, pickled weights are refused.

        Args:
            folder: config.json, tokenizer files, *.safetensors.
            expected: SHA-256 that the weights must have.

        Raises:
            InputError: transformers is not installed, the weights are others, or the folder holds no such model.
        """
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError:
            raise InputError("text encoders need transformers: pip install 'recaudit[text]'") from None
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise InputError(f"{folder}: no *.safetensors; other weights can run code and are not opened")
        digests = [sha256(path) for path in weights]
        if expected is not None and digests != [expected]:
            raise InputError(f"{weights[0]}: not the weights tested here; name the folder to use them anyway")
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
            self._model = AutoModel.from_pretrained(str(folder), use_safetensors=True, **options).eval().float()
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{folder}: no model that transformers can open: {error}") from None
        if self._tokenizer.pad_token is None:  # causal models have none; padding is masked in any case
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.width = int(self._model.config.hidden_size)
        self.id = f"{folder.name} {' '.join(digest[:16] for digest in digests)}"

    def encode(self, texts: Sequence[str]) -> Float32:
        """See TextEncoder; texts of like length are read together."""
        found = np.zeros((len(texts), self.width), np.float32)
        order = sorted((row for row, text in enumerate(texts) if text), key=lambda row: len(texts[row]))
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            inputs = self._tokenizer(
                [texts[row] for row in rows], padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt"
            )
            with torch.no_grad():
                hidden = self._model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None].to(hidden.dtype)
            found[rows] = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).numpy()
        return unit(found)
