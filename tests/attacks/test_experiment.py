"""The experiment: which refits, paired how, and what is said about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from recaudit.attacks.catalogue import names
from recaudit.attacks.config import InjectionConfig
from recaudit.attacks.design import victim_kind
from recaudit.attacks.experiment import DemotionProbe, PromotionProbe
from recaudit.attacks.goal import Goal
from recaudit.attacks.injection import AttackInjection
from recaudit.audit.bench import Protocol
from recaudit.audit.cell import Cell
from recaudit.audit.engine import CellResults, make_plan, run_plan
from recaudit.audit.evidence import CellResult, Evidence
from recaudit.audit.probe import NotApplicable, Probe
from recaudit.audit.store import Store
from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.datasets.split import Split, leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target

SPLIT = leave_last_out(generate(users=120, items=90, events=2_400, seed=3))


def target_of(model: str, epochs: int | None = None, split: Split = SPLIT) -> Target:
    """A fitted victim."""
    recipe = Recipe(model, {}, epochs)
    return Target("toy", fit(recipe, split.train, 0), recipe, split, 0, "f" * 64, {})


EASE = target_of("ease")


class Table:
    """Results from a function of the cell; cells it answers with None have failed."""

    def __init__(self, values: Any) -> None:
        self.of = values

    def __contains__(self, cell: object) -> bool:
        return self.of(cell) is not None

    def __getitem__(self, cell: Cell) -> CellResult:
        key = cell.label.encode().hex()
        return CellResult(
            key=key, kind=cell.kind, label=cell.label, params={}, seed=cell.seed, values=self.of(cell), seconds=0
        )

    def arrays(self, cell: Cell) -> Mapping[str, Any]:
        raise KeyError(cell)


def computed(probe: Probe, target: Target, tmp_path: Path) -> tuple[dict[str, Evidence], CellResults]:
    """All evidence by id, from refits."""
    protocol = Protocol((10, 20))
    store = Store(tmp_path / "store")
    plan = make_plan(target, [probe], protocol, store)
    assert not plan.skipped
    results, failures = run_plan(plan, target, protocol, store, jobs=1)
    assert not failures, failures[:1]
    return {each.id: each for each in probe.evidence(target, results)}, results


def promotion(**settings: Any) -> PromotionProbe:
    """The check under run seed 7."""
    return PromotionProbe(InjectionConfig(**settings), 7)


def test_cells_pair_every_attack_with_the_controls_of_its_seed() -> None:
    probe = promotion(attacks=("random", "bandwagon"), sizes=("2%", "5%"), per_stratum=3, control_seeds=2)
    design = probe.design(EASE)
    cells = probe.cells(EASE)
    assert len(cells) == 2 + 2 * 2 + 2 * 2 * 9
    assert all(cell.kind == "refit" for cell in cells) and len(design.targets.items) == 9
    assert all(cell.watch == design.targets.items for cell in (*design.controls, *design.clones["2%"]))
    assert all(cell.injection is None for cell in design.controls)
    assert len({cell.key(EASE, {}) for cell in cells}) == len(cells)
    for (attack, size), trials in design.trials.items():
        assert [trial.item for trial in trials] == list(design.targets.items)
        assert set(Counter(trial.attacked.seed for trial in trials).values()) == {4, 5}, "seeds in turn"
        for trial in trials:
            assert trial.attacked.watch == (trial.item,)
            assert trial.attacked.seed == trial.control.seed == trial.clones.seed
            described = trial.attacked.params["injection"]
            assert described["attack"] == attack and described["accounts"] == {"2%": 2, "5%": 6}[size]
            assert trial.clones.params["injection"]["accounts"] == described["accounts"]


def test_every_target_meets_different_seeds_as_often_as_asked() -> None:
    design = promotion(attacks=("random",), per_stratum=2, control_seeds=3, seeds_per_target=2).design(EASE)
    pairs = [(trial.item, trial.attacked.seed) for trial in design.trials["random", "1%"]]
    assert len(set(pairs)) == len(pairs) == 12
    assert set(Counter(seed for _, seed in pairs).values()) == {4}


def test_directions_share_targets_and_controls() -> None:
    push = promotion(per_stratum=2).design(EASE)
    nuke = DemotionProbe(InjectionConfig(per_stratum=2), 7).design(EASE)
    keys = [[cell.key(EASE, {}) for cell in design.controls] for design in (push, nuke)]
    assert keys[0] == keys[1] and push.targets == nuke.targets
    assert promotion(per_stratum=2).design(EASE).controls == push.controls
    other = PromotionProbe(InjectionConfig(per_stratum=2), 8).design(EASE)
    assert not {cell.seed for cell in other.controls} & {cell.seed for cell in push.controls}


def test_attacks_that_coincide_run_once_and_those_that_do_not_apply_are_named() -> None:
    probe = promotion(attacks=("love-hate", "random", "reverse-bandwagon"), per_stratum=1)
    design = probe.design(EASE)
    assert set(design.trials) == {("random", "1%")} and design.inapplicable == ("reverse-bandwagon",)
    evidence = {each.id: each for each in probe.evidence(EASE, Table(lambda cell: None))}
    assert "rating" not in design.kind
    missing = evidence["promotion.reverse-bandwagon.none"].missing
    assert missing is not None and "implicit" in missing
    with pytest.raises(NotApplicable, match="reverse-bandwagon"):
        promotion(attacks=("reverse-bandwagon",)).cells(EASE)


def test_named_items_and_all_attacks() -> None:
    item = str(SPLIT.train.item_ids[SPLIT.train.item[0]])
    design = promotion(attacks="all", items=(item,), control_seeds=1).design(EASE)
    assert [str(SPLIT.train.item_ids[found]) for found in design.targets.items] == [item]
    asked = {name for names in design.aliases.values() for name in names}
    assert asked | set(design.inapplicable) == set(names())
    assert {("revadv", "1%"), ("clear", "1%")} <= set(design.trials) and "extracted-sequences" in design.inapplicable
    with pytest.raises(InputError, match="'no such item'"):
        promotion(items=("no such item",)).design(EASE)


def test_an_attacker_who_asks_the_checkpoint_makes_the_cell_depend_on_its_weights() -> None:
    goal = Goal((1,), 2, 6, "sequence")
    other = replace(EASE, fingerprint="of other weights")
    for attack, asks in (("extracted-sequences", True), ("gradient-sequences", False)):
        cell = Cell("refit", "x", injection=AttackInjection(attack, goal, 0))
        assert cell.injection is not None and cell.injection.asks == asks
        assert (cell.key(EASE, {}) != cell.key(other, {})) == asks


def test_the_arithmetic_by_hand() -> None:
    probe = promotion(attacks=("random",), per_stratum=2, strata=("cold",), control_seeds=2, seeds_per_target=2)
    design = probe.design(EASE)
    first, second = (str(SPLIT.train.item_ids[item]) for item in design.targets.items)
    seeds = [cell.seed for cell in design.controls]

    def values(cell: Cell) -> dict[str, float | None]:
        early = cell.seed == seeds[0]
        attack = (cell.params["injection"] or {}).get("injection")
        gain = {None: 0.0, "clone": 0.01, "attack": 0.1 if early else 0.3}[attack]
        own: dict[str, float | None] = {"ndcg@20": 0.5 - gain, "exposure/gini": 0.9 - gain}
        for item, eligible in ((first, 100.0), (second, 50.0)):
            own |= {
                f"target/{item}/hr@20": (0.2 if early else 0.1) + gain * (2 if item == first else 1),
                f"target/{item}/log2_rank": 8.0 - 10 * gain, f"target/{item}/eligible": eligible,
            }  # fmt: skip
        return own

    found = {each.id: each for each in probe.evidence(EASE, Table(values))}
    hits = found["promotion.random.1%.cold.hr@20"]
    assert [(unit.cluster, round(unit.value, 9)) for unit in hits.units] == [
        (first, 0.2), (first, 0.6), (second, 0.1), (second, 0.3)
    ]  # fmt: skip
    assert {unit.seed for unit in hits.units} == set(seeds)
    assert hits.estimate == pytest.approx(0.3) and hits.n == 4 and hits.worse == "higher"
    assert hits.resolution == pytest.approx(1 / 50)
    assert hits.baseline == pytest.approx({"control": 0.15, "clone_control": 0.165})
    assert hits.details["attacked"] == pytest.approx(0.45) and hits.details["change_by_clones"] == pytest.approx(0.015)
    assert hits.details["targets"] == pytest.approx({first: 0.4, second: 0.2})
    assert hits.details["size_share"] == pytest.approx(1 / 120)
    assert hits.details["utility_change"] == pytest.approx(-0.2)
    assert hits.details["exposure_change"] == pytest.approx(-0.2)
    shift = found["promotion.random.1%.cold.log2_rank_shift"]
    assert shift.estimate == pytest.approx(2.0) and shift.worse == "higher"
    utility = found["promotion.random.1%.utility.ndcg@20"]
    assert utility.estimate == pytest.approx(-0.2) and utility.worse == "lower"
    assert len(hits.cells) == 2 + 2 + 4

    nuke = DemotionProbe(probe.config, 7)
    lost = {each.id: each for each in nuke.evidence(EASE, Table(values))}
    assert lost["demotion.random.1%.cold.hr@20"].estimate == pytest.approx(-0.3)
    assert lost["demotion.random.1%.cold.hr@20"].worse == "higher"
    assert lost["demotion.random.1%.cold.log2_rank_shift"].worse == "lower"


def test_failed_cells_leave_gaps_that_are_said() -> None:
    probe = promotion(attacks=("random",), per_stratum=2, strata=("cold",), control_seeds=2)
    design = probe.design(EASE)
    lost = design.controls[0]

    def values(cell: Cell) -> dict[str, float | None] | None:
        if cell == lost:
            return None
        return {f"target/{SPLIT.train.item_ids[item]}/hr@20": 0.5 for item in cell.watch}

    found = {each.id: each for each in probe.evidence(EASE, Table(values))}
    assert [unit.seed for unit in found["promotion.random.1%.cold.hr@20"].units] == [design.controls[1].seed]
    shift = found["promotion.random.1%.cold.log2_rank_shift"]
    assert shift.estimate is None and shift.missing is not None and "cut-offs" in shift.missing
    nothing = probe.evidence(EASE, Table(lambda cell: None))
    assert all(each.estimate is None and each.missing for each in nothing) and len(nothing) == 4


def test_nothing_to_lose_is_no_evidence_of_a_loss() -> None:
    probe = DemotionProbe(InjectionConfig(attacks=("random",), per_stratum=1, strata=("head", "cold")), 7)
    head = str(SPLIT.train.item_ids[probe.design(EASE).targets.of("head")[0]])

    def values(cell: Cell) -> dict[str, float | None]:
        names = (str(SPLIT.train.item_ids[item]) for item in cell.watch)
        return {f"target/{item}/{name}": float(item == head) for item in names for name in ("hr@20", "log2_rank")}

    ids = {each.id for each in probe.evidence(EASE, Table(values))}
    assert "demotion.random.1%.head.hr@20" in ids and "demotion.random.1%.cold.hr@20" not in ids
    assert "demotion.random.1%.cold.log2_rank_shift" in ids


@pytest.mark.parametrize(("model", "epochs"), [("ease", None), ("mf", 2)])
def test_no_accounts_no_effect_bit_for_bit(model: str, epochs: int | None, tmp_path: Path) -> None:
    found, _ = computed(
        promotion(attacks=("bandwagon",), sizes=("0",), per_stratum=2, control_seeds=1),
        target_of(model, epochs),
        tmp_path,
    )
    assert len(found) == 8
    unseen = found.pop("promotion.bandwagon.0.visibility.detector_auc")
    assert unseen.estimate is None and "not observed" in str(unseen.missing), "there is nobody to see"
    for evidence in found.values():
        assert evidence.estimate == 0.0 and all(unit.value == 0.0 for unit in evidence.units) and evidence.units


def test_a_popularity_model_is_pushed_by_as_many_places_as_it_counts(tmp_path: Path) -> None:
    probe = promotion(attacks=("random",), sizes=("10%",), per_stratum=3, control_seeds=1, strata=("cold",), profile=2)
    target = target_of("popularity")
    found, results = computed(probe, target, tmp_path)
    for trial in probe.design(target).trials["random", "10%"]:
        train = SPLIT.train
        poisoned = train.with_accounts(trial.attacked.injection.profiles(train))  # type: ignore[union-attr]
        assert poisoned.item_counts[trial.item] == train.item_counts[trial.item] + 12
        history = SPLIT.history.matrix().toarray() > 0
        ranks = []
        for user in np.flatnonzero(~history[:, trial.item] & history.any(axis=1)):
            others = poisoned.item_counts[~history[user]]
            own = poisoned.item_counts[trial.item]
            ranks.append(1 + (others > own).sum() + ((others == own).sum() - 1) / 2)
        name = f"target/{train.item_ids[trial.item]}/log2_rank"
        assert results[trial.attacked].values[name] == pytest.approx(np.log2(ranks).mean(), abs=1e-5)
    assert found["promotion.random.10%.cold.log2_rank_shift"].estimate > 0.5  # type: ignore[operator]


def test_a_planted_attack_is_found_and_clones_show_none(tmp_path: Path) -> None:
    probe = promotion(attacks=("bandwagon", "clone-and-push"), sizes=("10%",), per_stratum=4, control_seeds=1)
    found, _ = computed(probe, EASE, tmp_path)
    for attack in ("bandwagon", "clone-and-push"):
        shift = found[f"promotion.{attack}.10%.cold.log2_rank_shift"]
        assert shift.estimate is not None and shift.estimate > 0.5
        assert shift.details["change_by_clones"] < 0.2
        assert all(unit.value > 0 for unit in shift.units)
        gain = found[f"promotion.{attack}.10%.cold.hr@20"]
        assert gain.estimate is not None and gain.estimate > 0.02


def test_what_a_victim_reads_decides_the_attack() -> None:
    assert SPLIT.train.value is not None
    assert victim_kind(EASE) == "implicit", "ratings are there, the model reads none"
    sequential = target_of("gru4rec", 1)
    assert victim_kind(sequential) == "sequence"
    design = promotion(attacks=("random",), per_stratum=1, placement="last").design(sequential)
    assert design.trials["random", "1%"][0].attacked.params["injection"]["placement"] == "last"
    EASE.model.reads_ratings = True  # type: ignore[attr-defined]
    try:
        assert victim_kind(EASE) == "rating"
    finally:
        del EASE.model.reads_ratings  # type: ignore[attr-defined]


def test_what_cannot_be_done_is_not_applicable() -> None:
    everyone = np.repeat(np.arange(30), 4).astype(np.int32)
    names = np.arange(30).astype(str)
    full = InteractionLog(everyone, np.tile(np.arange(4), 30).astype(np.int32), names, names[:6])
    nothing = full.take(np.zeros(len(full), bool))
    target = Target("x", EASE.model, EASE.recipe, Split(full, nothing, nothing, "none"), 0, "f", {})
    with pytest.raises(NotApplicable, match="strata"):
        promotion().cells(target)
    with pytest.raises(NotApplicable, match="lower `profile`"):
        promotion(profile=6).cells(target)
    empty = Target("x", EASE.model, EASE.recipe, Split(nothing, nothing, nothing, "none"), 0, "f", {})
    with pytest.raises(NotApplicable, match="no events"):
        promotion().cells(empty)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"attacks": ("bandwagn",)}, "bandwagon"), ({"attacks": ()}, "at least one"), ({"sizes": ("much",)}, "1%"),
        ({"sizes": ()}, "at least one"), ({"strata": ("warm",)}, "head"), ({"strata": ()}, "head"),
        ({"seeds_per_target": 4}, "control_seeds"), ({"settings": {"bandwagon": {"heads": 1}}}, "heads"),
        ({"profile": 1}, "profile"), ({"knowledge": 0}, "knowledge"), ({"size": "1%"}, "size"),
    ],
)  # fmt: skip
def test_wrong_settings_name_field_and_remedy(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        InjectionConfig(**settings)


def test_settings_round_trip() -> None:
    config = InjectionConfig(attacks=("random", "random"), sizes=("1 %", "1%"), strata=("cold", "head"))
    assert config.attacks == ("random",) and config.sizes == ("1%",) and config.strata == ("head", "cold")
    assert InjectionConfig.model_validate_json(config.model_dump_json()) == config


def test_accounts_are_observed_beside_their_effect(tmp_path: Path) -> None:
    """Random profiles stand out to a detector, and the same measures of cloned profiles stand beside them."""
    found, _ = computed(
        promotion(attacks=("random",), sizes=("10%",), per_stratum=2, control_seeds=1, strata=("cold",)),
        target_of("ease", None),
        tmp_path,
    )
    seen = found["promotion.random.10%.visibility.detector_auc"]
    name = f"stealth/{seen.details['detector']}/auc"
    assert seen.estimate == seen.details["stealth"][name] and seen.worse == "lower"
    assert seen.estimate == max(v for k, v in seen.details["stealth"].items() if k.endswith("/auc") and v is not None)
    assert seen.baseline["clones"] == seen.details["stealth_of_clones"][name]
    assert len(seen.units) == 2 and all(0 <= unit.value <= 1 for unit in seen.units)


def test_cells_of_other_side_features_are_other_cells() -> None:
    cell = Cell("refit", "x")
    keys = set()
    for genre in ("drama", "comedy", None):
        items = None if genre is None else pd.DataFrame({"genre": [genre] * SPLIT.train.n_items})
        train = replace(SPLIT.train, items=items)
        keys.add(cell.key(replace(EASE, split=replace(SPLIT, train=train)), {}))
    assert len(keys) == 3
