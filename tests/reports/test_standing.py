from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from recaudit.audit.evidence import AuditRun
from recaudit.datasets.errors import InputError
from recaudit.reports.standing import SHIPPED, Table, load, place, reference, sentences, settings_digest
from recaudit.reports.text import Data

from .hostile import TEXTS, poisoned


def victim(run: AuditRun, name: str, shift: float, **target: Any) -> AuditRun:
    """Another model's audit: every number is `shift` higher."""
    card = run.target.model_copy(update={"model_fingerprint": name, "recipe": {"model": name}, **target})
    moved = [
        e.model_copy(update={"estimate": None if e.estimate is None else e.estimate + shift}) for e in run.evidence
    ]
    return run.model_copy(update={"target": card, "evidence": moved, "status": "complete"})


def table(*runs: AuditRun) -> Table:
    return Table(made_by="a test", references=tuple(reference(run, "films") for run in runs))


@pytest.fixture(scope="module")
def references(run: AuditRun) -> Table:
    return table(victim(run, "low", -0.1), victim(run, "middle", 0.0), victim(run, "high", 0.1))


def test_rank_and_range_follow_the_side_that_is_worse(run: AuditRun, references: Table) -> None:
    standing = place(victim(run, "own", 0.05), references)
    assert standing.labels == ("low", "middle", "high") and standing.reason == ""
    places = {own.id: own for own in standing.places}
    assert set(places) == {e.id for e in run.evidence if e.estimate is not None} - {"quality.reproduction"}
    gini, utility = places["exposure.gini@20"], places["quality.ndcg@20"]
    assert (gini.worse, gini.rank, gini.references, gini.best_label) == ("higher", 3, 3, "low")
    assert (utility.worse, utility.rank, utility.best_label) == ("lower", 2, "high")
    assert (gini.best, gini.worst) == (pytest.approx(0.6521), pytest.approx(0.8521))
    assert (utility.best, utility.worst) == (pytest.approx(0.2312), pytest.approx(0.0312))


def test_equal_numbers_share_the_better_rank_and_one_does_not_stand_beside_oneself(run: AuditRun) -> None:
    entries = table(victim(run, "own", 0.3), victim(run, "same", 0.0), victim(run, "other", 0.0))
    standing = place(victim(run, "own", 0.0), entries)
    assert {own.rank for own in standing.places} == {1} and standing.labels == ("same", "other")


def test_bounds_and_waivers_may_differ_settings_may_not(run: AuditRun, references: Table) -> None:
    own = victim(run, "own", 0.0)

    def under(**policy: Any) -> AuditRun:
        return own.model_copy(update={"policy": run.policy | policy, "policy_digest": "other"})

    everything = len(place(own, references).places)
    assert len(place(under(rules=[], waivers=[], strict=True, confidence=0.9), references).places) == everything
    checks = run.policy["checks"] | {"promotion": {"sizes": ["9%"]}}
    partly = place(under(checks=checks), references)
    assert 0 < len(partly.places) < everything
    assert not [own for own in partly.places if own.id.startswith("promotion")]
    for policy in ({"seed": 8}, {"cutoffs": [5]}):
        standing = place(under(**policy), references)
        assert standing.places == () and "other settings or another seed" in standing.reason
    assert settings_digest({}, "quality") == settings_digest({"checks": {}}, "quality")


def test_what_cannot_be_compared_says_why(run: AuditRun, references: Table) -> None:
    other = place(victim(run, "own", 0.0, data_fingerprint="else"), references)
    assert other.places == () and "no reference was audited on these data" in other.reason and "films" in other.reason
    empty = place(run, Table(made_by="a test"))
    assert "empty" in empty.reason and "Not placed" in str(sentences(empty)[0][0])


def test_sentences_isolate_what_came_from_the_run(run: AuditRun, references: Table) -> None:
    told = sentences(place(victim(run, "own", 0.05), references), limit=3)
    assert len(told) == 4 and "more could be placed" in str(told[3][0])
    assert "place 2 of 4" in str(told[1][1])
    for text in TEXTS:
        hostile = poisoned(run, text).model_copy(update={"policy": run.policy, "target": run.target})
        standing = place(victim(hostile, "own", 0.0), table(victim(hostile, text, 0.1)))
        for parts in sentences(standing):
            assert all(text not in part for part in parts if not isinstance(part, Data))
            assert all(len(part.value) <= 160 for part in parts if isinstance(part, Data))


def test_an_unfinished_run_is_no_reference(run: AuditRun) -> None:
    with pytest.raises(InputError, match="did not finish"):
        reference(run, "films")


def test_tables_are_read_back_and_damaged_ones_named(references: Table, tmp_path: Path) -> None:
    path = tmp_path / "standing.json"
    path.write_text(references.model_dump_json())
    assert load(path) == references
    for content, word in (("{", "file"), ('{"version": 2, "made_by": "x"}', "version"), ('{"version": 1}', "made_by")):
        path.write_text(content)
        with pytest.raises(InputError, match=word) as caught:
            load(path)
        assert str(path) in str(caught.value)
    with pytest.raises(InputError, match="standing_table"):
        load(tmp_path / "nowhere.json")


def test_the_shipped_table_is_valid_and_has_every_victim_once() -> None:
    shipped = load(SHIPPED)
    keys = [(e.data_fingerprint, e.policy_digest, e.model_fingerprint) for e in shipped.references]
    assert len(set(keys)) == len(keys)
    for entry in shipped.references:
        assert (
            entry.values
            and entry.evidence_digest
            and set(entry.settings) == {name.split(".")[0] for name in entry.values}
        )


def test_the_script_adds_and_replaces(run: AuditRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "standing_table.py"))
    for name, shift in (("one", 0.0), ("two", 0.1)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(victim(run, name, shift).model_dump_json())
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "run.json").write_text(run.model_dump_json())
    found = script["found_below"]([tmp_path], "films")
    assert [entry.label for entry in found] == ["one", "two"] and "did not finish" in capsys.readouterr().out
    first = script["merged"](Table(made_by="x"), found)
    again = script["merged"](first, [reference(victim(run, "two", 0.4), "films")])
    assert [entry.label for entry in again.references] == ["one", "two"]
    assert again.references[1].values != first.references[1].values
