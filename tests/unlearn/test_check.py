"""The check "unlearning": verdicts on drawn requests, what they cost, and what is said where nothing can be told."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import evidence_of

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.evidence import Evidence
from recaudit.audit.probe import NotApplicable
from recaudit.audit.run import digest
from recaudit.audit.store import Store
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target
from recaudit.unlearn.check import UnlearningConfig, UnlearningProbe
from recaudit.unlearn.verify.residual import Statistic
from recaudit.unlearn.verify.verdict import Outcome, Verdict

from .conformance import small_log

RECIPES = {
    "ease": Recipe("ease", {"regularisation": 20.0}), "ials": Recipe("ials", {"dim": 24, "regularisation": 0.003}),
}  # fmt: skip
SMALL: dict[str, Any] = {"requests": ("part-of-users",), "pairs": 200, "retrains": 5, "refits": 3}


@cache
def target(model: str) -> Target:
    log = small_log(users=150, items=80, events=3_000)
    rows = np.random.default_rng(0).permutation(len(log))
    split = Split(*(log.take(np.sort(part)) for part in np.split(rows, [2_400, 2_700])), "by hand")
    return Target("t", fit(RECIPES[model], split.train, 0), RECIPES[model], split, 0, "print", {})


def found(folder: Path, model: str, **settings: Any) -> dict[str, Evidence]:
    probe = UnlearningProbe(UnlearningConfig(**(SMALL | settings)), 0)
    return {own.id: own for own in evidence_of(probe, target(model), folder)}


def test_an_exact_method_is_honoured_and_doing_nothing_is_not(tmp_path: Path) -> None:
    own = found(tmp_path, "ease", unlearners=("downdate",))
    exact = own["unlearning.downdate.part-of-users.residual"]
    assert exact.estimate == pytest.approx(0.0, abs=1e-6)
    assert exact.details["verdict"] == "honoured"
    nothing = own["unlearning.do-nothing.part-of-users.residual"]
    assert nothing.estimate == pytest.approx(1.0)
    assert (nothing.details["verdict"], nothing.details["control"]) == ("not honoured", True)
    best = own["unlearning.best.part-of-users.residual"]
    assert (best.estimate, best.measure) == (exact.estimate, "least_residual")
    assert best.title.endswith(": downdate")
    assert "unlearning.rows-only.part-of-users.residual" not in own  # EASE has no rows
    utility = own["unlearning.downdate.part-of-users.utility.ndcg@20"]
    assert utility.estimate == pytest.approx(0.0, abs=1e-9)
    assert {"most active twentieth", "others", "changes"} <= set(utility.details)


def test_a_model_with_a_seed_has_an_error(tmp_path: Path) -> None:
    own = found(tmp_path, "ials", unlearners=("retrain",))
    exact = own["unlearning.retrain.part-of-users.residual"]
    assert exact.standard_error is not None
    assert exact.standard_error > 0
    assert exact.estimate is not None
    assert exact.estimate < 0.5 < (own["unlearning.do-nothing.part-of-users.residual"].estimate or 0)
    assert len(exact.cells) == 1 + 5 + 3


def test_a_method_with_its_own_model_is_held_against_its_own_kind(tmp_path: Path) -> None:
    """An ensemble of shards is no retrain of the victim, and must not be accused of that."""
    own = found(tmp_path, "ease", unlearners=("sisa",), settings={"sisa": {"shards": 3}})
    exact = own["unlearning.sisa.part-of-users.residual"]
    assert exact.estimate is not None
    assert exact.estimate < 0.3
    assert exact.details["verdict"] != "not honoured"
    assert exact.details["statistics"][0]["before"] != own["unlearning.do-nothing.part-of-users.residual"].details[
        "statistics"][0]["before"]  # fmt: skip


def test_retraining_is_the_answer_where_nothing_else_fits(tmp_path: Path) -> None:
    own = found(tmp_path, "ials", unlearners=("downdate", "ascent-repair"))
    assert "only EASE" in (own["unlearning.downdate.none"].missing or "")
    best, exact = (own[f"unlearning.{name}.part-of-users.residual"] for name in ("best", "retrain"))
    assert (best.estimate, best.details["unlearner"], best.details["fallback"]) == (exact.estimate, "retrain", True)
    assert best.title.endswith(": retrain, since no method that starts from the model fits it")
    assert "unlearning.retrain.part-of-users.utility.ndcg@20" in own


def test_retraining_does_not_stand_in_for_a_method_that_fits(tmp_path: Path) -> None:
    own = found(tmp_path, "ease", unlearners=("downdate", "retrain"))
    assert own["unlearning.best.part-of-users.residual"].title.endswith(": downdate")
    probe = UnlearningProbe(UnlearningConfig(**SMALL), 0)
    assert "retrain" in UnlearningProbe(UnlearningConfig(unlearners=("sisa",), **SMALL), 0).fitting(target("ials"))
    assert "retrain" not in probe.fitting(target("ease"))


def test_a_small_request_is_inconclusive(tmp_path: Path) -> None:
    own = found(tmp_path, "ease", unlearners=("downdate",), pairs=20)
    assert "inconclusive" in (own["unlearning.downdate.part-of-users.residual"].missing or "")


@pytest.mark.parametrize("rho", [float("nan"), 0.2])
def test_rows_that_were_left_accuse_where_no_statistic_has_power(
    rho: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = [
        Statistic(name, 0.5, 0.5, 0.5, (0.4, 0.6), rho, (-np.inf, np.inf), 0.0, False, 1.0, 5) for name in ("a", "b")
    ]
    judged = Verdict("not honoured", "3 rows", False, 0.3, tuple(blind), 200, None, {}, rows_left=3)
    monkeypatch.setattr(UnlearningProbe, "_judged", lambda *_: judged)
    own = found(tmp_path, "ease", unlearners=("downdate",))["unlearning.downdate.part-of-users.residual"]
    assert (own.estimate, own.standard_error, own.missing) == (1.0, None, None)
    assert own.title.endswith("by the rows that were left")


def test_lists_that_may_only_veto_give_no_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Statistic("a", 0.5, 0.5, 0.9, (0.4, 0.6), 0.0, (-0.1, 0.1), 20.0, True, 0.9, 5)
    lists = Statistic("b", 0.5, 0.5, 0.9, (0.4, 0.6), 1.2, (0.5, 1.9), 4.0, True, 0.01, 5, True, "no", False)
    outcomes: list[Outcome] = ["inconclusive", "honoured"]
    made = []
    for outcome in outcomes:
        judged = Verdict(outcome, "why", False, 0.3, (first, lists), 200, None, {})
        monkeypatch.setattr(UnlearningProbe, "_judged", lambda *_, judged=judged: judged)
        made.append(found(tmp_path, "ease", unlearners=("downdate",))["unlearning.downdate.part-of-users.residual"])
    assert (made[0].estimate, made[0].missing) == (None, "inconclusive: why")
    assert made[1].estimate == 0.0


def test_large_requests_are_sampled_by_the_run_seed_and_others_keep_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    def sampled(seed: int) -> set[Any]:
        cells = UnlearningProbe(UnlearningConfig(**SMALL), seed).cells(target("ease"))
        return {cell.inquiry.describe().get("sample") for cell in cells if cell.inquiry is not None}

    assert sampled(7) == {None}
    monkeypatch.setattr("recaudit.unlearn.verify.question.PAIRS", 100)
    assert sampled(7) == {7}


def test_the_same_run_has_the_same_digest_and_resumes(tmp_path: Path) -> None:
    probe = UnlearningProbe(UnlearningConfig(unlearners=("downdate",), **SMALL), 0)
    protocol = Protocol((10, 20))

    def run(folder: Path) -> str:
        store = Store(folder)
        results, failures = run_plan(
            make_plan(target("ease"), [probe], protocol, store), target("ease"), protocol, store, jobs=1
        )
        assert not failures
        cells = sorted(results.by_key.values(), key=lambda cell: cell.key)
        assert any(cell.costs for cell in cells)
        return digest(cells, probe.evidence(target("ease"), results))

    assert run(tmp_path / "a") == run(tmp_path / "b")
    assert not make_plan(target("ease"), [probe], protocol, Store(tmp_path / "a")).missing


def test_too_little_data(tmp_path: Path) -> None:
    own = target("ease")
    bare = own.split.test.take(np.empty(0, np.int64))
    nothing_held_out = Target("t", own.model, own.recipe, Split(own.split.train, bare, bare, "none"), 0, "print", {})
    with pytest.raises(NotApplicable, match="never trained on"):
        UnlearningProbe(UnlearningConfig(**SMALL), 0).cells(nothing_held_out)
    tiny = Target("t", own.model, own.recipe, Split(own.split.train.take(np.arange(5)), bare, bare, "x"), 0, "p", {})
    with pytest.raises(NotApplicable, match="too few"):
        UnlearningProbe(UnlearningConfig(**SMALL), 0).cells(tiny)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unlearners": ("none",)}, "unknown unlearner"), ({"unlearners": ()}, "at least one unlearner"),
        ({"requests": ()}, "at least one kind"), ({"settings": {"influence": {"x": 1}}}, "no field 'x'"),
        ({"retrains": 1}, "greater than or equal to 2"),
    ],
)  # fmt: skip
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UnlearningConfig(**settings)
    assert "ascent-repair" in UnlearningConfig(unlearners="all").unlearners  # type: ignore[arg-type]
