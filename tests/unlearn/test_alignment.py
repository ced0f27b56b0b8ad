"""Checkpoints in which the ids of deleted people are gone, read beside the one that still has them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import CheckpointError
from recaudit.datasets.log import Int64, InteractionLog
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, fit
from recaudit.recommenders.checkpoint import save_checkpoint
from recaudit.recommenders.target import Target
from recaudit.unlearn.alignment import aligned, open_after
from recaudit.unlearn.request import Request

from .conformance import small_log

RECIPE = Recipe("ials", {"dim": 4})
GONE = np.array([3, 8], np.int64)


@cache
def before() -> Target:
    log = small_log()
    order = np.random.default_rng(0).permutation(len(log))
    split = Split(*(log.take(np.sort(part)) for part in np.split(order, [700, 800])), "by hand")
    return Target("before", fit(RECIPE, split.train, 0), RECIPE, split, 0, "print", {})


def request() -> Request:
    return Request.of(before().split.train, "x", users=GONE)


def retrained() -> Target:
    split = request().left_of(before().split)
    return replace(before(), name="after", model=fit(RECIPE, split.train, 1), split=split)


def dealt(other: Target, users: Int64) -> Target:
    """The checkpoint with these users' rows alone, in this order, as one who deletes rows from all tables has it."""
    state = other.model.state()
    model = build(RECIPE)
    rows = state | {"user_vectors": state["user_vectors"][torch.from_numpy(users)]}
    model.load(rows, len(users), other.split.train.n_items)
    place = np.full(other.split.train.n_users, -1)
    place[users] = np.arange(len(users))

    def part(log: InteractionLog) -> InteractionLog:
        log = log.take(place[log.user] >= 0)
        table = None if log.users is None else log.users.iloc[users].reset_index(drop=True)
        return replace(log, user=place[log.user].astype(np.int32), user_ids=log.user_ids[users], users=table)

    split = other.split
    return replace(other, model=model, split=Split(part(split.train), part(split.valid), part(split.test), "by hand"))


def test_the_same_ids_are_the_same_object() -> None:
    other = replace(retrained(), split=before().split)
    assert aligned(other, before(), GONE, "x") is other


def test_rows_stay_where_only_the_ids_have_gone() -> None:
    other = retrained()
    found = aligned(other, before(), GONE, "x")
    for name, tensor in other.model.state().items():
        np.testing.assert_array_equal(found.model.state()[name], tensor)
    assert found.split.train.user_ids[GONE].tolist() == ["forgotten:3", "forgotten:8"]
    np.testing.assert_array_equal(found.split.train.pair_keys, other.split.train.pair_keys)


def test_tombstones_of_other_requests_are_no_fault() -> None:
    found = aligned(retrained(), before(), GONE[:1], "x")
    assert found.split.train.user_ids[GONE].tolist() == ["forgotten:3", "forgotten:8"]


@pytest.mark.parametrize("turned", [False, True])
def test_rows_that_were_taken_out_are_zeros_and_others_find_their_place(turned: bool) -> None:
    other = retrained()
    users = np.setdiff1d(np.arange(other.split.train.n_users), GONE)
    found = aligned(dealt(other, users[::-1].copy() if turned else users), before(), GONE, "x")
    rows = found.model.state()["user_vectors"]
    assert not rows[torch.from_numpy(GONE)].any()
    np.testing.assert_array_equal(rows[torch.from_numpy(users)], other.model.state()["user_vectors"][users])
    own = found.split.train
    np.testing.assert_array_equal(np.sort(own.pair_keys), np.sort(other.split.train.pair_keys))
    assert own.users is not None
    assert other.split.train.users is not None
    assert own.users.iloc[users].astype(str).equals(other.split.train.users.iloc[users].astype(str))
    assert found.fingerprint == other.fingerprint


def test_who_is_missing_must_be_named_by_the_request() -> None:
    users = np.setdiff1d(np.arange(before().split.train.n_users), GONE)
    with pytest.raises(CheckpointError, match=r"'.*8' of before is missing in it .1 in all., and the request does not"):
        aligned(dealt(retrained(), users), before(), GONE[:1], "x")


def test_new_ids_and_other_items_are_refused() -> None:
    other = retrained()
    ids = np.concatenate([before().split.train.user_ids, ["new"]])
    split = other.split
    parts = {name: replace(getattr(split, name), user_ids=ids, users=None) for name in ("train", "valid", "test")}
    with pytest.raises(CheckpointError, match="has 1 user ids that before does not know, and 0 of its users"):
        aligned(replace(other, split=Split(**parts, recipe="x")), before(), GONE, "x")
    items = split.train.item_ids[::-1].copy()
    parts = {name: replace(getattr(split, name), item_ids=items) for name in ("train", "valid", "test")}
    with pytest.raises(CheckpointError, match="other item ids"):
        aligned(replace(other, split=Split(**parts, recipe="x")), before(), GONE, "x")


@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_folders_with_and_without_data_and_ids(tmp_path: Path, data: bool, named: bool) -> None:
    other = retrained()
    split = other.split
    if named:  # as a provider has it who leaves the ids where they were
        ids = before().split.train.user_ids
        parts = {name: replace(getattr(split, name), user_ids=ids) for name in ("train", "valid", "test")}
        split = Split(**parts, recipe=split.recipe)
    save_checkpoint(tmp_path / "c", other.model, RECIPE, split, 0, {}, include_data=data)
    found = open_after(tmp_path / "c", before(), request())
    assert (found.split.train.user_ids[3] == before().split.train.user_ids[3]) == named
    np.testing.assert_array_equal(found.split.train.pair_keys, split.train.pair_keys)
