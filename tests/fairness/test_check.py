"""The check "exposure": values of the model's own lists, references, named items, intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import evidence_of
from victims import small_target

from recaudit.fairness.check import ExposureConfig, ExposureProbe
from recaudit.fairness.counts import Counts
from recaudit.fairness.gini import corrected
from recaudit.recommenders.ranking import rank


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    probe = ExposureProbe(ExposureConfig(named=3), 0)
    return {e.id: e for e in evidence_of(probe, small_target(), tmp_path_factory.mktemp("cells"), (3, 5))}


def test_values_are_those_of_the_models_lists(found: dict[str, Any]) -> None:
    target = small_target()
    lists = rank(target.model, None, target.split.history, 5, n_users=target.split.train.n_users).slate.items
    assert found["exposure.gini@5"].estimate == corrected(Counts.of(lists, target.split.train.n_items))
    assert set(found) == {f"exposure.{slug}@5" for slug in ("qf", "gini", "jain", "entropy")}


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


def test_random_lists_have_no_repeats() -> None:
    from recaudit.fairness.check import _random_lists

    lists = _random_lists((40, 9), 12, 1)
    assert all(len(set(row)) == 9 for row in lists.tolist()) and lists.max() < 12
    assert np.array_equal(lists, _random_lists((40, 9), 12, 1))
