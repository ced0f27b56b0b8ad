"""A transformers model in a folder: what of it is opened, and the hashes that name it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..datasets.errors import InputError
from .encoder import sha256

_FORM = (
    *("config.json", "tokenizer*", "vocab*", "merges.txt", "*.model", "added_tokens.json", "special_tokens_map.json"),
    *("chat_template*", "modules.json", "*/config.json", "sentence_bert_config.json"),
)
"""Files beside the weights that change what a model makes of a text."""


def weights(folder: Path, *, gguf: bool = False) -> list[Path]:
    """The files of weights, *.safetensors, in order; with `gguf` else the only *.gguf.

    Raises:
        InputError: there are none.
    """
    found = sorted(folder.glob("*.safetensors"))
    if not found and gguf:
        found = sorted(folder.glob("*.gguf"))
        if len(found) > 1:
            raise InputError(f"{folder}: {len(found)} files *.gguf; leave one in a folder of its own")
    if not found:
        raise InputError(f"{folder}: no *.safetensors; other weights can run code and are not opened")
    return found


def named(folder: Path, digests: list[str]) -> str:
    """An id: the folder's name, hashes of its weights, and one hash of every other file that matters."""
    form = hashlib.sha256()
    for path in sorted({path for pattern in _FORM for path in folder.glob(pattern) if path.is_file()}):
        form.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return f"{folder.name} {' '.join(digest[:16] for digest in digests)} {form.hexdigest()[:16]}"


def opened(folder: Path, *, causal: bool = False) -> tuple[Any, Any]:
    """Tokenizer and model (float32, not in training); of an encoder-decoder the encoder alone.

    Nothing is downloaded, no code of the folder runs, pickled weights are refused.

    Args:
        folder: config.json, tokenizer files, *.safetensors, or if causal one *.gguf that holds all three.
        causal: with the head for the next token.

    Raises:
        InputError: transformers is not installed, the folder holds no such model, or weights are missing.
    """
    try:
        from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForTextEncoding, AutoTokenizer
        from transformers.models.auto.modeling_auto import MODEL_FOR_TEXT_ENCODING_MAPPING
    except ImportError:
        raise InputError("models of texts need transformers: pip install 'recaudit[text]'") from None
    first = weights(folder, gguf=causal)[0]
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    if first.suffix == ".gguf":
        options["gguf_file"] = first.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **options)
        kind: Any = AutoModelForCausalLM
        if not causal:  # where there is a class of the encoder alone, folders may hold no more than that
            config = AutoConfig.from_pretrained(str(folder), **options)
            kind = AutoModelForTextEncoding if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else AutoModel
        options |= {"use_safetensors": True} if first.suffix != ".gguf" else {}
        model, told = kind.from_pretrained(str(folder), dtype="float32", output_loading_info=True, **options)
    except Exception as error:  # of damaged files transformers, tokenizers and safetensors raise whatever they meet
        raise InputError(f"{folder}: no model that transformers can open: {error}") from None
    # transformers fills missing weights at random; a pooler is not used here
    missing = sorted(name for name in told["missing_keys"] if "pooler." not in name)
    if missing:
        raise InputError(f"{folder}: {len(missing)} weights are missing, {missing[0]} first; give the whole model")
    if not causal and model.config.is_encoder_decoder:
        model = model.get_encoder()
    return tokenizer, model.eval()
