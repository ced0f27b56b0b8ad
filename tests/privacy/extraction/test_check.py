"""The check "extraction": a real victim copied, evidence by hand, baselines, and what it says when it cannot run."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import evidence_of
from pydantic import ValidationError

from recaudit.attacks.surrogate.extracted import ModelQuery, extract
from recaudit.audit.evidence import CellResult, Evidence
from recaudit.audit.probe import NotApplicable
from recaudit.datasets.demo import load_demo
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.privacy.extraction.check import ExtractionCheckConfig, ExtractionProbe
from recaudit.privacy.extraction.copies import Student, agreements, beginning
from recaudit.privacy.extraction.inquiry import Copies, Judged, Retrained
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.evaluate import evaluate
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.target import Target

SMALL = {"budgets": (45, 200), "length": 10, "listed": 20, "dim": 8, "steps": 60, "cutoff": 5}


@cache
def target(name: str = "ease", seed: int = 0) -> Target:
    split = leave_last_out(generate(users=150, items=80, events=3000, seed=seed, ratings=False))
    recipe = Recipe(name, {"dim": 8, "max_epochs": 1} if name in ("mf", "sasrec") else {})
    return Target("t", fit(recipe, split.train, 0), recipe, split, 0, name.ljust(64, "p"), {}, fit_seconds=2.0)


def probe(**settings: Any) -> ExtractionProbe:
    return ExtractionProbe(ExtractionCheckConfig(**{**SMALL, **settings}), 7)


def copies(one: ExtractionProbe, on: Target | None = None) -> Copies:
    found = one.cells(on or target())[0].inquiry
    assert isinstance(found, Copies)
    return found


def found_by(one: ExtractionProbe, folder: Path, on: Target | None = None) -> dict[str, Evidence]:
    return {found.id: found for found in evidence_of(one, on or target(), folder)}


def test_a_real_victim_is_copied_the_better_the_more_it_is_asked(tmp_path: Path) -> None:
    """Embedded data: more queries, more agreement; far above popularity, of which the copy knows nothing."""
    split = leave_last_out(load_demo().log)
    recipe = Recipe("sasrec", {"dim": 32, "layers": 1}, 5)
    victim = Target("t", fit(recipe, split.train, 0), recipe, split, 0, "v" * 64, {})
    one = ExtractionProbe(ExtractionCheckConfig(steps=150, users=600, retrains=0), 0)
    found = found_by(one, tmp_path, victim)
    few, many = (found[f"extraction.{budget}.agreement@10"] for budget in (1000, 4000))
    assert few.standard_error and many.standard_error and few.n == many.n == 600
    assert (many.estimate or 0) - (few.estimate or 0) > 3 * (few.standard_error + many.standard_error)
    assert (few.estimate or 0) > few.baseline["popularity"] + 0.1 > 0.3 > 10 * few.baseline["chance"]
    first = found["extraction.4000.agreement@1"]
    assert (first.estimate or 0) > 2 * first.baseline["popularity"]
    worth = found["extraction.4000.utility"]
    assert (worth.estimate or 0) > worth.baseline["popularity"] + 0.1
    assert [point["queries"] for point in many.details["curve"]] == [1000, 4000] and many.details["copy"] == "sasrec"


def test_evidence_by_hand(tmp_path: Path) -> None:
    found = found_by(probe(), tmp_path)
    names = ("agreement@1", "agreement@10", "utility")
    assert list(found) == [f"extraction.{budget}.{name}" for budget in (45, 200) for name in names]
    split, model = target().split, target().model
    answers = extract(ModelQuery(model, 20), 80, 20, 10, rng(7, "extraction", "queries"))
    draws = rng(7, "extraction", "student", "linear", 4)
    copy = Student("linear", 8, 60).fitted(beginning(answers, 4), 150, draws)
    users = np.unique(split.test.user).astype(np.int64)
    own, copied, liked = (
        rank(each, users, split.history, 10).slate.items
        for each in (model, copy, fit(Recipe("popularity", {}), split.train, 0))
    )
    for k in (1, 10):
        one, each = found[f"extraction.45.agreement@{k}"], agreements(own, copied, k)
        assert one.estimate == pytest.approx(each.mean()) and one.n == len(users) == 150
        assert one.standard_error == pytest.approx(each.std(ddof=1) / 150**0.5)
        assert one.baseline["popularity"] == pytest.approx(agreements(own, liked, k).mean())
        known = np.array([(split.history.user == user).sum() for user in users])
        assert one.baseline["chance"] == pytest.approx(np.minimum(1, k / (80 - known)).mean())
        assert one.worse == "higher" and one.limits == (0, 1) and one.details["queries"] == 40  # whole histories
    measured = {
        side: evaluate(each, split.test, split.history, (5,))["ndcg@5"] for side, each in (("c", copy), ("m", model))
    }
    utility = found["extraction.45.utility"]
    assert utility.estimate == pytest.approx(measured["c"] / measured["m"]) and utility.limits is None
    assert utility.details["model/ndcg@5"] == pytest.approx(measured["m"])
    assert utility.details["copy/ndcg@5"] == pytest.approx(measured["c"])
    many = found["extraction.200.agreement@10"]
    assert (many.estimate or 0) > (found["extraction.45.agreement@10"].estimate or 0)
    assert many.details["curve"][1]["agreement@10"] == many.estimate and len(many.cells) == 2


def test_a_recipe_without_chance_agrees_with_itself(tmp_path: Path) -> None:
    found = found_by(probe(budgets=(40,), steps=2), tmp_path)
    assert found["extraction.40.agreement@10"].baseline["a retraining of the model"] == 1
    assert found["extraction.40.utility"].baseline["a retraining of the model"] == 1
    none = found_by(probe(budgets=(40,), steps=2, retrains=0), tmp_path)
    assert "a retraining of the model" not in none["extraction.40.utility"].baseline


def test_a_copy_of_something_else_agrees_by_chance() -> None:
    """A victim whose items are renamed at random is copied; the copy says nothing of the victim itself."""
    rows = []
    for seed in range(12):
        true = target("ease")
        renamed = rng(seed, "renamed").permutation(80).astype(np.int32)
        train = true.split.train
        other = fit(Recipe("ease", {}), replace(train, item=renamed[train.item]), 0)
        answers = extract(ModelQuery(other, 20), 80, 20, 10, rng(seed, "queries"))
        copy = Student("linear", 8, 60).fitted(answers, 150, rng(seed, "student"))
        own, copied = (rank(each, None, true.split.history, 10).slate.items for each in (true.model, copy))
        rows.append(agreements(own, copied, 10).mean())
    chance = np.minimum(1, 10 / (80 - true.split.history.user_counts)).mean()
    assert np.mean(rows) == pytest.approx(chance, abs=4 * np.std(rows, ddof=1) / 12**0.5)


def test_a_second_architecture_changes_nothing_of_the_first(tmp_path: Path) -> None:
    alone = found_by(probe(retrains=0, budgets=(40,), steps=10), tmp_path)
    both = found_by(probe(retrains=0, budgets=(40,), steps=10, other="gru4rec"), tmp_path)
    for name in ("agreement@1", "agreement@10", "utility"):
        assert both[f"extraction.40.{name}"].estimate == alone[f"extraction.40.{name}"].estimate
        assert both[f"extraction.40.other.{name}"].details["copy"] == "gru4rec"
    assert len(both) == 6 and "GRU4Rec copy" in both["extraction.40.other.utility"].title
    assert list(found_by(probe(retrains=0, budgets=(40,), steps=10, other="linear"), tmp_path)) == list(alone)
    assert copies(probe(), target("sasrec")).students[0][1].architecture == "sasrec"


def test_answers_are_deterministic_and_keyed() -> None:
    one = copies(probe(budgets=(40,), steps=5))
    whole = one.answer(target(), 7).values
    assert pickle.loads(pickle.dumps(one)).answer(target(), 7).values == whole  # noqa: S301
    assert one.answer(target(), 8).values != whole
    described = copies(probe()).describe()
    changed = (
        {"budgets": (50, 200)}, {"length": 9}, {"listed": 21}, {"student": "sasrec"}, {"other": "gru4rec"}, {"dim": 9},
        {"steps": 61}, {"users": 20}, {"cutoff": 6},
    )  # fmt: skip
    for change in changed:
        assert copies(probe(**change)).describe() != described, change
    assert replace(copies(probe()), effort=9.0).describe() == described
    judged = Judged(9, 5)
    assert Retrained(0, judged).describe() != Retrained(1, judged).describe()
    assert len(probe(retrains=3).cells(target())) == 4
    slow, quick = (copies(probe(steps=steps)).trainings for steps in (600, 60))
    assert 0 < quick < slow


def test_fewer_users_are_drawn(tmp_path: Path) -> None:
    one = probe(users=40, retrains=0, budgets=(40,), steps=2)
    assert found_by(one, tmp_path)["extraction.40.agreement@10"].n == 40


class _Fixed:
    """Results that are what a test says, for the first cell of a check."""

    def __init__(self, one: ExtractionProbe, values: dict[str, float | None] | None) -> None:
        self.cell, self.values = one.cells(target())[0], values

    def __getitem__(self, cell: object) -> CellResult:
        return CellResult(
            key="k", kind="inquiry", label="", params={}, seed=0, values=self.values or {}, seconds=0.0
        )  # fmt: skip

    def __contains__(self, cell: object) -> bool:
        return self.values is not None and cell == self.cell

    def arrays(self, cell: object) -> dict[str, Any]:
        return {}


def test_missing_values_are_said() -> None:
    evidence = probe().evidence(target(), _Fixed(probe(), None))
    assert len(evidence) == 6 and all(one.missing and one.estimate is None and not one.cells for one in evidence)
    useless = {f"student/4/{name}": 0.0 for name in ("agreement@1", "agreement@1/error", "queries")}
    found = {one.id: one for one in probe().evidence(target(), _Fixed(probe(), {"users": 9.0, **useless}))}
    assert found["extraction.45.agreement@1"].estimate == 0
    assert found["extraction.45.utility"].missing == "the model's own ndcg@5 is zero"


def test_it_does_not_run_where_nothing_can_be_asked() -> None:
    with pytest.raises(NotApplicable, match="known users"):
        probe().cells(target("mf"))
    with pytest.raises(NotApplicable, match="do not depend on the history"):
        probe().cells(target("popularity"))
    split = target().split
    untested = replace(split, test=split.test.take(np.zeros(len(split.test), bool)))
    with pytest.raises(NotApplicable, match="held-out"):
        probe().cells(replace(target(), split=untested))


def test_settings_are_checked() -> None:
    assert ExtractionCheckConfig(budgets=(4000, 1000, 4000)).budgets == (1000, 4000)
    with pytest.raises(ValidationError, match="less than one history"):
        ExtractionCheckConfig(budgets=(19, 1000))
    with pytest.raises(ValidationError, match="further apart"):
        ExtractionCheckConfig(budgets=(40, 45))
    for wrong in ({"budgets": ()}, {"student": "mf"}, {"length": 1}, {"retrains": -1}, {"size": 1}):
        with pytest.raises(ValidationError):
            ExtractionCheckConfig(**wrong)  # type: ignore[arg-type]
