"""U-LiRA from a target to its shadows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recaudit.audit.store import Store
from recaudit.datasets.errors import InputError
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build
from recaudit.recommenders.target import Target
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.shadow import Shadows, shadows
from recaudit.unlearn.verify.lira import lira

from .conformance import small_log

LOG = small_log(users=80, items=60, events=1_600)
IALS = Recipe("ials", {"dim": 16, "regularisation": 0.003, "sweeps": 6})
GRU = Recipe("gru4rec", {"dim": 8, "batch_tokens": 256, "dropout": 0.0, "learning_rate": 0.02}, 30)


def target(recipe: Recipe = IALS) -> Target:
    rows = np.random.default_rng(0).permutation(len(LOG))
    parts = [LOG.take(np.sort(part)) for part in np.split(rows, [1_200, 1_400])]
    return Target("t", build(recipe), recipe, Split(*parts, "by hand"), 0, "print", {})


def made(folder: Path, method: str, kind: str = "part-of-users", count: int = 4, own: Target | None = None) -> Shadows:
    own = own or target()
    request = draw(own.split.train, kind, 150, 0)  # type: ignore[arg-type]
    settings = {"shards": 2} if method == "sisa" else None
    return shadows(own, method, request, Store(folder), count, settings=settings, jobs=1)


@pytest.mark.parametrize("method", ["do-nothing", "rows-only"])
def test_what_is_left_is_found(method: str, tmp_path: Path) -> None:
    found = made(tmp_path, method)
    judged = lira(found.unlearned, found.never)
    assert judged.auc > 0.7
    assert judged.interval[0] > 0.5
    assert judged.tpr_interval[0] > 0.02


@pytest.mark.parametrize("kind", ["part-of-users", "users"])
def test_a_retrain_cannot_be_told(kind: str, tmp_path: Path) -> None:
    found = made(tmp_path, "retrain", kind, 6)
    low, high = lira(found.unlearned, found.never).interval
    assert low <= 0.5 <= high
    if kind == "users":
        assert found.retained_never.shape == (6, 0)
    else:
        low, high = lira(found.retained_unlearned, found.retained_never).interval
        assert low <= 0.5 <= high


def test_whole_users_are_found_by_what_the_items_learnt(tmp_path: Path) -> None:
    found = made(tmp_path, "do-nothing", "users", 6)
    assert lira(found.unlearned, found.never).interval[0] > 0.5


def test_sequences_are_asked_at_the_place(tmp_path: Path) -> None:
    found = made(tmp_path / "a", "do-nothing", own=target(GRU))
    assert lira(found.unlearned, found.never).interval[0] > 0.5
    clean = made(tmp_path / "b", "retrain", own=target(GRU))
    low, high = lira(clean.unlearned, clean.never).interval
    assert low <= 0.5 <= high


def test_shadows_are_kept_and_the_same_again(tmp_path: Path) -> None:
    found = made(tmp_path, "do-nothing", count=3)
    assert found.retained_never.shape[0] == found.unlearned.shape[0] == 3
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = made(tmp_path, "do-nothing", count=3)
    np.testing.assert_array_equal(again.unlearned, found.unlearned)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_an_ensemble_is_compared_with_ensembles(tmp_path: Path) -> None:
    own = target(Recipe("ials", {"dim": 8, "sweeps": 2}))
    found = made(tmp_path, "sisa", count=6, own=own)
    low, high = lira(found.unlearned, found.never).interval
    assert low <= 0.5 <= high


def test_an_unlearner_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rows-only cannot be used"):
        made(tmp_path, "rows-only", own=target(Recipe("ease", {})))
