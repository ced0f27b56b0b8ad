"""The check "defense": what is left of an attack, what was taken, and what it cost."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import binomtest, norm

from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.experiment import PromotionProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import CellResults, make_plan, run_plan
from recaudit.audit.probe import NotApplicable
from recaudit.audit.store import Store
from recaudit.datasets.split import leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.defenses.check import DefenseProbe, DefensesConfig
from recaudit.defenses.quiet import share_error
from recaudit.fairness.side import ExposureMeasures
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target

FIELDS = {
    "attacks": ("random",), "sizes": ("5%",), "strata": ("cold",), "per_stratum": 2, "control_seeds": 2, "profile": 12,
}  # fmt: skip
PROTOCOL = Protocol((20,), (ExposureMeasures(),))


@cache
def target(model: str = "mf") -> Target:
    split = leave_last_out(generate(users=150, items=160, events=2500, seed=0, ratings=False))
    recipe = Recipe(model, {"dim": 16} if model == "mf" else {}, 4 if model == "mf" else None)
    return Target("t", fit(recipe, split.train, 0), recipe, split, 0, "print", {})


def run(folder: Path, probe: DefenseProbe, model: str = "mf") -> CellResults:
    store = Store(folder)
    results, failures = run_plan(
        make_plan(target(model), [probe], PROTOCOL, store), target(model), PROTOCOL, store, jobs=1
    )
    assert not failures
    return results


def test_evidence_by_hand(tmp_path: Path) -> None:
    probe = DefenseProbe(DefensesConfig(defenses=("fap", "pca-varselect"), **FIELDS), 0)
    results = run(tmp_path, probe)
    found = {one.id: one for one in probe.evidence(target(), results)}
    for name in ("fap", "pca-varselect"):
        head = f"defense.{name}.random.5%"
        assert {f"{head}.hr@20", f"{head}.log2_rank_shift", f"{head}.taken", f"{head}.detection.auc"} <= set(found)
        left, taken = found[f"{head}.log2_rank_shift"], found[f"{head}.taken"]
        assert left.n == taken.n == 2 and left.baseline["undefended"] - left.estimate == pytest.approx(taken.estimate)
        design = probe.design(target())
        trials = design.trials[name, "random", "5%"]
        item = target().split.train.item_ids
        by_hand = np.mean(
            [
                results[t.control].values[f"target/{item[t.item]}/log2_rank"]
                - results[t.attacked].values[f"target/{item[t.item]}/log2_rank"]
                for t in trials
            ]
        )
        assert left.estimate == pytest.approx(by_hand)
        utility = found[f"defense.{name}.utility.ndcg@20"]
        pairs = zip(design.attacks.controls, design.controls[name], strict=True)
        want = np.mean([results[b].values["ndcg@20"] - results[a].values["ndcg@20"] for a, b in pairs])
        assert utility.n == 2 and utility.estimate == pytest.approx(want)
        alarms = found[f"defense.{name}.false_alarms"]
        shares = [results[cell].values["defense/false_alarms"] for cell in design.controls[name]]
        assert alarms.estimate == pytest.approx(np.mean(shares)) and alarms.n == 150
        low, high = alarms.details["intervals"]["false_alarms"]
        assert low < alarms.estimate < high and {f"false_alarms/{g}" for g in ("light", "heavy")} < set(
            alarms.details["intervals"]
        )
        gini = found[f"defense.{name}.exposure.gini"]
        side = [results[b].values["exposure/gini"] - results[a].values["exposure/gini"] for a, b in zip(
            design.attacks.controls, design.controls[name], strict=True)]  # fmt: skip
        assert gini.estimate == pytest.approx(np.mean(side)) and gini.n == 2 and gini.worse == "higher"
        assert utility.details["after"]["exposure/gini"] == pytest.approx(
            utility.details["before"]["exposure/gini"] + np.mean(side)
        )
        assert {"false_alarms/light", "false_alarms/middle", "false_alarms/heavy"} <= set(alarms.details)
        assert found[f"{head}.detection.auc"].details["ap_by_chance"] == pytest.approx(8 / 158, abs=0.001)
        assert 0 <= left.details["false_alarms"] <= 0.1
        assert all((cell.defense_seconds or 0) > 0 for cell in (results[t.attacked] for t in trials))
    shifts = {name: found[f"defense.{name}.random.5%.log2_rank_shift"] for name in ("fap", "pca-varselect")}
    chosen = found["defense.best.log2_rank_shift"]
    prices = {name: 1 - utility_of(results, probe, name) for name in shifts}
    within = [name for name in shifts if prices[name] <= probe.config.tolerance]
    if within:
        name = min(within, key=lambda name: (shifts[name].estimate, prices[name]))
        assert chosen.estimate == shifts[name].estimate and chosen.details["defense"] == name
        assert chosen.baseline == shifts[name].baseline and chosen.details["price"] == pytest.approx(prices[name])
    else:
        assert chosen.missing is not None and "2.0%" in chosen.missing
    again = tmp_path / "again"  # another folder computes all anew: evidence holds nothing that a clock decides
    assert [one.model_dump() for one in probe.evidence(target(), run(again, probe))] == [
        one.model_dump() for one in probe.evidence(target(), results)
    ]


@pytest.mark.parametrize(("share", "count"), [(0.0, 5), (0.0, 1000), (0.02, 150), (0.5, 40), (1.0, 8)])
def test_a_share_never_has_an_interval_without_width(share: float, count: int) -> None:
    low, high, error = share_error(share, count)
    found = binomtest(round(share * count), count).proportion_ci(0.95, "wilson")
    assert (low, high) == (found.low, found.high) and error > 0
    assert max(share + norm.ppf(0.975) * error, 0) >= high - 1e-9 and share - norm.ppf(0.975) * error <= low + 1e-9


def test_defences_that_read_texts_bring_their_control_arms(tmp_path: Path) -> None:
    config = DefensesConfig(
        defenses=("lorec", "slow"), defense_settings={"slow": {"use": "lorec", "arm": "none"}, "lorec": {"batch": 64}},
        **FIELDS,
    )  # fmt: skip
    assert list(config.asked) == ["lorec", "lorec-permuted", "lorec-random-items", "lorec-none", "slow"]
    assert [one.protection.settings for one in config.asked.values()][1] == {"batch": 64, "arm": "permuted"}
    assert list(DefensesConfig(defenses=("lorec",), control_arms=False, **FIELDS).asked) == ["lorec"]
    assert list(DefensesConfig(defenses=("llm4dec", "t-ce"), **FIELDS).asked)[1:3] == [
        "llm4dec-permuted", "llm4dec-random-items",
    ]  # fmt: skip
    quick = {"lorec": {"batch": 1024, "every": 0.2}}
    config = DefensesConfig(
        defenses=("lorec",), defense_settings=quick, **FIELDS | {"per_stratum": 1, "control_seeds": 1}
    )
    probe = DefenseProbe(config, 0)
    found = {one.id: one for one in probe.evidence(target(), run(tmp_path, probe))}
    for arm in ("permuted", "random-items", "none"):
        gain = found[f"defense.lorec.over-{arm}.random.5%.taken"]
        arms = [found[f"defense.{name}.random.5%.taken"].estimate for name in ("lorec", f"lorec-{arm}")]
        assert gain.estimate == pytest.approx(arms[0] - arms[1]) and gain.details["defense"] == "lorec"
    assert found["defense.best.log2_rank_shift"].details["compared"] == ["lorec", "none"]
    own = found["defense.lorec.random.5%.log2_rank_shift"]
    assert own.details["attack_known"] and own.title.endswith("simulates to learn from")
    assert found["defense.best.log2_rank_shift"].details["defense"] == "none", "no credit for what it was taught"
    told = own.details["auc_by_update"]
    assert len(told) > 2 and all(0 <= value <= 1 for value in told)


def test_an_attack_that_is_not_shown_to_work_is_called_so(tmp_path: Path) -> None:
    probe = DefenseProbe(DefensesConfig(defenses=("fap",), **FIELDS | {"per_stratum": 1}), 0)
    found = {one.id: one for one in probe.evidence(target(), run(tmp_path, probe))}
    assert "not shown to work" in found["defense.fap.random.5%.taken"].title


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"defenses": ("mine",)}, "mine"), ({"defense_settings": {"mine": {"use": "nope"}}}, "nope"),
        ({"defense_settings": {"lorec": {"arm": "wrong"}}}, "arm"), ({"defenses": ()}, "at least one"),
    ],
)  # fmt: skip
def test_wrong_labels_and_settings_are_named(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        DefensesConfig.model_validate(FIELDS | settings)


def utility_of(results: CellResults, probe: DefenseProbe, name: str) -> float:
    """Mean over seeds of defended over undefended NDCG@20 without accounts."""
    design = probe.design(target())
    pairs = zip(design.attacks.controls, design.controls[name], strict=True)
    return float(np.mean([results[b].values["ndcg@20"] / results[a].values["ndcg@20"] for a, b in pairs]))


def test_any_price_is_tolerated_if_the_operator_says_so(tmp_path: Path) -> None:
    config = DefensesConfig(defenses=("fap", "pca-varselect"), tolerance=1.0, **FIELDS)
    probe = DefenseProbe(config, 0)
    found = {one.id: one for one in probe.evidence(target(), run(tmp_path, probe))}
    shifts = [found[f"defense.{name}.random.5%.log2_rank_shift"].estimate for name in config.defenses]
    undefended = found["defense.fap.random.5%.log2_rank_shift"].baseline["undefended"]
    assert found["defense.best.log2_rank_shift"].estimate == min([*shifts, undefended])


def test_undefended_cells_are_those_of_the_promotion_check() -> None:
    probe = DefenseProbe(DefensesConfig(defenses=("fap",), **FIELDS), 0)
    plain = PromotionProbe(InjectionConfig(**FIELDS), 0)
    keys = {cell.key(target(), PROTOCOL.describe()) for cell in plain.cells(target())}
    own = [cell.key(target(), PROTOCOL.describe()) for cell in probe.cells(target())]
    assert len(set(own)) == len(own)
    assert {key for cell, key in zip(probe.cells(target()), own, strict=True) if cell.defense is None} <= keys


def test_a_second_run_computes_nothing_and_missing_cells_are_said(tmp_path: Path) -> None:
    probe = DefenseProbe(DefensesConfig(defenses=("fap",), **FIELDS), 0)
    results = run(tmp_path, probe)
    assert not make_plan(target(), [probe], PROTOCOL, Store(tmp_path)).missing
    results.by_key.clear()
    assert all(one.missing for one in probe.evidence(target(), results))


def test_what_does_not_fit_is_reported() -> None:
    config = DefensesConfig(defenses=("fap", "t-ce"), **FIELDS)
    design = DefenseProbe(config, 0).design(target("ease"))
    assert set(design.controls) == {"fap"} and "ease" in design.inapplicable["t-ce"]
    with pytest.raises(NotApplicable, match="ease"):
        DefenseProbe(DefensesConfig(defenses=("t-ce",), **FIELDS), 0).design(target("ease"))
    with pytest.raises(ValueError, match="Did you mean 'fap'"):
        DefensesConfig(defenses=("fapp",))
    with pytest.raises(ValueError, match="share"):
        DefensesConfig(defense_settings={"fap": {"share": 7}})


def test_who_failed_on_a_target_is_not_compared(tmp_path: Path) -> None:
    probe = DefenseProbe(DefensesConfig(defenses=("fap", "pca-varselect"), tolerance=1.0, **FIELDS), 0)
    results, design = run(tmp_path, probe), probe.design(target())
    before = probe.evidence(target(), results)
    lost = design.trials["fap", "random", "5%"][0]
    del results.by_key[results[lost.attacked].key]
    found = {one.id: one for one in probe.evidence(target(), results)}
    assert found["defense.best.log2_rank_shift"].details["compared"] == ["none", "pca-varselect"]
    left = found["defense.fap.random.5%.log2_rank_shift"]
    whole = next(one for one in before if one.id == left.id)
    assert left.n == whole.n - 1
    plain = design.attacks.trials["random", "5%"][1:]
    item = target().split.train.item_ids
    shifts = [
        results[trial.control].values[f"target/{item[trial.item]}/log2_rank"]
        - results[trial.attacked].values[f"target/{item[trial.item]}/log2_rank"]
        for trial in plain
    ]
    assert left.baseline["undefended"] == pytest.approx(np.mean(shifts)), "of the same targets"
