"""A verification from checkpoint to verdict: references are kept, given retrains are used, sizes must agree."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recaudit.audit.store import Store
from recaudit.datasets.errors import InputError
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, fit
from recaudit.recommenders.target import Target
from recaudit.unlearn.drawing import draw
from recaudit.unlearn.request import Request
from recaudit.unlearn.verification import as_json, verify
from recaudit.unlearn.verify.verdict import Verdict

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


def test_given_retrains_are_used_beside_four_of_our_own(target: Target, tmp_path: Path) -> None:
    request = draw(target.split.train, "part-of-users", 300, 0)
    left = request.retained(target.split.train)
    *given, own = (fit(RECIPE, left, seed) for seed in range(50, 54))
    found = verify(target, own, request, Store(tmp_path), given=given, refits=2, jobs=1)
    assert found.statistics[0].retrains == 4 + 3
    assert found.outcome != "not honoured"
    assert len(list(tmp_path.glob("*.json"))) == 4 + 2


def test_given_retrains_that_were_trained_on_the_request_are_refused(target: Target, tmp_path: Path) -> None:
    """With more regularisation they remember less than the checkpoint, and would make it look like a retrain."""
    request = draw(target.split.train, "part-of-users", 300, 0)
    other = Recipe("ials", RECIPE.config | {"regularisation": 0.01})
    given = [fit(other, target.split.train, seed) for seed in range(50, 55)]
    with pytest.raises(InputError, match="no retrains by this recipe"):
        verify(target, target.model, request, Store(tmp_path), given=given, refits=2, jobs=1)


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


def test_rows_that_hardly_changed_and_rows_made_from_what_was_forgotten(target: Target, tmp_path: Path) -> None:
    log = target.split.train
    request = Request.of(log, "users", users=np.arange(40))
    clean = fit(RECIPE, request.retained(log), 70).state()

    def judged(rows: torch.Tensor) -> Verdict:
        model = build(RECIPE)
        users = clean["user_vectors"].clone()
        users[:40] = rows
        model.load(dict(clean) | {"user_vectors": users}, log.n_users, log.n_items)
        return verify(target, model, request, Store(tmp_path), retrains=4, refits=2, jobs=1)

    near = judged(target.model.state()["user_vectors"][:40] * (1 + 1e-6))
    assert near.reason.startswith("40 rows of deleted users")
    made = judged(torch.from_numpy(log.matrix()[:40] @ clean["item_vectors"].numpy()))
    assert made.outcome == "not honoured"
    assert "by the rows kept of them" in made.reason
    assert made.rows_left == 0


def test_models_that_read_rows_cannot_be_shown_to_have_forgotten_users(target: Target, tmp_path: Path) -> None:
    """New rows for deleted users, items that still hold what they did: it looks like a retrain."""
    recipe = Recipe("ncf", {"dim": 8, "depth": 2, "max_epochs": 4}, 4)
    log = target.split.train
    victim = replace(target, model=fit(recipe, log, 0), recipe=recipe)
    request = Request.of(log, "users", users=np.arange(40))
    fresh = fit(recipe, request.retained(log), 99, epochs=0).state()
    state = {name: tensor.clone() for name, tensor in victim.model.state().items()}
    state["user"][:40] = fresh["user"][:40]
    rows = build(recipe)
    rows.load(state, log.n_users, log.n_items)
    retrain = fit(recipe, request.retained(log), 5)
    for model, why in ((retrain, ""), (rows, "nothing but rows of users has changed")):
        found = verify(victim, model, request, Store(tmp_path), retrains=2, refits=2, jobs=1)
        assert found.outcome == "inconclusive"
        assert "cannot be asked by a history alone" in found.reason
        assert why in found.hindrance
