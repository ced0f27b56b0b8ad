"""SISA: untouched shards stay, touched ones end where a fresh ensemble would, users are scored by who knows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from recaudit.datasets.errors import DataError
from recaudit.recommenders.base import Recipe
from recaudit.unlearn.base import Served
from recaudit.unlearn.exact.shards import Sharded, Shards, keeps_users
from recaudit.unlearn.exact.sisa import SISA, SISAConfig
from recaudit.unlearn.request import Request

from ..conformance import examine, requests, small_log

CHEAP = {
    "ials": Recipe("ials", {"dim": 8}),
    "mf": Recipe("mf", {"dim": 8, "min_steps": 4}, 2),
    "lightgcn": Recipe("lightgcn", {"dim": 8, "min_steps": 4}, 2),
    "ease": Recipe("ease", {}),
    "sasrec": Recipe("sasrec", {"dim": 8}, 1),
}


def sisa(**settings: Any) -> SISA:
    return SISA(SISAConfig(**settings))


def start(unlearner: SISA, recipe: Recipe, log: Any = None) -> Served:
    """Prepared; the whole model is not needed."""
    log = small_log() if log is None else log
    return unlearner.prepare(Served(recipe, log, Flat(log.n_users, np.zeros(log.n_items))), 5)


class Flat:
    """Everybody gets these scores."""

    def __init__(self, n_users: int, row: Any) -> None:
        self.n_users, self.n_items, self.row = n_users, len(row), np.asarray(row, np.float32)

    def scores(self, users: Any, history: Any) -> Any:
        return np.tile(self.row, (len(users), 1))


def bytes_of(model: Any) -> Any:
    return None if model is None else {name: tensor.numpy().tobytes() for name, tensor in model.state().items()}


@pytest.mark.parametrize("name", ["ials", "mf", "ease", "sasrec"])
@pytest.mark.parametrize("by", ["users", "interactions"])
def test_conforms(name: str, by: str) -> None:
    examine(sisa(shards=3, by=by), CHEAP[name])


@pytest.mark.parametrize("name", list(CHEAP))
@pytest.mark.parametrize("by", ["users", "interactions"])
def test_equals_a_fresh_ensemble_without_the_forget_set(name: str, by: str) -> None:
    unlearner = sisa(shards=4, by=by)
    before = start(unlearner, CHEAP[name])
    for label, request in requests(before.log).items():
        after = unlearner.forget(before, request, 99)
        fresh = start(unlearner, CHEAP[name], request.retained(before.log))
        touched = before.memory.touched(CHEAP[name], before.log, request)
        for k in range(4):
            assert bytes_of(after.memory.members[k]) == bytes_of(fresh.memory.members[k]), label
            assert (after.memory.members[k] is before.memory.members[k]) == (k not in touched), label
        everybody = np.arange(before.log.n_users)
        np.testing.assert_array_equal(
            after.model.scores(everybody, after.log), fresh.model.scores(everybody, after.log), err_msg=label
        )
        np.testing.assert_array_equal(after.memory.of_event, fresh.memory.of_event)


@pytest.mark.parametrize("by", ["users", "interactions"])
@pytest.mark.parametrize(
    ("model", "settings", "reads"),
    [
        ("fm", {"min_steps": 4}, True), ("feature-lightgcn", {"min_steps": 4}, True),
        ("fm", {"min_steps": 4, "user_features": False}, False), ("ials", {}, False),
    ],
)  # fmt: skip
def test_no_shard_keeps_the_side_features_of_deleted_users(
    model: str, settings: dict[str, Any], reads: bool, by: str
) -> None:
    """Every shard has rows of all users: their side features are in rows of shards that hold none of their events."""
    draw, recipe, unlearner = np.random.default_rng(0), Recipe(model, {"dim": 4, **settings}, 1), sisa(shards=4, by=by)
    log = small_log()
    table = pd.DataFrame({"age": draw.integers(10, 80, log.n_users), "kind": draw.choice(["a", "b"], log.n_users)})
    before = start(unlearner, recipe, replace(log, users=table))
    for label, request in requests(before.log).items():
        after, fresh = unlearner.forget(before, request, 9), start(unlearner, recipe, request.retained(before.log))
        touched = before.memory.touched(recipe, before.log, request)
        if reads and len(request.users):
            assert touched.tolist() == [0, 1, 2, 3]
        else:
            assert touched.tolist() == np.unique(before.memory.of_event[request.rows]).tolist()
        for k in range(4):
            assert bytes_of(after.memory.members[k]) == bytes_of(fresh.memory.members[k]), label
            assert (after.memory.members[k] is before.memory.members[k]) == (k not in touched), label
        everybody = np.arange(log.n_users)
        np.testing.assert_array_equal(
            after.model.scores(everybody, after.log), fresh.model.scores(everybody, after.log), err_msg=label
        )


def test_one_user_touches_one_shard() -> None:
    unlearner = sisa(shards=6)
    before = start(unlearner, CHEAP["ials"])
    request = requests(before.log)["one user"]
    assert len(before.memory.touched(CHEAP["ials"], before.log, request)) == 1
    user = int(request.users[0])
    shard = int(before.memory.of_event[before.log.user == user][0])
    own = before.memory.members[shard].scores(np.array([user]), before.log)
    np.testing.assert_allclose(before.model.scores(np.array([user]), before.log), own, rtol=1e-6)


def test_all_members_score_a_user_by_its_history() -> None:
    before = start(sisa(shards=3), CHEAP["ease"])
    users = np.arange(7)
    each = [member.scores(users, before.log) for member in before.memory.members]
    np.testing.assert_allclose(before.model.scores(users, before.log), np.mean(each, 0), atol=1e-6)
    assert [keeps_users(recipe) for recipe in CHEAP.values()] == [True, True, True, False, False]


def test_weights_decide_who_is_asked() -> None:
    weights = np.array([[1.0, 0.0], [0.25, 0.75]], np.float32)
    model = Sharded(2, 2, (Flat(2, [4.0, 0.0]), Flat(2, [0.0, 8.0])), weights)
    np.testing.assert_allclose(model.scores(np.array([1, 0, 1]), small_log()), [[1, 6], [4, 0], [1, 6]])


def test_a_shard_without_events_is_dropped() -> None:
    unlearner = sisa(shards=4)
    before = start(unlearner, CHEAP["ials"])
    gone = np.unique(before.log.user[before.memory.of_event == 2]).astype(np.int64)
    after = unlearner.forget(before, Request.of(before.log, "a whole shard", users=gone), 0)
    assert after.memory.members[2] is None
    assert len(after.model.members) == 3
    scores = after.model.scores(np.arange(60), after.log)
    assert np.isfinite(scores).all()
    each = [member.scores(gone, after.log) for member in after.model.members]
    np.testing.assert_allclose(scores[gone], np.mean(each, 0), atol=1e-6)  # nobody knows them: all are asked


def test_shards_too_small_for_a_sequence_are_dropped_and_none_left_is_said() -> None:
    log = small_log()
    first = log.take(np.sort(np.unique(log.user, return_index=True)[1]))  # one event each
    one = log.take(np.flatnonzero(log.user == log.user[0]))
    with pytest.raises(DataError, match="no shard"):
        start(sisa(shards=3), CHEAP["sasrec"], first)
    served = start(sisa(shards=3), CHEAP["sasrec"], first.plus(one))
    assert sum(member is not None for member in served.memory.members) == 1
    assert np.isfinite(served.model.scores(np.arange(60), log)).all()


def test_one_pair_of_many_shards() -> None:
    log = small_log().take(np.array([0, 1]))
    unlearner = sisa(shards=5, by="interactions")
    before = start(unlearner, CHEAP["ials"], log)
    after = unlearner.forget(before, Request.of(log, "one", rows=np.array([0])), 0)
    assert len(after.log) == 1
    assert sum(member is not None for member in after.memory.members) == 1


def test_shards_are_trained_with_seeds_of_their_own() -> None:
    log = small_log()
    alike = Shards.trained(CHEAP["mf"], log, np.zeros(len(log), np.int64), 1, 0)
    other = Shards.trained(CHEAP["mf"], log, np.ones(len(log), np.int64), 2, 0)
    assert other.members[0] is None
    assert bytes_of(alike.members[0]) != bytes_of(other.members[1])


def test_dealt_users_touch_as_many_shards_as_expected() -> None:
    """Users are dealt out evenly, hence without replacement: a little more than independent draws."""
    log = small_log(users=200, events=2000)
    draw = np.random.default_rng(1)
    count = []
    for seed in range(200):
        before = Served(CHEAP["ials"], log, Flat(200, np.zeros(40)))
        parts = sisa(shards=10).parts(before.log, seed)
        users = draw.choice(np.unique(log.user), 10, replace=False)
        count.append(len(np.unique(parts[np.isin(log.user, users)])))
    assert np.mean(count) == pytest.approx(10 * (1 - 0.9**10), abs=0.35)  # S (1 - (1 - 1/S)^k)


def test_the_prepared_seed_rules() -> None:
    unlearner = sisa(shards=3)
    before = start(unlearner, CHEAP["mf"])
    request = requests(before.log)["one user"]
    first, second = unlearner.forget(before, request, 1), unlearner.forget(replace(before), request, 2)
    everybody = np.arange(60)
    np.testing.assert_array_equal(first.model.scores(everybody, first.log), second.model.scores(everybody, second.log))
