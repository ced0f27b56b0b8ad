"""The check "simulate": pairs and evidence by hand, the promotion check's refits in round 1, cells that resume."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from victims import small_target

from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.experiment import PromotionProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.cell import Cell
from recaudit.audit.engine import CellResults, make_plan, run_plan
from recaudit.audit.evidence import Evidence, Unit
from recaudit.audit.policy import Policy, Rule
from recaudit.audit.probe import NotApplicable
from recaudit.audit.run import digest
from recaudit.audit.store import Store
from recaudit.audit.verdict import judge
from recaudit.datasets.split import Split
from recaudit.recommenders.target import Target
from recaudit.simulation.check import SimulationProbe
from recaudit.simulation.config import SimulationConfig
from recaudit.simulation.stability import agrees, by_variant, same

PROTOCOL = Protocol((10, 20))
SHARED: dict[str, Any] = {"sizes": ("5%",), "per_stratum": 2, "strata": ("cold", "head"), "profile": 12}
SMALL: dict[str, Any] = {**SHARED, "rounds": 2, "recovery": 1, "variants": {"patient": {"eta": 0.5}}}


@cache
def target() -> Target:
    return small_target("ease")


def probe(**more: Any) -> SimulationProbe:
    return SimulationProbe(SimulationConfig(**{**SMALL, **more}), 0)


def run(folder: Path, own: SimulationProbe | PromotionProbe, on: Target | None = None) -> CellResults:
    on, store = on or target(), Store(folder)
    results, failures = run_plan(make_plan(on, [own], PROTOCOL, store), on, PROTOCOL, store, jobs=1)
    assert not failures
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> CellResults:
    return run(tmp_path_factory.mktemp("cells"), probe())


@pytest.fixture(scope="module")
def found(results: CellResults) -> dict[str, Evidence]:
    return {one.id: one for one in probe().evidence(target(), results)}


def test_ids_and_cells(found: dict[str, Evidence]) -> None:
    moments = ("final", "peak", "after_removal")
    want = {f"simulate.popular.5%.{s}.target_share.{m}" for s in ("cold", "head") for m in moments}
    assert set(found) == want | {"simulate.popular.5%.concentration", "simulate.popular.5%.stability"}
    cells = probe().cells(target())
    # two clean arms (one a seed) and four poisoned ones, under each of two user models
    assert len(cells) == 2 * (2 + 4) and len({cell.key(target(), {}) for cell in cells}) == 12
    assert all(cell.trains for cell in cells)


def test_shares_by_hand(results: CellResults, found: dict[str, Evidence]) -> None:
    pairs = probe().simulations(target()).pairs["popular", "5%", "base"]
    ids = target().split.train.item_ids

    def gains(stratum: str, number: int) -> dict[str, float]:
        return {
            str(ids[pair.item]): (results[pair.poisoned].values[f"target/{ids[pair.item]}/round/{number}/share"] or 0)
            - (results[pair.clean].values[f"target/{ids[pair.item]}/round/{number}/share"] or 0)
            for pair in pairs
            if pair.stratum == stratum
        }

    for stratum in ("cold", "head"):
        head = f"simulate.popular.5%.{stratum}.target_share"
        by_round = [float(np.mean(list(gains(stratum, number).values()))) for number in (1, 2, 3)]
        final, peak, left = (found[f"{head}.{moment}"] for moment in ("final", "peak", "after_removal"))
        assert {unit.cluster: unit.value for unit in final.units} == pytest.approx(gains(stratum, 2))
        assert final.estimate == pytest.approx(by_round[1]) and left.estimate == pytest.approx(by_round[2])
        assert peak.estimate == pytest.approx(max(by_round)) and peak.details["round"] == 1 + int(np.argmax(by_round))
        assert final.details["gain_by_round"] == pytest.approx(by_round)
        assert len(final.details["by_round"]["share"]["clean"]) == 3
    gini = found["simulate.popular.5%.concentration"]
    change = [
        (results[pair.poisoned].values["round/2/gini"] or 0) - (results[pair.clean].values["round/2/gini"] or 0)
        for pair in pairs
    ]
    assert gini.estimate == pytest.approx(np.mean(change)) and gini.n == 4
    assert found["simulate.popular.5%.cold.target_share.final"].estimate > 0.001  # type: ignore[operator]


def test_stability_by_hand(results: CellResults, found: dict[str, Evidence]) -> None:
    simulations, ids = probe().simulations(target()), target().split.train.item_ids

    def gain(people: str, stratum: str, number: int) -> float:
        pairs = [pair for pair in simulations.pairs["popular", "5%", people] if pair.stratum == stratum]
        name = "target/{}/round/{}/share"
        sides = [
            [results[cell].values[name.format(ids[pair.item], number)] or 0 for cell in (pair.poisoned, pair.clean)]
            for pair in pairs
        ]
        return float(np.mean([after - before for after, before in sides]))

    stable = found["simulate.popular.5%.stability"]
    claims = stable.details["variants"]["patient"]
    assert set(claims) == {f"{s}.{m}" for s in ("cold", "head") for m in ("final", "after_removal")}
    agree = []
    for stratum in ("cold", "head"):
        for moment, number in (("final", 2), ("after_removal", 3)):
            own, other = gain("base", stratum, number), gain("patient", stratum, number)
            claim = claims[f"{stratum}.{moment}"]
            assert claim["effect"] == pytest.approx(other) and claim["difference"] == pytest.approx(other - own)
            agree.append(same(own, other, 2, 0.001))
            assert claim["same"] == agree[-1]
    assert stable.estimate == (0.0 if all(agree) else 1.0) and stable.details["stable"] == all(agree)
    assert agrees({}) is None and agrees({"a": {"same": True}, "b": {"same": None}}) is None
    assert agrees({"a": {"same": True}, "b": {"same": False}}) is False
    strict = {one.id: one for one in probe(factor=1.0, negligible=0.0).evidence(target(), results)}
    assert strict["simulate.popular.5%.stability"].estimate == 1 and "patient" in strict[
        "simulate.popular.5%.stability"].details["differs"]  # fmt: skip


def test_round_one_is_the_refit_of_the_promotion_check(results: CellResults, tmp_path: Path) -> None:
    other = PromotionProbe(InjectionConfig(attacks=("popular",), control_seeds=2, **SHARED), 0)
    refits = run(tmp_path, other)
    trials = other.design(target()).trials["popular", "5%"]
    pairs = probe().simulations(target()).pairs["popular", "5%", "base"]
    assert len(pairs) == 4
    for pair, trial in zip(pairs, trials, strict=True):
        item = target().split.train.item_ids[trial.item]
        for name in ("hr@20", "log2_rank"):
            sides: tuple[tuple[Cell, Cell], ...] = ((pair.poisoned, trial.attacked), (pair.clean, trial.control))
            for ours, theirs in sides:
                want = refits[theirs].values[f"target/{item}/{name}"]
                assert results[ours].values[f"target/{item}/round/1/{name}"] == pytest.approx(want)
        assert results[pair.clean].values["round/1/ndcg@20"] == pytest.approx(refits[trial.control].values["ndcg@20"])


def test_no_accounts_have_no_effect(tmp_path: Path) -> None:
    own = probe(sizes=("0",))
    for one in own.evidence(target(), run(tmp_path, own)):
        assert one.estimate == 0 and one.missing is None, one.id
        assert all(unit.value == 0 for unit in one.units)


def test_same_seed_same_digest_and_an_interrupted_run_resumes(tmp_path: Path, results: CellResults) -> None:
    def numbers(of: CellResults) -> str:
        return digest(sorted(of.by_key.values(), key=lambda cell: cell.key), probe().evidence(target(), of))

    again = run(tmp_path, probe())
    assert numbers(again) == numbers(results)
    assert not make_plan(target(), [probe()], PROTOCOL, Store(tmp_path)).missing
    longer = make_plan(target(), [probe(recovery=2)], PROTOCOL, Store(tmp_path))
    assert len(longer.missing) == len(longer.cells), "another course is another cell"
    more = make_plan(target(), [probe(variants={})], PROTOCOL, Store(tmp_path))
    assert not more.missing, "a user model that is left out changes no other"


def test_missing_cells_are_said(results: CellResults) -> None:
    simulations = probe().simulations(target())
    some = CellResults(target(), PROTOCOL, results.store, dict(results.by_key))
    for pair in simulations.pairs["popular", "5%", "patient"]:
        del some.by_key[results[pair.poisoned].key]
    found = {one.id: one for one in probe().evidence(target(), some)}
    assert "patient" in (found["simulate.popular.5%.stability"].missing or "")
    assert found["simulate.popular.5%.concentration"].estimate is not None
    nothing = CellResults(target(), PROTOCOL, results.store, {})
    assert all(one.missing for one in probe().evidence(target(), nothing))


def test_same_effects() -> None:
    assert same(0.02, 0.03, 2, 0.001) and same(0.02, 0.01, 2, 0.001) and same(-0.02, -0.03, 2, 0.001)
    assert not same(0.02, 0.041, 2, 0.001) and not same(0.041, 0.02, 2, 0.001) and not same(0.02, -0.02, 2, 0.001)
    assert same(0.0005, -0.0005, 2, 0.001) and not same(0.0005, 0.0015, 2, 0.001)
    assert same(0.0, 0.0, 2, 0.0) and not same(0.0, 0.1, 2, 0.0)


def test_variants_are_paired_with_the_base() -> None:
    def units(*values: float) -> list[Unit]:
        return [Unit(cluster=str(n), seed=n % 2, value=value) for n, value in enumerate(values)]

    found = by_variant(units(0.1, 0.2, 0.3), {"a": units(0.2, 0.3, 0.4), "b": units(-0.1, -0.2, -0.3)}, 2, 0.001, 0)
    assert found["a"]["effect"] == pytest.approx(0.3) and found["a"]["ratio"] == pytest.approx(1.5)
    assert found["a"]["same"] is True and found["b"]["same"] is False
    assert found["a"]["difference"] == pytest.approx(0.1)
    assert found["a"]["difference_interval"] == pytest.approx([0.1, 0.1])
    low, high = found["b"]["interval"]
    assert low < -0.2 < high
    assert by_variant([], {"a": units(0.1)}, 2, 0.001, 0)["a"]["same"] is None


def test_an_unstable_effect_fails_its_rule(found: dict[str, Evidence]) -> None:
    from datetime import date

    rule = Rule(select="simulate.*.stability", bound=0.0, reason="an effect that hangs on the user model is no result")
    stable = found["simulate.popular.5%.stability"]
    policy = Policy(rules=(rule,))
    for share, status in ((0.0, "pass"), (0.5, "fail")):
        one = stable.model_copy(update={"estimate": share})
        assert judge([one], [], [], policy, date(2030, 1, 1))[0].status == status


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rounds": 0}, "greater than or equal to 1"), ({"recovery": -1}, "greater than or equal to 0"),
        ({"users": {"mood": 1}}, "Extra inputs"), ({"variants": {"a": {"mood": 1}}}, "variants: a: mood"),
        ({"variants": {"a": {}}}, "is what `users` says"), ({"variants": {"base": {"eta": 0}}}, "is no name"),
        ({"variants": {"<b>": {"eta": 0}}}, "is no name"), ({"attacks": ("none-such",)}, "unknown attack"),
        ({"variants": {"a": {"eta": -2}}}, "variants: a: eta"),
    ],
)  # fmt: skip
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SimulationConfig(**settings)


def test_where_it_does_not_apply() -> None:
    own = target()
    few = Split(
        own.split.train.take(np.arange(60)), own.split.valid.take(np.arange(9)), own.split.test.take(np.arange(9)), "x"
    )
    with pytest.raises(NotApplicable, match="78 events"):
        probe().cells(Target("t", own.model, own.recipe, few, 0, "print", {}))
