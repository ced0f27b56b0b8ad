"""A small checkpoint with awkward ids, and what is asked of any."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.read import LoadedLog
from recaudit.datasets.split import Split, make_split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.checkpoint import open_checkpoint, save_checkpoint
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.target import Target

USERS, ITEMS = 23, 17
RECIPE = Recipe("mf", {"dim": 3}, epochs=2)


def small_log() -> InteractionLog:
    """Ratings with times, awkward ids and side tables."""
    draw = np.random.default_rng(5)
    user = np.repeat(np.arange(USERS, dtype=np.int32), 8)
    item = np.concatenate([draw.permutation(ITEMS)[:8] for _ in range(USERS)]).astype(np.int32)
    users = pd.DataFrame({"age": [str(n) for n in range(USERS)], "note": ["NA"] * USERS}, dtype=str)
    titles = ['Cat, "the"', "line\nbreak", "re\rturn", "日本語 🎬", " 007 ", "nan", "1e5"]
    items = pd.DataFrame({"title": [titles[n % 7] + str(n) for n in range(ITEMS)]}, dtype=str)
    ids = [f"{n:04d}" for n in range(ITEMS - 3)] + ["Ünïcode", "a,b", "\u202e"]
    return InteractionLog(
        user,
        item,
        np.array([f"u{n:03d}" for n in range(USERS)]),
        np.array(ids),
        draw.integers(1, 6, len(user)).astype(np.float32),
        draw.integers(10**9, 2 * 10**9, len(user)),
        users,
        items,
    )


def small_split() -> Split:
    return make_split(LoadedLog(small_log()), "leave-last-out")


def save(path: Path, split: Split, recipe: Recipe = RECIPE, **options: Any) -> Any:
    model = fit(recipe, split.train, 7)
    metrics = evaluate(model, split.test, split.history, cutoffs=(5, 20))
    save_checkpoint(path, model, recipe, split, 7, metrics, **options)
    return model


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(target: Target, other: Target) -> None:
    everyone = np.arange(USERS)
    assert target.fingerprint == other.fingerprint
    assert np.array_equal(
        target.model.scores(everyone, target.split.history), other.model.scores(everyone, other.split.history)
    )
    for part in ("train", "valid", "test"):
        assert getattr(target.split, part).fingerprint == getattr(other.split, part).fingerprint
    assert (target.recipe, target.seed, target.stored_metrics) == (other.recipe, other.seed, other.stored_metrics)


def refusal(path: Path, *arguments: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(path, *arguments)
    return str(caught.value)


@contextmanager
def bounded(most: int) -> Iterator[None]:
    """Python and numpy allocate no more than so many bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
