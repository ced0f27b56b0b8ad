"""What is known of an account from texts: the mean of the vectors of its items' texts, or what stands for it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..datasets.log import Float32, InteractionLog
from ..language.cache import open_cached
from ..language.encoder import unit
from ..language.texts import item_texts
from .histories import Histories

Arm = Literal["real", "permuted", "random-items", "none"]
"""Texts as they are; texts of accounts permuted; random vectors for the items' texts; no texts at all."""


def item_vectors(log: InteractionLog, arm: Arm, encoder: str, rng: np.random.Generator) -> Float32 | None:
    """A vector of length 1 for the text of every item, float32 [I, D], or a random one; None without texts.

    Raises:
        DataError: the items have no text, and the arm reads them.
        InputError: there is no such encoder.
    """
    if arm == "none":
        return None
    if arm == "random-items":
        return unit(rng.standard_normal((log.n_items, open_cached(encoder).width)).astype(np.float32))
    return open_cached(encoder).encode(item_texts(log))


def account_vectors(histories: Histories, items: Float32, arm: Arm, rng: np.random.Generator) -> Float32:
    """The mean vector of the items of each history, scaled so that its entries are about 1: float32 [N, D].

    All of an account's items are read, not its last ones alone. Under `permuted` histories get each other's vectors,
    those of simulated fraudsters included.
    """
    total = (histories.matrix(len(items)) @ items).astype(np.float32)
    # a summary network with weights of the usual size sees nothing in vectors of length 1
    found: Float32 = unit(total) * np.float32(np.sqrt(items.shape[1]))
    return found[rng.permutation(len(found))] if arm == "permuted" else found
