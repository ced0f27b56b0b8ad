"""Cells and the engine: keys, caching, failures, the null attack, injected accounts that never count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from victims import Copies, small_target

from recaudit.audit.bench import Protocol, compute
from recaudit.audit.cell import Cell
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.evidence import Evidence
from recaudit.audit.probe import NotApplicable, Probe, ProbeConfig
from recaudit.audit.store import Store
from recaudit.fairness.side import ExposureMeasures
from recaudit.recommenders.base import Recipe

PROTOCOL = Protocol((10, 20), (ExposureMeasures(),))


class Checked(Probe):
    key, title, reference, config_type = "checked", "for tests", "none", ProbeConfig
    wanted: tuple[Cell, ...] = ()

    def cells(self, target: Any) -> Sequence[Cell]:
        if not self.wanted:
            raise NotApplicable("nothing wanted")
        return self.wanted

    def evidence(self, target: Any, results: Any) -> Sequence[Evidence]:
        return []


def probe(*cells: Cell) -> Probe:
    found = Checked(ProbeConfig(), 0)
    found.wanted = cells
    return found


@pytest.fixture(scope="module")
def target() -> Any:
    return small_target()


@pytest.mark.parametrize("model", ["ease", "lightgcn", "sasrec"])
def test_an_attack_of_size_zero_gives_the_controls_numbers_bit_for_bit(model: str) -> None:
    victim = small_target("ease")
    recipe = Recipe(model, {}, None if model == "ease" else 2)
    victim = replace(victim, recipe=recipe)
    control = compute(Cell("refit", "control", seed=4, watch=(3, 7)), victim, PROTOCOL)
    null = compute(Cell("refit", "null", seed=4, watch=(3, 7), injection=Copies(0)), victim, PROTOCOL)
    assert null.result.values == control.result.values
    assert null.result.key != control.result.key, "it was computed, not remembered"


def test_injected_accounts_raise_the_item_and_are_never_counted(target: Any) -> None:
    item = int(np.argmin(np.where(target.split.train.item_counts >= 2, target.split.train.item_counts, 10**6)))
    name = f"target/{target.split.train.item_ids[item]}"
    clean = compute(Cell("refit", "c", watch=(item,)), target, PROTOCOL).result.values
    pushed = compute(Cell("refit", "p", watch=(item,), injection=Copies(60, item)), target, PROTOCOL).result.values
    assert pushed[f"{name}/log2_rank"] < clean[f"{name}/log2_rank"]
    assert pushed[f"{name}/eligible"] == clean[f"{name}/eligible"]


def test_watched_values_equal_a_plain_definition(target: Any) -> None:
    item, split = 5, target.split
    values = compute(Cell("model", "m", watch=(item,)), target, PROTOCOL).result.values
    scores = target.model.scores(np.arange(split.train.n_users), split.history)
    seen = split.history.matrix().toarray() > 0
    ranks = []
    for user in range(split.train.n_users):
        if not seen[user, item]:
            others = np.flatnonzero(~seen[user] & (np.arange(seen.shape[1]) != item))
            above = (scores[user, others] > scores[user, item]).sum()
            ranks.append(1 + above + (scores[user, others] == scores[user, item]).sum() / 2)
    name = f"target/{split.train.item_ids[item]}"
    assert values[f"{name}/eligible"] == len(ranks)
    assert values[f"{name}/hr@10"] == pytest.approx(np.mean(np.array(ranks) <= 10))
    assert values[f"{name}/log2_rank"] == pytest.approx(np.mean(np.log2(ranks)), abs=1e-6)


def test_keys_change_with_everything_that_matters(target: Any) -> None:
    base = Cell("refit", "x", seed=1, watch=(1,), injection=Copies(2))
    others = [
        replace(base, seed=2), replace(base, watch=(1, 2)), replace(base, injection=Copies(3)),
        replace(base, injection=None), replace(base, kind="model"),
    ]  # fmt: skip
    described = PROTOCOL.describe()
    keys = {cell.key(target, described) for cell in (base, *others)}
    keys.add(base.key(replace(target, recipe=Recipe("ease", {"regularisation": 1.0})), described))
    keys.add(base.key(target, Protocol((10,)).describe()))
    assert len(keys) == len(others) + 3
    assert replace(base, label="other words").key(target, described) == base.key(target, described)


def test_equal_cells_are_computed_once_and_kept(target: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    control = Cell("refit", "control", seed=1, watch=(2,))
    probes = [probe(control, Cell("model", "m")), probe(replace(control, label="again")), probe()]
    plan = make_plan(target, probes, PROTOCOL, store)
    assert len(plan.cells) == 2 and len(plan.missing) == 2 and [s.reason for s in plan.skipped] == ["nothing wanted"]
    results, failures = run_plan(plan, target, PROTOCOL, store, jobs=1)
    assert not failures and results[control].values["ndcg@20"] is not None
    assert results.arrays(Cell("model", "m"))["items"].shape == (target.split.train.n_users, 20)
    assert not make_plan(target, probes, PROTOCOL, store).missing


def test_a_cell_that_fails_is_reported_and_the_others_go_on(target: Any, tmp_path: Path) -> None:
    store = Store(tmp_path)
    wrong = Cell("reference", "no such model", recipe=Recipe("nonsense", {}))
    plan = make_plan(target, [probe(wrong, Cell("model", "m"))], PROTOCOL, store)
    results, failures = run_plan(plan, target, PROTOCOL, store, jobs=1)
    assert [failure.label for failure in failures] == ["no such model"] and "nonsense" in failures[0].error
    assert wrong not in results and Cell("model", "m") in results
    assert make_plan(target, [probe(wrong)], PROTOCOL, store).missing, "a failed cell is tried again"


def test_workers_and_their_number_change_nothing(target: Any, tmp_path: Path) -> None:
    cells = [Cell("refit", str(n), seed=n, watch=(n,), injection=Copies(n)) for n in range(4)]
    values = []
    for jobs in (1, 2):
        store = Store(tmp_path / str(jobs))
        results, _ = run_plan(make_plan(target, [probe(*cells)], PROTOCOL, store), target, PROTOCOL, store, jobs=jobs)
        values.append([results[cell].values for cell in cells])
    assert values[0] == values[1]


def test_another_model_in_the_folder_of_an_encoder_is_another_cell(
    target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("refit", "a", 1, recipe=Recipe("sasrec", {"encoder": "folder"}))
    before = cell.key(target, {})
    monkeypatch.setattr("recaudit.audit.cell.fingerprints", lambda _: {"folder": "other weights"})
    assert cell.key(target, {}) != before
