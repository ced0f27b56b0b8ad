"""Rewriting titles: limits hold, nobody else's text moves, and asking the victim moves it most."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from recaudit.attacks.goal import AttackError
from recaudit.attacks.knowledge import KnowledgeError
from recaudit.attacks.rewriting.base import SHORT, Limits, Rewriting, Shelf
from recaudit.attacks.rewriting.catalogue import REWRITINGS, rewriting
from recaudit.attacks.rewriting.check import RewritingConfig, RewritingProbe
from recaudit.attacks.rewriting.serving import Ranks, Rewritten
from recaudit.attacks.rewriting.words import climb, lifts, neighbours
from recaudit.attacks.targets import strata
from recaudit.audit.bench import Protocol
from recaudit.audit.engine import make_plan, run_plan
from recaudit.audit.probe import NotApplicable
from recaudit.audit.store import Store
from recaudit.datasets.errors import InputError
from recaudit.datasets.seeding import rng
from recaudit.datasets.split import leave_last_out
from recaudit.datasets.synthetic import generate
from recaudit.recommenders.base import ReadsText, Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.ranking import rank
from recaudit.recommenders.target import Target

pytest.importorskip("wordllama")

LOOSE = Limits(similarity=0.5)


@cache
def target(vectors: str = "text") -> Target:
    split = leave_last_out(generate(users=300, items=150, events=6000, seed=0, ratings=False))
    recipe = Recipe("sasrec", {"dim": 32, "item_vectors": vectors}, 6)
    return Target("t", fit(recipe, split.train, 0), recipe, split, 0, "print", {})


def shelf(item: int, limits: Limits = LOOSE) -> Shelf:
    return Shelf(target().split.train, item, limits, lambda titles: np.array([len(title) for title in titles], float))


def cold(count: int) -> list[int]:
    return [int(item) for item in strata(target().split.train)["cold"][:count]]


@pytest.mark.parametrize("name", REWRITINGS)
def test_every_rewriting_keeps_the_limits_and_repeats_itself(name: str) -> None:
    for item in cold(4):
        for limits in (LOOSE, Limits()):
            first = rewriting(name).edits(shelf(item, limits), rng(1))
            again = rewriting(name).edits(shelf(item, limits), rng(1))
            title = first.table["title"].iloc[0]
            assert first.items.tolist() == [item] and title == again.table["title"].iloc[0]
            own = shelf(item, limits)
            assert title == own.title or own.allowed([title])[0]
            assert abs(len(title) - len(own.title)) <= max(SHORT, 0.2 * len(own.title))
    assert rewriting(name).reference and rewriting(name).title


@pytest.mark.parametrize("name", [name for name in REWRITINGS if not REWRITINGS[name].asks])
def test_who_does_not_ask_is_not_answered(name: str) -> None:
    own = shelf(cold(1)[0])
    rewriting(name).edits(own, rng(0))
    assert own.asked == 0
    with pytest.raises(KnowledgeError, match="not granted"):
        Shelf(target().split.train, 0, LOOSE).ask(["a"])


def test_a_title_beyond_the_limits_is_refused() -> None:
    class Stuffed(Rewriting):
        name, title, reference = "stuffed", "", ""

        def craft(self, shelf: Shelf, rng: np.random.Generator) -> str:
            return shelf.title + " buy" * 20

    with pytest.raises(AttackError, match="limits"):
        Stuffed().edits(shelf(3), rng(0))
    own = shelf(3)
    assert own.allowed([own.title, own.title + " new", own.title + " new new", "", " "]).tolist()[2:] == [False] * 3


def test_lifts_find_the_words_that_sell() -> None:
    titles = ["Red Car", "Red Boat", "Red Bike", "Old Car", "Old Boat", "Old Bike", "(old) 7"]
    found = lifts(titles, np.array([9, 9, 9, 1, 1, 1, 1]))
    assert list(found) == ["Red", "Old"]  # the others have two titles each
    mean = 31 / 7
    assert found["Red"] == pytest.approx((27 / mean + 3) / 6) and found["Old"] == pytest.approx((4 / mean + 3) / 7)


def test_neighbours_are_one_word_away() -> None:
    assert neighbours("a b", ["c", "B"]) == ["c a b", "a b c", "c b", "a c"]


def test_a_climb_takes_the_best_and_stops_where_nothing_is_better() -> None:
    everything = lambda titles: np.ones(len(titles), bool)  # noqa: E731
    length = lambda titles: np.array([float(len(title)) for title in titles])  # noqa: E731
    assert len(climb("a", ["bb", "cc"], length, everything, rng(0), rounds=5, tries=99)) == len("a bb cc")
    assert climb("a", ["bb"], lambda titles: -length(titles), everything, rng(0), rounds=5, tries=99) == "a"
    assert climb("a", ["bb"], length, lambda titles: np.zeros(len(titles), bool), rng(0), rounds=5, tries=9) == "a"


def test_answers_are_the_ranks_that_ranking_anew_gives() -> None:
    model, history, item = target().model, target().split.history, cold(1)[0]
    assert isinstance(model, ReadsText)
    lacking = np.flatnonzero(np.asarray(history.matrix()[:, [item]].todense()).ravel() == 0)[:50]
    own = Shelf(target().split.train, item, Limits(similarity=-1))
    edits = rewriting("popular-words").edits(own, rng(0))
    log = history.with_edits(edits)
    want = rank(model.reading(log), lacking, log, 0, watch=np.array([item], np.int32)).watched[0]
    got = Ranks(model, history, item, lacking)(own.texts([edits.table["title"].iloc[0], own.title]))
    assert got[0] == pytest.approx(np.log2(want.astype(float)).mean(), abs=1e-6)
    now = rank(model, lacking, history, 0, watch=np.array([item], np.int32)).watched[0]
    assert got[1] == pytest.approx(np.log2(now.astype(float)).mean(), abs=1e-6)


def test_asking_the_victim_lifts_more_than_words_at_random() -> None:
    shifts: dict[str, list[float]] = {"random-words": [], "queried-words": []}
    for item in cold(5):
        name = str(target().split.train.item_ids[item])
        for rewriter, found in shifts.items():
            values = Rewritten(rewriter, item, 60, 20, LOOSE).answer(target(), 0).values
            before, after = (values[f"target/{name}/{side}/log2_rank"] for side in ("before", "after"))
            assert before is not None and after is not None
            found.append(before - after)
    assert np.mean(shifts["queried-words"]) > np.mean(shifts["random-words"]) + 0.2
    assert min(shifts["queried-words"]) > -0.3


def test_the_check_runs_keeps_titles_and_resumes(tmp_path: Path) -> None:
    items = tuple(str(target().split.train.item_ids[item]) for item in cold(2))
    probe = RewritingProbe(
        RewritingConfig(rewritings=("popular-words", "random-words"), items=items, similarity=0.5), 0
    )
    protocol, store = Protocol((20,)), Store(tmp_path)
    plan = make_plan(target(), [probe], protocol, store)
    assert len(plan.cells) == 4
    results, failures = run_plan(plan, target(), protocol, store, jobs=1)
    assert not failures and not make_plan(target(), [probe], protocol, store).missing
    found = {one.id: one for one in probe.evidence(target(), results)}
    assert set(found) == {
        f"rewriting.{name}.cold.{measure}"
        for name in ("popular-words", "random-words")
        for measure in ("hr@20", "log2_rank_shift")
    }
    one = found["rewriting.popular-words.cold.log2_rank_shift"]
    assert one.n == 2 and one.estimate == pytest.approx(np.mean([unit.value for unit in one.units]))
    assert one.details["titles"][items[0]]["before"] == target().split.train.title(cold(1)[0])
    results.by_key.clear()
    assert all(one.missing and one.estimate is None for one in probe.evidence(target(), results))


def test_models_that_read_no_texts_are_not_asked() -> None:
    probe = RewritingProbe(RewritingConfig(), 0)
    with pytest.raises(NotApplicable, match="does not read the texts"):
        probe.cells(target("id"))
    with pytest.raises(InputError, match="no texts"):
        Rewritten("random-words", 0, 5, 20, Limits()).answer(target("id"), 0)
    with pytest.raises(ValueError, match="Did you mean 'random-words'"):
        RewritingConfig(rewritings=("random-word",))
