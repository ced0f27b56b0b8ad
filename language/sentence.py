"""Texts by a transformer: the mean of its hidden states after one layer, from a folder on disk."""

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

    def __init__(self, folder: Path, expected: str | None = None, layer: int = -1) -> None:
        """Open the folder; nothing is downloaded, no code of it runs, pickled weights are refused.

        Args:
            folder: config.json, tokenizer files, *.safetensors.
            expected: SHA-256 that the weights must have.
            layer: whose states are averaged: 0 the embeddings, 1 the first layer, -1 the last (with the final norm,
                as the model gives it).

        Raises:
            InputError: transformers is not installed, the weights are others, or the folder holds no such model or
                layer.
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
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.convert_ids_to_tokens(0)
        # many causal models pad on the left, which shifts the positions of a text by what its neighbours are
        self._tokenizer.padding_side = "right"
        self.width = int(self._model.config.hidden_size)
        self.id = f"{folder.name} {' '.join(digest[:16] for digest in digests)}"
        self._layer: int | None = None
        layers = int(getattr(self._model.config, "num_hidden_layers", 0))
        if layer not in (-1, layers):
            if not -layers - 1 <= layer < layers:
                raise InputError(f"{folder}: no layer {layer}; it has {layers}, 0 are the embeddings, -1 is the last")
            self._layer = layer % (layers + 1)
            self.id += f" layer {self._layer}"

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
                output = self._model(**inputs, output_hidden_states=self._layer is not None)
            hidden = output.last_hidden_state if self._layer is None else output.hidden_states[self._layer]
            mask = inputs["attention_mask"][..., None].to(hidden.dtype)
            found[rows] = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).numpy()
        return unit(found)
