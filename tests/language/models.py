"""Tiny transformers models with random weights, written into folders as real ones lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

WORDS = "<unk> <end> <cls> red lipstick electric drill yes No ▁yes".split()


def tokenizer(folder: Path, words: list[str] | None = None, first: bool = False, **options: Any) -> None:
    """Words between spaces; a first token <cls> if asked."""
    import tokenizers
    import transformers
    from tokenizers.processors import TemplateProcessing

    raw = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(words or WORDS)}, unk_token="<unk>")
    )
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if first:
        raw.post_processor = TemplateProcessing(single="<cls> $A", special_tokens=[("<cls>", 2)])
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", pad_token="<end>", **options)
    made.save_pretrained(folder)


def saved(folder: Path, model: Any, config: Any) -> Any:
    """The model, with random weights that are the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = model(config).eval()
    made.save_pretrained(folder)
    return made


def bert(folder: Path) -> Any:
    """A BERT of 8 numbers."""
    import transformers

    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    )
    tokenizer(folder, first=True)
    return saved(folder, transformers.BertModel, config)


def sentence_files(folder: Path, pooling: dict[str, Any], *more: str, **reading: Any) -> None:
    """The files of sentence-transformers 2 beside a model."""
    kinds = ["Transformer", "Pooling", *more]
    modules = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"sentence_transformers.models.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 8, **pooling}))
    if reading:
        (folder / "sentence_bert_config.json").write_text(json.dumps(reading))
