"""What every unlearner must satisfy, whatever it does: `examine(name, recipe)` in the tests of each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Model, Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.unlearn.base import Served, Unlearner
from recaudit.unlearn.request import Request


def small_log(seed: int = 0, users: int = 60, items: int = 40, events: int = 900) -> InteractionLog:
    """A small synthetic log with times."""
    return generate(users=users, items=items, events=events, seed=seed)


def served(recipe: Recipe, log: InteractionLog, seed: int = 0) -> Served:
    """A freshly trained model in service."""
    return Served(recipe, log, fit(recipe, log, seed))


def watched(recipe: Recipe, log: InteractionLog) -> Served:
    """The same with a tenth of the log held out."""
    held = np.random.default_rng(2).random(len(log)) < 0.1
    return replace(served(recipe, log.without(held)), held_out=log.take(held))


def requests(log: InteractionLog) -> dict[str, Request]:
    """One of each kind."""
    active = np.argsort(-log.user_counts, kind="stable")
    popular = np.argsort(-log.item_counts, kind="stable")
    draw = np.random.default_rng(1).choice(len(log), len(log) // 20, replace=False)
    return {
        "one user": Request.of(log, "one user", users=active[:1]),
        "five users": Request.of(log, "five users", users=active[1:6]),
        "one item": Request.of(log, "one item", items=popular[3:4]),
        "pairs": Request.of(log, "pairs", rows=draw),
        "one pair": Request.of(log, "one pair", rows=draw[:1]),
    }


def examine(unlearner: Unlearner, recipe: Recipe, log: InteractionLog | None = None) -> None:
    """Every kind of request is served, alone and in a stream; nothing given is changed; repeats are equal."""
    log = small_log() if log is None else log
    assert unlearner.why_not(recipe, log) is None
    apart = watched(recipe, log)
    one = unlearner.forget(unlearner.prepare(apart, 5), requests(apart.log)["five users"], 7)
    assert np.isfinite(_scores(one)).all()
    before = served(recipe, log)
    kept = _state(before.model)
    prepared = unlearner.prepare(before, 5)
    first = _scores(prepared)
    for request in requests(log).values():
        after = unlearner.forget(prepared, request, 7)
        assert len(after.log) == len(log) - len(request)
        assert after.recipe == recipe
        assert np.isfinite(_scores(after)).all()
        np.testing.assert_array_equal(_scores(after), _scores(unlearner.forget(prepared, request, 7)))
        np.testing.assert_array_equal(_scores(prepared), first)
    for name, tensor in _state(before.model).items():
        np.testing.assert_array_equal(tensor, kept[name], err_msg=f"{name} of the model before was changed")
    now = prepared
    for place in range(3):  # a stream
        user = int(np.flatnonzero(now.log.user_counts > 1)[place])
        now = unlearner.forget(now, Request.of(now.log, f"user {user}", users=np.array([user])), place)
        assert now.log.user_counts[user] == 0
        assert np.isfinite(_scores(now)).all()


def _scores(served: Served) -> Any:
    return served.model.scores(np.arange(served.log.n_users), served.log)


def _state(model: Any) -> dict[str, Any]:
    if not hasattr(model, "state"):
        return {}
    own: Model = model
    return {name: tensor.numpy().copy() for name, tensor in own.state().items()}
