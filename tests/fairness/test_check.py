"""The check "exposure": values of the model's own lists, references, named items, intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from audited import evidence_of
from victims import small_target

from recaudit.fairness.catalogue import BY_SLUG
from recaudit.fairness.check import ExposureConfig, ExposureProbe
from recaudit.fairness.recommendations import Recommendations
from recaudit.recommenders.evaluate import relevance
from recaudit.recommenders.ranking import rank


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    probe = ExposureProbe(ExposureConfig(named=3), 0)
    return {e.id: e for e in evidence_of(probe, small_target(), tmp_path_factory.mktemp("cells"), (3, 5))}


def test_values_are_those_of_the_models_lists(found: dict[str, Any]) -> None:
    target = small_target()
    lists = rank(target.model, None, target.split.history, 5, n_users=target.split.train.n_users).slate.items
    assert (
        found["exposure.gini@5"].estimate
        == BY_SLUG["gini"].reported(Recommendations.of(lists, target.split.train.n_items)).value
    )
    assert set(found) == {f"exposure.{slug}@5" for slug in ExposureConfig().measures}


def test_references_stand_beside_it(found: dict[str, Any]) -> None:
    gini = found["exposure.gini@5"]
    assert gini.baseline["random"] < gini.estimate < gini.baseline["popularity"]
    assert gini.baseline["fairest reachable"] == 0.0 and found["exposure.qf@5"].baseline["fairest reachable"] == 1.0
    assert gini.worse == "higher" and found["exposure.jain@5"].worse == "lower"
    assert 0 < gini.standard_error < 0.1


def test_items_are_named_and_counted(found: dict[str, Any]) -> None:
    details = found["exposure.gini@5"].details
    most = [item["count"] for item in details["most_exposed"]]
    assert len(most) == 3 and most == sorted(most, reverse=True)
    assert all(item["title"] for item in details["least_exposed"])
    assert set(details["lorenz"]) == {"model", "popularity", "random"}


def test_undefined_says_why(tmp_path: Path) -> None:
    target = small_target()
    probe = ExposureProbe(ExposureConfig(), 0)
    (first, *_) = evidence_of(probe, target, tmp_path, (target.split.train.n_items,))
    assert first.estimate is None and "whole catalogue" in str(first.missing)


def test_lists_cut_short_are_named_as_the_reason(tmp_path: Path) -> None:
    (first, *_) = evidence_of(ExposureProbe(ExposureConfig(), 0), small_target(), tmp_path, (10, 40))
    assert first.estimate is None and "lists are shorter than 40" in str(first.missing)


def test_joint_measures_are_taken_over_users_with_held_out_items(found: dict[str, Any]) -> None:
    target = small_target()
    users, relevant = relevance(target.split.test, target.split.history)
    lists = rank(target.model, users, target.split.history, 5).slate.items
    joint = Recommendations.of(lists, target.split.train.n_items, relevant)
    assert found["exposure.ai_f@5"].estimate == BY_SLUG["ai_f"].original(joint).value
    assert found["exposure.ibo@5"].n == len(users) and found["exposure.ibo@5"].unit.startswith("0..1")
    assert set(found["exposure.ai_f@5"].baseline) == {"popularity", "random"}, "no reachable ends are known"


def test_what_does_not_measure_fairness_says_so(tmp_path: Path) -> None:
    probe = ExposureProbe(ExposureConfig(measures=("iaa", "hd")), 0)
    found = {e.id: e for e in evidence_of(probe, small_target(), tmp_path, (5,))}
    assert "Not evidence of fairness" in found["exposure.iaa@5"].details["notes"][0]
    assert "not invariant" in found["exposure.hd@5"].details["notes"][1]


def test_unknown_measures_are_named_with_the_nearest() -> None:
    with pytest.raises(ValueError, match="Did you mean 'gini'"):
        ExposureConfig(measures=("ginni",))
    assert set(ExposureConfig(measures=("all",)).measures) == set(BY_SLUG)


def test_exposure_against_popularity_shares_add_up(found: dict[str, Any]) -> None:
    curves = found["exposure.gini@5"].details["exposure_by_popularity"]
    for rows in curves.values():
        for name in ("items", "events", "exposure"):
            assert sum(row[name] for row in rows) == pytest.approx(1.0), name
    top = {name: rows[-1]["exposure"] for name, rows in curves.items()}
    assert top["popularity"] > top["random"]
    events = [row["events"] for row in curves["model"]]
    assert events == sorted(events)


def test_distance_to_the_frontier_is_an_evidence_like_any_other(found: dict[str, Any]) -> None:
    target = small_target()
    users, relevant = relevance(target.split.test, target.split.history)
    past = target.split.history.matrix()[users]
    lists = rank(target.model, users, target.split.history, 5).slate.items
    data = Recommendations.of(lists, target.split.train.n_items, relevant, consumed=past)
    evidence = found["exposure.dpfr@5"]
    assert evidence.estimate == BY_SLUG["dpfr"].original(data).value and 0 < evidence.standard_error < 0.2
    assert set(evidence.baseline) == {"popularity", "random"} and evidence.limits is None


def test_what_can_leave_0_to_1_gets_no_ends(tmp_path: Path) -> None:
    found = {
        e.id: e
        for e in evidence_of(
            ExposureProbe(ExposureConfig(measures=("fsat", "gini")), 0), small_target(), tmp_path, (5,)
        )
    }
    assert found["exposure.fsat@5"].limits is None and found["exposure.gini@5"].limits == (0.0, 1.0)
    assert not found["exposure.fsat@5"].unit.startswith("0..1")


def test_a_frontier_that_cannot_be_had_is_missing_with_the_reason(tmp_path: Path) -> None:
    found = {e.id: e for e in evidence_of(ExposureProbe(ExposureConfig(), 0), small_target(), tmp_path, (10, 40))}
    missing = str(found["exposure.dpfr@40"].missing)
    assert found["exposure.dpfr@40"].estimate is None and ("shorter" in missing or "fewer than k" in missing)
