"""Texts by a transformer: its hidden states after one layer as one vector, from a folder on disk."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..datasets.errors import InputError
from ..datasets.log import Float32
from .encoder import sha256, unit
from .folder import named, opened, weights
from .pooling import form_of

SENTENCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of the weights of all-MiniLM-L6-v2 that were tested."""

_TOKENS = 256  # tokens of a text that are read, at most
_BATCH = 64


class SentenceEncoder:
    """A transformers model: sentence encoders and causal language models alike, weights as safetensors only.

    The mean of the states of all tokens, unless the folder is one of sentence-transformers and says the first token's
    (`form_of`). Of an encoder-decoder the encoder.

    Reference: Reimers, Gurevych 2019, Sentence-BERT, EMNLP, pooling; hidden states of a causal model as item vectors:
    Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723.
    """

    def __init__(self, folder: Path, expected: str | None = None, layer: int = -1) -> None:
        """Open the folder; nothing is downloaded, no code of it runs, pickled weights are refused.

        Args:
            folder: config.json, tokenizer files, *.safetensors.
            expected: SHA-256 that the weights must have.
            layer: whose states are read: 0 the embeddings, 1 the first layer, -1 the last (with the final norm,
                as the model gives it).

        Raises:
            InputError: transformers is not installed, the weights are others or not all there, the folder holds no
                such model or layer, or it is one of sentence-transformers with modules that are not read here.
        """
        files = weights(folder)
        digests = [sha256(path) for path in files]
        if expected is not None and digests != [expected]:
            raise InputError(f"{files[0]}: not the weights tested here; name the folder to use them anyway")
        self._form = form_of(folder)
        self._tokenizer, self._model = opened(folder)
        if self._tokenizer.pad_token is None:  # causal models have none; padding is masked in any case
            self._tokenizer.pad_token = self._tokenizer.eos_token or self._tokenizer.convert_ids_to_tokens(0)
        # many causal models pad on the left, which shifts the positions of a text by what its neighbours are
        self._tokenizer.padding_side = "right"
        self._tokens = min(_TOKENS, self._form.tokens or _TOKENS, self._tokenizer.model_max_length)
        self._taken = set(inspect.signature(self._model.forward).parameters)
        self.width = int(self._model.config.hidden_size)
        self.id = f"{named(folder, digests)} {self._form.pool} {self._tokens}"
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
                [texts[row].lower() if self._form.lower else texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=self._tokens,
                return_tensors="pt",
            )
            taken = {name: value for name, value in inputs.items() if name in self._taken}
            with torch.no_grad():
                output = self._model(**taken, output_hidden_states=self._layer is not None)
            hidden = output.last_hidden_state if self._layer is None else output.hidden_states[self._layer]
            if self._form.pool == "cls":
                found[rows] = hidden[:, 0].numpy()
                continue
            mask = inputs["attention_mask"][..., None].to(hidden.dtype)
            found[rows] = ((hidden * mask).sum(1) / mask.sum(1).clamp(min=1)).numpy()
        return unit(found)
