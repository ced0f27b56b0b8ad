"""What the tests of the sequence models share: a log with a planted chain, and small models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.split import Split, leave_last_out
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.sequential import SequentialModel

KINDS = ("sasrec", "sasrec-left", "gru4rec", "fmlp-rec")

_OWN: dict[str, dict[str, Any]] = {
    "sasrec": {"heads": 2}, "sasrec-left": {"heads": 2}, "gru4rec": {"hidden": 24}, "fmlp-rec": {"inner": 2}
}  # fmt: skip


def small_model(kind: str, **fields: Any) -> SequentialModel:
    """An unfitted small model of this kind."""
    fields = {"dim": 16, "max_length": 8, "batch_tokens": 64, "learning_rate": 1e-2} | fields
    model = build(Recipe(kind, _OWN[kind] | fields))
    assert isinstance(model, SequentialModel)
    return model


def log_of(sequences: Sequence[Sequence[int]], n_items: int) -> InteractionLog:
    """A log of these sequences, one a user, timed by position; the events of all users are interleaved."""
    rows = [(place, user, item) for user, row in enumerate(sequences) for place, item in enumerate(row)]
    time, user, item = np.array(sorted(rows), np.int64).reshape(-1, 3).T
    return InteractionLog(
        user.astype(np.int32),
        item.astype(np.int32),
        np.array([f"u{n}" for n in range(len(sequences))]),
        np.array([f"i{n}" for n in range(n_items)]),
        time=time,
    )


def chain(seed: int = 0, n_users: int = 150, n_items: int = 30, faith: float = 0.9) -> InteractionLog:
    """Users who go on to the next item of one hidden cycle with probability `faith`, else anywhere; 6 to 14 steps."""
    rng = np.random.default_rng(seed)
    cycle = rng.permutation(n_items)
    place_of = np.argsort(cycle)
    sequences = []
    for _ in range(n_users):
        row = [int(rng.integers(n_items))]
        for _ in range(int(rng.integers(6, 14))):
            stays = rng.random() < faith
            row.append(int(cycle[(place_of[row[-1]] + 1) % n_items] if stays else rng.integers(n_items)))
        sequences.append(row)
    return log_of(sequences, n_items)


def chain_split(seed: int = 0) -> Split:
    """Its leave-last-out split."""
    return leave_last_out(chain(seed))
