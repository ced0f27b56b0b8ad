"""Accounts of an attack, forgotten again: by a retrain nothing is left, by doing nothing all of it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audited import evidence_of
from numpy.typing import NDArray

from recaudit.attacks.config import InjectionConfig
from recaudit.audit.cell import Cell
from recaudit.audit.evidence import CellResult, Evidence
from recaudit.datasets.split import Split
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target
from recaudit.unlearn.check import UnlearningConfig, UnlearningProbe
from recaudit.unlearn.undoing import Undoing, make_undoing_design, undone

from .conformance import small_log

ATTACK = InjectionConfig(attacks=("popular",), sizes=("5%",), strata=("cold",), per_stratum=3)


@cache
def target() -> Target:
    recipe = Recipe("ease", {"regularisation": 20.0})
    log = small_log(users=150, items=80, events=3_000)
    rows = np.random.default_rng(0).permutation(len(log))
    split = Split(*(log.take(np.sort(part)) for part in np.split(rows, [2_400, 2_700])), "by hand")
    return Target("t", fit(recipe, split.train, 0), recipe, split, 0, "print", {})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evidence]:
    config = UnlearningConfig(
        unlearners=("downdate",), requests=("part-of-users",), pairs=200, retrains=2, refits=2, injected=ATTACK
    )
    folder: Path = tmp_path_factory.mktemp("undoing")
    return {own.id: own for own in evidence_of(UnlearningProbe(config, 0), target(), folder)}


def test_what_the_attack_gained_is_gone_with_its_accounts(found: dict[str, Evidence]) -> None:
    for method in ("downdate", "retrain"):
        own = found[f"unlearning.{method}.injected.popular.5%.log2_rank_shift"]
        assert own.estimate == pytest.approx(0.0, abs=1e-6), "EASE has no seed, so that nothing at all is left"
        assert own.baseline["not forgotten"] > 0.3, "there was something to be undone"
        assert own.n == 3


def test_what_a_retrain_leaves_stands_beside_it(found: dict[str, Evidence]) -> None:
    """A rule for large shifts passes what lies too low, which is no retrain either."""
    for method in ("downdate", "retrain"):
        own = found[f"unlearning.{method}.injected.popular.5%.log2_rank_shift"]
        assert own.details["retrain"] == found["unlearning.retrain.injected.popular.5%.log2_rank_shift"].estimate


class Told:
    """Results of which the ranks are given."""

    def __init__(self, ranks: dict[Cell, float]) -> None:
        self.ranks, self.lost = ranks, set[Cell]()

    def __delitem__(self, cell: Cell) -> None:
        self.lost.add(cell)

    def __contains__(self, cell: object) -> bool:
        return cell in self.ranks and cell not in self.lost

    def __getitem__(self, cell: Cell) -> CellResult:
        values = {f"target/{own}/log2_rank": self.ranks[cell] for own in target().split.train.item_ids}
        return CellResult.model_construct(key=cell.label, label=cell.label, seed=cell.seed, values=values)

    def arrays(self, cell: Cell) -> Mapping[str, NDArray[Any]]:
        return {}


@pytest.mark.parametrize("lost", ["own", "plain", "retrain"])
def test_only_the_same_targets_are_compared(lost: str) -> None:
    design = make_undoing_design(target(), ATTACK, {"downdate": {}, "retrain": {}}, 0)
    key = "popular", "5%"
    trials = {"own": design.trials["downdate", *key], "plain": design.attacks.trials[key],
              "retrain": design.trials["retrain", *key]}  # fmt: skip
    results = Told({cell: 1.0 + place**2 for place, cell in enumerate(design.cells())})
    del results[trials[lost][0].attacked]
    own = next(iter(undone(UnlearningProbe(UnlearningConfig(), 0).made, design, target().split.train, results)))
    there = range(1 if lost == "own" else 0, 3)
    shifts = {
        side: np.mean([results.ranks[own[n].control] - results.ranks[own[n].attacked] for n in there])
        for side, own in trials.items()
    }
    assert own.n == len(there)
    assert own.baseline == ({} if lost == "plain" else {"not forgotten": pytest.approx(shifts["plain"])})
    assert own.details["retrain"] == (None if lost == "retrain" else pytest.approx(shifts["retrain"]))


def test_doing_nothing_leaves_the_attacked_model() -> None:
    design = make_undoing_design(target(), ATTACK, {"do-nothing": {}}, 0)
    trial = design.trials["do-nothing", "popular", "5%"][0]
    cell = trial.attacked
    assert isinstance(cell.inquiry, Undoing)
    served = cell.inquiry.answer(target(), cell.seed).served
    assert served is not None
    plain = design.attacks.trials["popular", "5%"][0].attacked
    assert plain.injection is not None
    log = target().split.train.with_accounts(plain.injection.profiles(target().split.train, target().model))
    attacked = fit(target().recipe, log, plain.seed)
    users = np.arange(20)
    history = target().split.history
    assert np.array_equal(served[0].scores(users, history), attacked.scores(users, history))
    assert served[1].n_users == target().split.train.n_users, "injected accounts are not measured"


def test_attacks_methods_and_settings_are_told_apart() -> None:
    methods = {"ascent-repair": {}, "downdate": {}}
    design = make_undoing_design(target(), ATTACK, methods, 0)
    cells = design.cells()
    assert len({str(cell.params) + str(cell.seed) for cell in cells}) == len(cells) == 3 + 3 + 2 * 3
    assert cells[3].injection is not None
    plain, other = (Undoing(cells[3].injection, "ascent-repair", own) for own in ({}, {"step": 0.5}))
    assert plain.describe() != other.describe()
