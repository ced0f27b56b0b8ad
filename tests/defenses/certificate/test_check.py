"""The check "certificate": its evidence from counts taken by hand, what it says of itself, and when it does not run."""

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

from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.evidence import CellResult, Evidence
from recaudit.audit.probe import NotApplicable
from recaudit.audit.statistics import clopper_pearson
from recaudit.audit.store import Store
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import Split, leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.defenses.certificate import bagging
from recaudit.defenses.certificate.bagging import Ensemble, most_voted, tie_order, votes
from recaudit.defenses.certificate.bounds import certified, leak, survival
from recaudit.defenses.certificate.check import CertificateConfig, CertificateProbe
from recaudit.defenses.certificate.inquiry import Certificate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target

SMALL = {"models": 600, "sample": 8, "per_model": 4, "list": 4, "users": 20, "targets": 3, "fakes": ("1", "2", "1%")}


@cache
def target(seed: int = 0) -> Target:
    split = leave_last_out(
        generate(users=300, items=60, events=3600, seed=seed, ratings=False, skew=1.5, genres=2, group_gap=0.0)
    )
    recipe = Recipe("itemknn", {})
    return Target("t", fit(recipe, split.train, 0), recipe, split, 0, "p" * 64, {})


def probe(**settings: Any) -> CertificateProbe:
    return CertificateProbe(CertificateConfig(**{**SMALL, **settings}), 7)


def inquiry(one: CertificateProbe, on: Target | None = None) -> Certificate:
    found = one.cells(on or target())[0].inquiry
    assert isinstance(found, Certificate)
    return found


def found_by(one: CertificateProbe, folder: Path, on: Target | None = None) -> dict[str, Evidence]:
    return {found.id: found for found in evidence_of(one, on or target(), folder)}


def test_evidence_by_hand(tmp_path: Path) -> None:
    found = found_by(probe(), tmp_path)
    heads = [f"certificate.itemknn.e{size}" for size in ("1", "2", "1%")]
    assert list(found) == [
        f"{head}.{name}" for head in heads for name in ("share", "not_promotable")
    ] + ["certificate.itemknn.utility.hr@4"]  # fmt: skip
    split, n = target().split, 300
    history = split.history.matrix()
    users = rng(7, "certificate", "users").permutation(n)[:20]
    order = tie_order(split.train.item_ids)
    counts = votes(split.train.matrix(), history[users], users, order, Ensemble(600, 8, 4), 7)
    lower, upper = clopper_pearson(counts, 600, 0.001 / (2 * 20 * 60))
    upper[history[users].toarray() > 0] = -np.inf
    keep = np.zeros(counts.shape, bool)
    np.put_along_axis(keep, most_voted(counts, order, 4).astype(np.int64), True, 1)
    shares = {}
    for size, number in (("1", 1), ("2", 2), ("1%", 3)):
        share = found[f"certificate.itemknn.e{size}.share"]
        stay = certified(lower, upper, keep, 4, survival(n, 8, number), leak(n, 8, number), 4)
        assert [unit.value for unit in share.units] == (stay / 4).tolist()
        assert share.estimate == pytest.approx(stay.mean() / 4) and share.n == 20
        assert share.details["fakes"] == number and share.details["sigma"] == survival(n, 8, number)
        assert share.details["tests"] == 2 * 20 * 60 and share.worse == "lower"
        shares[number] = share.estimate or 0.0
        assert share.baseline["no fake account"] >= shares[number]
    assert 1 > shares[1] >= shares[2] >= shares[3] > 0
    assert found[f"{heads[0]}.share"].details["tolerated/one"] >= 1


def test_it_says_whom_it_is_about(tmp_path: Path) -> None:
    found = found_by(probe(), tmp_path)
    for one in found.values():
        assert one.missing is None
        assert "not of the audited model" in one.title or "less that of the audited model" in one.title
    share = found["certificate.itemknn.e1.share"]
    assert "1 fake account " in share.title and "2 fake accounts" in found["certificate.itemknn.e2.share"].title
    for name, value in (("models", 600), ("sample", 8), ("per_model", 4), ("alpha", 0.001), ("audited", 20)):
        assert share.details[name] == value
    utility = found["certificate.itemknn.utility.hr@4"]
    own, model = utility.baseline["bagged recommender"], utility.baseline["audited model"]
    assert utility.estimate == pytest.approx(own - model) and utility.n == 300
    assert share.details["ensemble/hr@4"] == own and share.details["model/hr@4"] == model > 0.1
    assert all(unit.cluster.startswith("account ") for unit in share.units)  # nobody is named


