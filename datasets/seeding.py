"""Random streams from (seed, key): what one probe draws never shifts another's numbers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *key: str | int) -> int:
    """A 63-bit seed from a run seed and a key; independent of the order in which streams are asked for.

    Args:
        seed: the run seed.
        key: what the stream is for, for example ``("craft", "bandwagon", 17)``.
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in key)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def rng(seed: int, *key: str | int) -> np.random.Generator:
    """A numpy generator for (seed, key)."""
    return np.random.default_rng(derive(seed, *key))


def torch_rng(seed: int, *key: str | int) -> torch.Generator:
    """A torch CPU generator for (seed, key)."""
    import torch

    return torch.Generator().manual_seed(derive(seed, *key))
