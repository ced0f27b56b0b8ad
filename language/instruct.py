"""A chat by an instruct model in a folder: nothing leaves the machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..datasets.errors import InputError
from .chat import YES_NO, word_of, yes_share
from .encoder import sha256
from .folder import named, opened, weights

_LEAST = 0.05
"""Of the next token's probability that yes and no must hold together: less than an endpoint's, of which only the
likeliest tokens are known, since small models open with other words and here the two are known exactly."""


class FolderChat:
    """The next token of a causal model after the question, by its tokenizer's chat template if it has one."""

    def __init__(self, folder: Path) -> None:
        """Hash the folder; the model is opened when the first prompt is asked.

        Args:
            folder: as `SentenceEncoder` opens it, or with one *.gguf instead, for which transformers needs the
                packages gguf and accelerate.

        Raises:
            InputError: there are no such weights.
        """
        self._folder = folder
        self.id = f"chat {named(folder, [sha256(path) for path in weights(folder, gguf=True)])}"

    def announce(self, prompts: Sequence[str]) -> None:
        """See Chat; nothing is sent."""

    def probability(self, prompt: str) -> float:
        """See Chat; NaN too if the prompt is longer than the model reads.

        Raises:
            InputError: the folder holds no causal model that transformers can open.
        """
        tokenizer, model = self._opened
        text = f"{prompt}\n{YES_NO}"
        if tokenizer.chat_template:
            text = tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False
            )
        # a template writes the marks of its beginning itself
        read = tokenizer(text, return_tensors="pt", add_special_tokens=not tokenizer.chat_template)["input_ids"]
        if read.shape[1] > (getattr(model.config, "max_position_embeddings", None) or read.shape[1]):
            return float("nan")
        with torch.no_grad():
            logits = model(input_ids=read, attention_mask=torch.ones_like(read)).logits[0, -1]
        chances = torch.log_softmax(logits.double(), -1)
        return yes_share([(word, float(chances[token])) for token, word in self._words], _LEAST)

    @cached_property
    def _opened(self) -> tuple[Any, Any]:
        return opened(self._folder, causal=True)

    @cached_property
    def _words(self) -> list[tuple[int, str]]:
        """Every token that says yes or no."""
        tokenizer, model = self._opened
        tokens = range(min(len(tokenizer), model.config.vocab_size))
        words = [(token, word_of(tokenizer.decode([token]))) for token in tokens]
        found = [(token, word) for token, word in words if word in ("yes", "no")]
        if {word for _, word in found} != {"yes", "no"}:
            raise InputError(f"{self._folder}: no token of this model says yes or none says no; name another model")
        return found
