"""What every unlearner gives back, and what none may read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.base import Recipe
from recaudit.unlearn.base import Served
from recaudit.unlearn.catalogue import build
from recaudit.unlearn.request import Request

from .conformance import requests, served, small_log

LOG = small_log()
HELD = np.random.default_rng(2).random(len(LOG)) < 0.3
MF, GRU = Recipe("mf", {"dim": 4, "max_epochs": 3}, 3), Recipe("gru4rec", {"dim": 4, "max_epochs": 2}, 2)
LIGHT = Recipe("lightgcn", {"dim": 4, "max_epochs": 2}, 2)
METHODS = [
    ("ascent-repair", MF, {"repair": 1}), ("splice-and-settle", GRU, {"epochs": 1}),
    ("unlearn-rec", LIGHT, {"fine_tune": 1, "share": 0.0}), ("influence", MF, {}), ("retrain", MF, {}),
    ("downdate", Recipe("ease", {}), {}), ("sisa", MF, {"shards": 2}), ("rec-eraser", MF, {"shards": 2, "epochs": 1}),
    ("do-nothing", MF, {}), ("rows-only", MF, {}),
]  # fmt: skip


def asked(kind: str, before: Served) -> Request:
    return requests(before.log)[kind]


@pytest.mark.parametrize(("name", "recipe", "settings"), METHODS)
def test_the_new_model_is_no_function_of_held_out_events_of_the_deleted(
    name: str, recipe: Recipe, settings: dict[str, object]
) -> None:
    before = replace(served(recipe, LOG.without(HELD)), held_out=LOG.take(HELD))
    request, unlearner = asked("five users", before), build(name, settings)
    assert before.held_out is not None
    held: tuple[InteractionLog, InteractionLog] = (before.held_out, request.purged(before.log, before.held_out))
    assert len(held[1]) < len(held[0])
    prepared = unlearner.prepare(before, 0)
    first, second = (unlearner.forget(replace(prepared, held_out=part), request, 1) for part in held)
    users = np.arange(LOG.n_users)
    np.testing.assert_array_equal(first.model.scores(users, first.log), second.model.scores(users, second.log))
    for after in (first, second):  # nor is the next request's
        assert after.held_out is not None
        assert not np.isin(after.held_out.user, request.users).any()


@pytest.mark.parametrize(("name", "recipe", "settings"), METHODS)
def test_a_user_without_events_can_be_forgotten(name: str, recipe: Recipe, settings: dict[str, object]) -> None:
    """Side features are then all that there is of the user."""
    log = LOG.without(HELD | (LOG.user == 7))
    before = replace(served(recipe, log), held_out=LOG.take(HELD))
    request = Request("x", np.empty(0, np.int64), np.array([7]), np.empty(0, np.int64))
    unlearner = build(name, settings)
    after = unlearner.forget(unlearner.prepare(before, 0), request, 1)
    assert len(after.log) == len(log)
    assert after.log.users is not None
    assert after.log.users.iloc[7].isna().all()
