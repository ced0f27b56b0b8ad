"""The check "quality": reproduction, baselines paired by user, and what happens when something is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import evidence_of
from victims import small_target

from recaudit.audit.probe import NotApplicable
from recaudit.quality.check import QualityConfig, QualityProbe
from recaudit.recommenders.evaluate import per_user


def probe(**settings: Any) -> QualityProbe:
    return QualityProbe(QualityConfig(**settings), 0)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = small_target("itemknn")
    return {e.id: e for e in evidence_of(probe(), target, tmp_path_factory.mktemp("cells"))}


def test_it_names_the_checkpoint_and_every_reference(found: dict[str, Any]) -> None:
    assert set(found) == {
        "quality.reproduction", "quality.ndcg@20", "quality.ndcg@20.minus.popularity",
        "quality.ndcg@20.minus.recent-popularity", "quality.ndcg@20.minus.ease",
    }  # fmt: skip
    assert found["quality.reproduction"].estimate == 0.0


def test_differences_are_paired_by_user(found: dict[str, Any]) -> None:
    target, reference = small_target("itemknn"), small_target("ease")
    split = target.split
    a, b = (per_user(t.model, split.test, split.history, (20,)).values["ndcg@20"] for t in (target, reference))
    evidence = found["quality.ndcg@20.minus.ease"]
    assert evidence.estimate == pytest.approx(float(np.mean(a - b)))
    assert evidence.standard_error == pytest.approx(float(np.std(a - b, ddof=1) / np.sqrt(len(a))))
    assert evidence.worse == "lower" and evidence.n == len(a)


def test_a_checkpoint_that_claims_too_much_is_seen(tmp_path: Path) -> None:
    target = small_target("itemknn")
    boast = replace(target, stored_metrics={name: value + 0.1 for name, value in target.stored_metrics.items()})
    (evidence,) = [e for e in evidence_of(probe(), boast, tmp_path) if e.id == "quality.reproduction"]
    assert evidence.estimate == pytest.approx(0.1) and evidence.worse == "higher"


def test_what_the_data_do_not_allow_is_left_out() -> None:
    target = small_target("itemknn")
    split = target.split
    timeless = replace(split, train=replace(split.train, time=None))
    labels = [cell.label for cell in probe(ease_limit=5).cells(replace(target, split=timeless))]
    assert labels == ["the checkpoint as it is", "popularity"]
    empty = replace(split, test=split.test.take(np.zeros(len(split.test), bool)))
    with pytest.raises(NotApplicable, match="no held-out test events"):
        probe().cells(replace(target, split=empty))


def test_a_cutoff_that_is_not_measured_is_said(tmp_path: Path) -> None:
    found = evidence_of(probe(cutoff=7), small_target("itemknn"), tmp_path)
    assert [e.missing for e in found if e.missing] == ["the policy measures ndcg@10, ndcg@20 only"]
