"""What texts tell of an account: the mean of its items' vectors, a prompt about it, or what stands for them."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..datasets.log import Float32, Int64, InteractionLog
from ..language.cache import open_cached
from ..language.chat import account_prompt
from ..language.encoder import unit
from ..language.texts import item_texts
from .histories import Histories

Arm = Literal["real", "permuted", "random-items", "none"]
"""Texts as they are; texts of accounts permuted; random vectors for the items' texts; no texts at all."""
Reading = Literal["mean", "prompt"]
"""The mean of the vectors of an account's items; the vector of a prompt that tells its titles and asks for fraud."""
READINGS = (
    "of accounts: mean, of the vectors of their items' texts; prompt, the encoder's vector of a prompt with the "
    "account's titles and the question how likely it is a fraudster, as LoRec has it (a prompt an account)"
)


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


def said(vectors: Float32) -> NDArray[np.bool_]:
    """Which items have a text, bool [I]. Shapes: vectors float32 [I, D], 0 for no text."""
    found: NDArray[np.bool_] = (vectors != 0).any(axis=1)
    return found


def swapped(known: NDArray[np.bool_], rng: np.random.Generator) -> Int64:
    """Whose text each item gets where texts are permuted over items, int64 [I]; items without text keep none.

    Shapes: known bool [I], which items have a text.
    """
    some, place = np.flatnonzero(known), np.arange(len(known))
    place[some] = rng.permutation(some)
    return place


def account_vectors(histories: Histories, items: Float32, arm: Arm, rng: np.random.Generator) -> Float32:
    """The mean vector of the items of each history, scaled so that its entries are about 1: float32 [N, D].

    All of an account's items are read, not its last ones alone. Under `permuted` histories get each other's vectors,
    those of simulated fraudsters included.
    """
    total = (histories.matrix(len(items)) @ items).astype(np.float32)
    # a summary network with weights of the usual size sees nothing in vectors of length 1
    found: Float32 = unit(total) * np.float32(np.sqrt(items.shape[1]))
    return found[rng.permutation(len(found))] if arm == "permuted" else found


def readings(
    log: InteractionLog,
    histories: Histories,
    arm: Arm,
    encoder: str,
    reading: Reading,
    rng: np.random.Generator,
    *,
    repeats: bool = True,
) -> Float32 | None:
    """What an encoder makes of each history, float32 [N, D] with entries of about 1; None without texts.

    Random vectors stand for items alone: of them the mean is taken whatever the reading.

    Args:
        log: for the texts.
        histories: N.
        arm: what stands for the texts.
        encoder: by name.
        reading: of a history.
        rng: of random vectors and permutations.
        repeats: whether an item counts as often as the history has it. LoRec holds the vector to a summary of the same
            history, repeats included; judged by the vector alone an account that repeats one item would read as it.

    Raises:
        DataError: the items have no text, and the arm reads them.
        InputError: there is no such encoder.

    Reference: Zhang et al. 2024, LoRec, SIGIR, arXiv 2401.17723, the LLM4Dec representation (hidden states of a
        causal model over a prompt; here of any encoder, which may cut long prompts).
    """
    histories = histories if repeats else distinct(histories)
    if reading == "mean" or arm in ("random-items", "none"):
        items = item_vectors(log, arm, encoder, rng)
        return None if items is None else account_vectors(histories, items, arm, rng)
    vectors = open_cached(encoder).encode(prompts(log, histories))
    found: Float32 = unit(vectors) * np.float32(np.sqrt(vectors.shape[1]))
    return found[rng.permutation(len(found))] if arm == "permuted" else found


def distinct(histories: Histories) -> Histories:
    """Each different item of a history once, where it stands first."""
    row = np.repeat(np.arange(len(histories)), histories.length)
    before = np.cumsum(histories.length) - histories.length
    items = histories.items[np.arange(len(row)) + np.repeat(histories.start - before, histories.length)]
    _, first = np.unique(row * (int(items.max(initial=0)) + 1) + items, return_index=True)
    first.sort()
    length = np.bincount(row[first], minlength=len(histories))
    return Histories(items[first], np.cumsum(length) - length, length)


def prompts(log: InteractionLog, histories: Histories, scenario: str = "product") -> list[str]:
    """A prompt for each history, with the titles of its items in order; `scenario` is what is recommended.

    Without times the order means nothing, and a file's own would tell genuine accounts from others: they stand by item.
    """
    titles = np.array(item_texts(log, ("title",)), object)
    own = (
        histories.items[start : start + length]
        for start, length in zip(histories.start.tolist(), histories.length.tolist(), strict=True)
    )
    return [account_prompt(scenario, titles[np.sort(items) if log.time is None else items].tolist()) for items in own]