def test_promotion_of_little_known_items(tmp_path: Path) -> None:
    found = found_by(probe(fakes=("0", "1", "100%")), tmp_path)
    none, one, all_of_them = (found[f"certificate.itemknn.e{size}.not_promotable"] for size in ("0", "1", "100%"))
    assert none.n == one.n == 3 and {unit.cluster for unit in none.units} == {unit.cluster for unit in one.units}
    assert (none.estimate or 0) >= (one.estimate or 0) > 0.5 and all_of_them.estimate == 0
    assert found["certificate.itemknn.e100%.share"].estimate == 0


def test_rules_and_bases_differ(tmp_path: Path) -> None:
    ours = found_by(probe(), tmp_path / "a")["certificate.itemknn.e1.share"]
    drawn = found_by(probe(only_drawn=True), tmp_path / "b")["certificate.itemknn.e1.share"]
    other = found_by(probe(base="cooccurrence"), tmp_path / "c")["certificate.cooccurrence.e1.share"]
    assert (ours.estimate or 0) > (drawn.estimate or 0)  # each account is listed for by 16 models of 600 alone
    assert other.estimate != ours.estimate and "co-occurrence" in other.title


def test_answers_are_deterministic_and_keyed(tmp_path: Path) -> None:
    one = inquiry(probe(models=60, utility_users=20))
    whole = one.answer(target(), 7).values
    assert pickle.loads(pickle.dumps(one)).answer(target(), 7).values == whole  # noqa: S301
    assert one.answer(target(), 8).values != whole
    with pytest.MonkeyPatch.context() as patch:  # blocks of three accounts, and of one
        patch.setattr(bagging, "_CELLS", 3 * 60)
        assert one.answer(target(), 7).values == whole
        patch.setattr(bagging, "_CELLS", 1)
        assert one.answer(target(), 7).values == whole
    described = inquiry(probe()).describe()
    changed = (
        {"models": 601}, {"sample": 9}, {"per_model": 5}, {"base": "cooccurrence"}, {"only_drawn": True}, {"list": 5},
        {"alpha": 0.01}, {"users": 21}, {"fakes": ("4",)}, {"targets": 2}, {"utility_users": 9},
    )  # fmt: skip
    for change in changed:
        assert inquiry(probe(**change)).describe() != described, change
    store, protocol = Store(tmp_path), Protocol((20,))
    plan = make_plan(target(), [probe()], protocol, store)
    run_plan(plan, target(), protocol, store, jobs=1)
    assert not make_plan(target(), [probe()], protocol, store).missing


def test_missing_cells_are_said() -> None:
    class Nothing:
        def __getitem__(self, cell: object) -> CellResult:
            raise KeyError

        def __contains__(self, cell: object) -> bool:
            return False

        def arrays(self, cell: object) -> dict[str, Any]:
            return {}

    evidence = probe().evidence(target(), Nothing())
    assert len(evidence) == 7 and all(one.missing and one.estimate is None for one in evidence)


def test_small_and_odd_data(tmp_path: Path) -> None:
    tiny = leave_last_out(generate(users=6, items=8, events=24, seed=0, ratings=False, genres=2))
    recipe = Recipe("popularity", {})

    def of(split: Split) -> Target:
        return Target("t", fit(recipe, split.train, 0), recipe, split, 0, "q" * 64, {})

    with pytest.raises(NotApplicable, match="lower `sample`"):
        probe().cells(of(tiny))
    few = probe(sample=6, models=30, list=20, per_model=20)
    found = found_by(few, tmp_path / "tiny", of(tiny))  # every account in every bag, lists longer than the catalogue
    assert all(one.missing or one.estimate is not None for one in found.values())
    nothing = np.zeros(len(tiny.train), bool)
    with pytest.raises(NotApplicable, match="no events"):
        few.cells(replace(of(tiny), split=replace(tiny, train=tiny.train.take(nothing))))
    untested = replace(tiny, test=tiny.test.take(np.zeros(len(tiny.test), bool)))
    found = found_by(few, tmp_path / "untested", of(untested))
    assert "held-out" in (found["certificate.itemknn.utility.hr@20"].missing or "")


def test_settings_are_checked() -> None:
    assert CertificateConfig(fakes=(1, "2", "1 %", "2")).fakes == ("1", "2", "1%")  # type: ignore[arg-type]
    assert CertificateConfig().fakes == ("1", "2", "5", "1%")
    for wrong in ({"fakes": ("many",)}, {"fakes": ()}, {"sample": 0}, {"alpha": 0.0}, {"base": "mf"}, {"size": 1}):
        with pytest.raises(ValidationError):
            CertificateConfig(**wrong)  # type: ignore[arg-type]
