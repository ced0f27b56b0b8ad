"""A verification from checkpoint to verdict: references are kept, given retrains are used, sizes must agree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recaudit.audit.store import Store
from recaudit.datasets.errors import InputError
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, fit
from recaudit.recommenders.target import Target
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request
from recaudit.unlearn.verification import as_json, verify

from .conformance import small_log

RECIPE = Recipe("ials", {"dim": 24, "regularisation": 0.003})


@pytest.fixture(scope="module")
def target() -> Target:
    log = small_log(users=150, items=80, events=3_000)
    rows = np.random.default_rng(0).permutation(len(log))
    split = Split(*(log.take(np.sort(part)) for part in np.split(rows, [2_400, 2_700])), "by hand")
    return Target("t", fit(RECIPE, split.train, 0), RECIPE, split, 0, "print", {})


def test_nothing_done_is_found_and_references_are_kept(target: Target, tmp_path: Path) -> None:
    request = draw(target.split.train, "part-of-users", 300, 0)
    store = Store(tmp_path)
    found = verify(target, target.model, request, store, retrains=4, refits=2, jobs=1)
    assert found.outcome == "not honoured"
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(kept) == 2 * (4 + 2)
    again = verify(target, target.model, request, store, retrains=4, refits=2, jobs=1)
    assert as_json(again) == as_json(found)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept


def test_given_retrains_are_used(target: Target, tmp_path: Path) -> None:
    request = draw(target.split.train, "part-of-users", 300, 0)
    left = request.retained(target.split.train)
    *given, own = (fit(RECIPE, left, seed) for seed in range(50, 56))
    found = verify(target, own, request, Store(tmp_path), given=given, refits=2, jobs=1)
    assert found.statistics[0].retrains == 5
    assert found.outcome != "not honoured"
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_answer_is_the_contracts_and_plain_json(target: Target, tmp_path: Path) -> None:
    request = draw(target.split.train, "part-of-users", 300, 0)
    answer = as_json(verify(target, target.model, request, Store(tmp_path), retrains=2, refits=2, jobs=1))
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert set(answer) >= {"verdict", "statistics", "limits", "reason"}
    for own in answer["statistics"]:
        assert {"name", "value", "reference", "interval", "rho", "rho_interval", "power"} <= set(own)


def test_other_sizes_and_too_few_references(target: Target, tmp_path: Path) -> None:
    request = draw(target.split.train, "part-of-users", 300, 0)
    log = small_log()
    with pytest.raises(InputError, match="60 users"):
        verify(target, fit(RECIPE, log, 0), request, Store(tmp_path))
    with pytest.raises(InputError, match="at least 2"):
        verify(target, target.model, request, Store(tmp_path), retrains=1)


def test_a_row_that_was_left_is_found(target: Target, tmp_path: Path) -> None:
    """A clean retrain into which the deleted users' old rows are put back: the items alone would pass."""
    request = Request.of(target.split.train, "users", users=np.arange(40))
    clean = fit(RECIPE, request.retained(target.split.train), 70)
    store = Store(tmp_path)
    assert verify(target, clean, request, store, retrains=4, refits=2, jobs=1).outcome != "not honoured"
    state = {name: tensor.clone() for name, tensor in clean.state().items()}
    state["user_vectors"][:40] = target.model.state()["user_vectors"][:40]
    kept = build(RECIPE)
    kept.load(state, clean.n_users, clean.n_items)
    found = verify(target, kept, request, store, retrains=4, refits=2, jobs=1)
    assert found.outcome == "not honoured"
    assert found.reason.startswith("40 rows of deleted users")
