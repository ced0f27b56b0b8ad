"""The check "takeover": what is asked of the checkpoint, on whom it depends, and what is said about it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from recaudit.attacks.hijacking import Pollution
from recaudit.attacks.pollution import pollution_shift
from recaudit.attacks.surrogate.sequence import SequenceConfig, SequenceSurrogate
from recaudit.attacks.takeover import TakeoverConfig, TakeoverProbe
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.evidence import CellResult
from recaudit.audit.probe import NotApplicable
from recaudit.audit.store import Store
from recaudit.datasets.errors import InputError
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import Split, leave_last_out
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.target import Target

from .sequence_tools import VICTIM, medium_log

SMALL = SequenceConfig(max_epochs=1)


@cache
def target_of(model: str = "sasrec") -> Target:
    """A victim of the log that the tests of sequence attacks share."""
    split = leave_last_out(medium_log())
    recipe = VICTIM if model == "sasrec" else Recipe(model, {})
    return Target("toy", fit(recipe, split.train, 0), recipe, split, 0, "f" * 64, {})


def takeover(**settings: Any) -> TakeoverProbe:
    """The check under run seed 7, on a few users."""
    return TakeoverProbe(TakeoverConfig(**{"users": 20, "events": (2,), "surrogate": SMALL, **settings}), 7)


def asked(probe: TakeoverProbe) -> dict[str, float | None]:
    """The answer of its first cell, without the engine."""
    inquiry = probe.cells(target_of())[0].inquiry
    assert inquiry is not None
    return dict(inquiry.answer(target_of(), 7).values)


def names(*places: int) -> tuple[str, ...]:
    """Ids of the least popular items that have two events and more, in the order of these places."""
    counts = target_of().split.train.item_counts
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] >= 2]
    return tuple(str(target_of().split.train.item_ids[order[place]]) for place in places)


class Answers:
    """Results of one answer to whatever was asked; None means that every cell failed."""

    def __init__(self, values: dict[str, float | None] | None) -> None:
        self.values = values

    def __contains__(self, cell: object) -> bool:
        return self.values is not None

    def __getitem__(self, cell: Any) -> CellResult:
        assert self.values is not None
        return CellResult(key="k", kind=cell.kind, label="", params={}, seed=7, values=self.values, seconds=0)

    def arrays(self, cell: Any) -> dict[str, Any]:
        raise KeyError(cell)


def test_models_that_read_no_sequence_are_not_asked() -> None:
    with pytest.raises(NotApplicable, match="sequential models alone"):
        takeover().cells(target_of("popularity"))


def test_one_cell_for_each_number_of_events_and_all_that_matters_is_in_its_key() -> None:
    cells = takeover(events=(5, 1, 5), per_stratum=2).cells(target_of())
    assert [cell.params["events"] for cell in cells] == [5, 1] and {cell.kind for cell in cells} == {"inquiry"}
    assert all(len(cell.watch) == 6 and list(cell.watch) == cell.params["items"] for cell in cells)
    others: list[dict[str, Any]] = [
        {}, {"users": 21}, {"cutoff": 10}, {"relists": True}, {"knowledge": 0.5}, {"surrogate": SequenceConfig()},
        {"per_stratum": 4},
    ]  # fmt: skip
    keys = {takeover(**settings).cells(target_of())[0].key(target_of(), {}) for settings in others}
    assert len(keys) == len(others)
    inquiry = cells[0].inquiry
    assert pickle.loads(pickle.dumps(inquiry)) == inquiry  # noqa: S301


def test_values_are_those_of_the_measure_called_directly() -> None:
    (name,) = names(3)
    target = target_of()
    history = target.split.history
    item = target.split.train.item_ids.tolist().index(name)
    for relists in (False, True):
        found = asked(takeover(items=(name,), relists=relists))
        free = np.setdiff1d(np.arange(history.n_users), history.user[history.item == item])
        users = np.sort(rng(7, "takeover", "users", name).permutation(free)[:20])
        surrogate = SequenceSurrogate.fitted(target.split.train, SMALL, rng(7, "takeover", "surrogate"))
        draw = rng(7, "takeover", "events", name)
        shift = pollution_shift(target.model, history, surrogate, item, users, 2, draw, keep_target=relists)
        expected = {f"target/{name}/eligible": 20.0}
        for side in ("before", "polluted", "random", *(("alternated",) if relists else ())):
            exposure = getattr(shift, side)
            expected |= {
                f"target/{name}/{side}/hr@20": exposure.hit_rate, f"target/{name}/{side}/log2_rank": exposure.log2_rank
            }  # fmt: skip
        assert found == expected


def test_a_further_target_and_a_further_run_change_no_number() -> None:
    one, two = names(3, 8)
    alone, both = asked(takeover(items=(one,))), asked(takeover(items=(two, one)))
    assert alone.items() <= both.items() and len(both) == 2 * len(alone)
    assert asked(takeover(items=(one,), users=19)) != alone


def test_planted_events_do_more_than_random_ones() -> None:
    probe = takeover(
        items=names(3, 8), users=60, events=(4,), relists=True, knowledge=0.9, surrogate=SequenceConfig(max_epochs=6)
    )
    hits, shift = probe.evidence(target_of(), Answers(asked(probe)))
    assert (hits.id, shift.id) == ("takeover.4-events.cold.hr@20", "takeover.4-events.cold.log2_rank_shift")
    for found, margin in ((hits, 0.02), (shift, 0.5)):
        assert found.estimate is not None and found.estimate > found.details["gain_by_random"] + margin
        assert found.n == 2 and [unit.cluster for unit in found.units] == list(found.details["targets"])
        assert found.estimate == pytest.approx(np.mean([unit.value for unit in found.units]))
        assert found.worse == "higher" and found.details["knowledge"] == 0.9 and found.details["relists"]
        assert set(found.baseline) == {"before", "random events", "random events in turn with the item"}
    assert hits.estimate == pytest.approx(hits.details["polluted"] - hits.baseline["before"])
    assert shift.estimate == pytest.approx(shift.baseline["before"] - shift.details["polluted"])
    assert hits.resolution == 1 / 60 and hits.limits == (-1, 1) and shift.resolution == 0 and shift.limits is None


def test_what_was_not_computed_is_missing_evidence() -> None:
    probe = takeover(per_stratum=1)
    for values, words in ((None, "failures"), ({}, "lacks")):
        found = probe.evidence(target_of(), Answers(values))
        assert len(found) == 6 and len({each.id for each in found}) == 6
        assert all(each.estimate is None and words in str(each.missing) for each in found)


def test_an_item_that_nobody_lacks_has_no_numbers() -> None:
    log = medium_log()
    item = int(log.item_counts.argmax())
    holders = log.take(np.isin(log.user, log.user[log.item == item]))
    nothing = log.take(np.zeros(len(log), bool))
    target = replace(target_of(), split=Split(holders, nothing, nothing, "none"))
    found = Pollution((item,), 2, 20, 20, False, 1.0, SMALL).answer(target, 7).values
    assert found == {f"target/{log.item_ids[item]}/eligible": 0.0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"events": (0,)}, "events"), ({"events": ()}, "events"), ({"users": 0}, "users"), ({"strata": ()}, "head"),
        ({"strata": ("warm",)}, "head"), ({"cutoff": 0}, "cutoff"), ({"knowledge": 0}, "knowledge"),
        ({"surrogate": {"dims": 3}}, "surrogate.dims"), ({"sizes": ("1%",)}, "sizes"),
    ],
)  # fmt: skip
def test_wrong_settings_name_the_field(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        TakeoverConfig(**settings)
    with pytest.raises(InputError, match="'no such item'"):
        takeover(items=("no such item",)).cells(target_of())


def test_it_runs_as_cells_that_are_kept(tmp_path: Path) -> None:
    probe = takeover(per_stratum=1, users=20, events=(1, 2))
    protocol, store = Protocol((10, 20)), Store(tmp_path / "store")
    plan = make_plan(target_of(), [probe], protocol, store)
    assert len(plan.missing) == 2
    results, failures = run_plan(plan, target_of(), protocol, store, jobs=1)
    assert not failures
    evidence = probe.evidence(target_of(), results)
    assert len(evidence) == 12 and all(found.missing is None and len(found.cells) == 1 for found in evidence)
    again = make_plan(target_of(), [probe], protocol, store)
    assert not again.missing
    results, _ = run_plan(again, target_of(), protocol, store, jobs=1)
    assert probe.evidence(target_of(), results) == evidence
    eligible = {
        value for cell in results.by_key.values() for name, value in cell.values.items() if name.endswith("/eligible")
    }
    assert eligible == {20.0}
