"""What a cell injects is named by its description and made from the training log alone."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from recaudit.attacks.base import Goal
from recaudit.attacks.injection import AttackInjection, CloneInjection, craft_only
from recaudit.audit.cell import Cell
from recaudit.datasets.errors import InputError

from .conformance import columns, examine_profiles, log_for

LOG = log_for("rating")
GOAL = Goal((11,), 6, 8)


def test_the_description_is_json_and_tells_all_apart() -> None:
    first = AttackInjection("bandwagon", GOAL, 1)
    others = [
        replace(first, attack="segment"), replace(first, seed=2), replace(first, share=0.5),
        replace(first, settings={"head": 0.2}), replace(first, goal=replace(GOAL, accounts=7)),
        replace(first, goal=replace(GOAL, profile=9)), replace(first, goal=replace(GOAL, targets=(12,))),
        replace(first, goal=replace(GOAL, kind="sequence")), replace(first, goal=replace(GOAL, direction="nuke")),
        replace(first, goal=replace(GOAL, audience=(1, 2))),
        replace(first, goal=replace(GOAL, kind="sequence", placement="last")),
    ]  # fmt: skip
    texts = {json.dumps(each.describe(), sort_keys=True) for each in (first, *others)}
    assert len(texts) == len(others) + 1
    assert replace(first, settings={"head": 0.05}).describe() == first.describe(), "a default said aloud"
    clones = CloneInjection(6, 8, (11,), False, 1)
    changed = [
        replace(clones, accounts=5),
        replace(clones, profile=7),
        replace(clones, without=()),
        replace(clones, seed=2),
    ]
    assert len({json.dumps(each.describe()) for each in (clones, *changed)}) == 5


def test_it_survives_pickling_and_hashing() -> None:
    for injection in (AttackInjection("segment", GOAL, 1, {"head": 0.2}), CloneInjection(6, 8, (11,), False, 1)):
        cell = Cell("refit", "x", injection=injection)
        copy = pickle.loads(pickle.dumps(cell))  # noqa: S301
        assert copy == cell and hash(copy) == hash(cell)
        assert columns(copy.injection.profiles(LOG)) == columns(injection.profiles(LOG))


def test_null_injections_leave_the_log_itself() -> None:
    for injection in (AttackInjection("random", replace(GOAL, accounts=0), 1), CloneInjection(0, 8, (), False, 1)):
        assert LOG.with_accounts(injection.profiles(LOG)) is LOG


def test_craft_only_makes_what_was_asked_for() -> None:
    profiles = craft_only(LOG, "bandwagon", [11, 12], "10%", None, 5)
    examine_profiles(profiles, LOG, Goal((11, 12), 6, 15, "rating"))
    assert columns(craft_only(LOG, "bandwagon", [11, 12], "10%", None, 5)) == columns(profiles)
    examine_profiles(
        craft_only(LOG, "segment", [11], "4", 6, 0, direction="nuke", kind="sequence"),
        LOG, Goal((11,), 4, 6, "sequence", "nuke"),
    )  # fmt: skip
    bare = replace(LOG, value=np.ones(len(LOG), np.float32))
    assert craft_only(bare, "random", [11], 3, 5).n_accounts == 3, "a constant rating is no rating"
    with pytest.raises(InputError, match="reverse-bandwagon"):
        craft_only(bare, "reverse-bandwagon", [11], 3, 5)
    with pytest.raises(InputError, match="attack size"):
        craft_only(LOG, "random", [11], "lots")
    with pytest.raises(InputError, match="cannot hold"):
        craft_only(LOG, "random", [11, 12], "1%", 1)


@pytest.mark.parametrize("sequence", [False, True])
def test_clones_copy_whole_events_of_genuine_users(sequence: bool) -> None:
    injection = CloneInjection(9, 12, (11, 12), sequence, 1)
    profiles = injection.profiles(LOG)
    assert profiles.n_accounts == 9 and columns(injection.profiles(LOG)) == columns(profiles)
    assert profiles.value is not None and profiles.time is not None and LOG.value is not None and LOG.time is not None
    counts = np.bincount(profiles.account, minlength=9)
    assert counts.max() <= 12 and (counts >= 10).all(), "two items are left out"
    assert not np.isin(profiles.item, [11, 12]).any()
    events = [set(zip(LOG.item[LOG.user == u], LOG.value[LOG.user == u], LOG.time[LOG.user == u], strict=True))
              for u in range(LOG.n_users)]  # fmt: skip
    for account in range(9):
        rows = profiles.account == account
        own = list(zip(profiles.item[rows], profiles.value[rows], profiles.time[rows], strict=True))
        sources = [user for user in range(LOG.n_users) if set(own) <= events[user]]
        assert len(sources) == 1 and (np.diff(profiles.time[rows]) >= 0).all()
        if sequence:
            kept = [item for item in LOG.item[LOG.user == sources[0]][LOG.time[LOG.user == sources[0]].argsort()]
                    if item not in (11, 12)]  # fmt: skip
            assert [item for item, _, _ in own] == kept[-len(own) :]


def test_cloned_users_include_holders_of_targets() -> None:
    popular = int(LOG.item_counts.argmax())
    profiles = CloneInjection(LOG.n_users, 100, (popular,), False, 0).profiles(LOG)
    lengths = np.sort(np.bincount(profiles.account, minlength=LOG.n_users))
    others = LOG.take(LOG.item != popular)
    assert lengths.tolist() == np.sort(others.user_counts).tolist(), "every user once, less the target"


def test_accounts_have_side_features_where_users_have_some() -> None:
    ages = np.where(np.arange(LOG.n_users) % 3 == 0, np.nan, np.arange(LOG.n_users) % 40)
    users = pd.DataFrame({"age": ages, "job": [f"job {n % 5}" for n in range(LOG.n_users)]})
    log = replace(LOG, users=users)
    profiles = craft_only(log, "random", [3], 30, 8, 1)
    assert profiles.features is not None and len(profiles.features) == 30
    assert set(profiles.features["age"]) <= set(ages[~np.isnan(ages)]) and profiles.features["age"].nunique() > 5
    assert set(profiles.features["job"]) <= set(users["job"])
    assert craft_only(LOG, "random", [3], 30, 8, 1).item.tolist() == profiles.item.tolist(), "the rest stays"
    clones = CloneInjection(9, 10, (), False, 0).profiles(log)
    genuine = {tuple(row) for row in users.fillna(-1).itertuples(index=False)}
    assert clones.features is not None
    assert {tuple(row) for row in clones.features.fillna(-1).itertuples(index=False)} <= genuine
    assert log.with_accounts(clones).users is not None
