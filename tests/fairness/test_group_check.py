"""The check "groups": what it measures of a small target, and what it says where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import evidence_of
from victims import small_split, small_target

from recaudit.audit.evidence import Evidence
from recaudit.datasets.split import Split
from recaudit.fairness.awrf import awrf
from recaudit.fairness.disparity import utility_disparity
from recaudit.fairness.group_check import GroupsConfig, GroupsProbe
from recaudit.fairness.group_exposure import exposure_disparity, group_exposure
from recaudit.fairness.groups import column_groups
from recaudit.fairness.recommendations import Recommendations
from recaudit.recommenders.evaluate import per_user, relevance
from recaudit.recommenders.ranking import rank


def found_by(config: GroupsConfig, folder: Path, split: Split | None = None) -> dict[str, Evidence]:
    target = small_target(split=split)
    return {e.id: e for e in evidence_of(GroupsProbe(config, 0), target, folder, (5,))}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    return found_by(GroupsConfig(), tmp_path_factory.mktemp("cells"))


def test_the_usual_columns_are_found(found: dict[str, Evidence]) -> None:
    log = small_split().train
    assert {"groups.items.popularity.js@5", "groups.popularity.arp@5", "groups.utility.hr_snips@5"} <= set(found)
    for table, kind in ((log.items, "items.genres.js"), (log.users, "users.gender.ndcg_gap")):
        assert (f"groups.{kind}@5" in found) == (table is not None and kind.split(".")[1] in table.columns)
    assert all(e.estimate is not None or e.missing for e in found.values())


def test_values_are_those_of_the_functions(found: dict[str, Evidence]) -> None:
    target = small_target()
    users, relevant = relevance(target.split.test, target.split.history)
    lists = rank(target.model, users, target.split.history, 5).slate.items
    data = Recommendations.of(lists, target.split.train.n_items, relevant)
    groups = column_groups(target.split.train.items["genres"])
    exposure = group_exposure(data, groups, target.split.train.item_counts)
    assert found["groups.items.genres.js@5"].estimate == exposure_disparity(exposure).js.value
    rows = found["groups.items.genres.js@5"].details["groups"]
    assert sum(row["catalogue"] for row in rows) == pytest.approx(1.0)
    assert sum(row["exposure"] for row in rows) == pytest.approx(1.0)
    assert 0 < found["groups.items.genres.js@5"].standard_error < 0.2


def test_utility_is_compared_between_groups_of_users(tmp_path: Path) -> None:
    split = small_split()
    table = split.train.users.assign(half=np.arange(split.train.n_users) % 2)
    parts = {name: replace(getattr(split, name), users=table) for name in ("train", "valid", "test")}
    split = replace(split, **parts)
    found = found_by(GroupsConfig(user_columns=("half",)), tmp_path, split)
    target = small_target(split=split)
    metrics = per_user(target.model, split.test, split.history, (5,))
    plain = utility_disparity(metrics.values["ndcg@5"], table["half"].iloc[metrics.users])
    evidence = found["groups.users.half.ndcg_gap@5"]
    assert evidence.estimate == pytest.approx(plain.gap.value) and evidence.details["worst"] == plain.worst
    assert [row["users"] for row in evidence.details["groups"]] == [group.users for group in plain.groups]


def test_popularity_lists_are_more_popular_than_random_ones(found: dict[str, Evidence]) -> None:
    arp, aplt = found["groups.popularity.arp@5"], found["groups.popularity.aplt@5"]
    assert arp.baseline["popularity"] > arp.estimate > arp.baseline["random"]
    assert aplt.baseline["random"] > aplt.baseline["popularity"] and aplt.worse == "lower"


def test_columns_that_do_not_exist_are_named(tmp_path: Path) -> None:
    config = GroupsConfig(item_columns=("colour",), user_columns=("shoe",))
    found = found_by(config, tmp_path)
    for name in ("items.colour", "users.shoe"):
        assert "no column" in str(found[f"groups.{name}@5"].missing)


def test_a_target_without_held_out_items_does_not_apply() -> None:
    from recaudit.audit.probe import NotApplicable

    target: Any = small_target()
    empty = target.split.test.user[:0]
    nothing = replace(target.split.test, user=empty, item=empty, value=None, time=None)
    with pytest.raises(NotApplicable):
        GroupsProbe(GroupsConfig(), 0).cells(replace(target, split=replace(target.split, test=nothing)))


def test_every_number_can_be_judged(found: dict[str, Evidence]) -> None:
    """A rule on it finds a sample and an uncertainty, else it could only ever be inconclusive."""
    users, _ = relevance(small_split().test, small_split().history)
    for evidence in found.values():
        if evidence.estimate is not None:
            assert evidence.n == len(users), evidence.id
            assert evidence.standard_error is not None or evidence.id == "groups.utility.session_ndcg@5", evidence.id


def test_attention_of_single_lists_is_awrf(found: dict[str, Evidence]) -> None:
    target = small_target()
    users, relevant = relevance(target.split.test, target.split.history)
    lists = rank(target.model, users, target.split.history, 5).slate.items
    data = Recommendations.of(lists, target.split.train.n_items, relevant)
    expected = awrf(data, column_groups(target.split.train.items["genres"]), "catalogue").mean.value
    evidence = found["groups.items.genres.awrf@5"]
    assert evidence.estimate == pytest.approx(expected) and evidence.worse == "lower"
