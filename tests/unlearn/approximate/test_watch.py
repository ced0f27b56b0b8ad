"""Which pairs are watched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recaudit.datasets.errors import InputError
from recaudit.datasets.split import leave_last_out
from recaudit.privacy.places import prefixes
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import build, fit
from recaudit.recommenders.fold_in import FoldedIn
from recaudit.unlearn.approximate.easy import as_easy, hints
from recaudit.unlearn.approximate.watch import Look, Watch
from recaudit.unlearn.base import Served
from recaudit.unlearn.request import Request

from ..conformance import served, small_log, watched


@pytest.fixture(scope="module")
def before() -> Served:
    log = small_log(users=80, items=60, events=1_600)
    rows = np.random.default_rng(0).permutation(len(log)) < 1_300
    return replace(served(Recipe("ials", {"dim": 8}), log.take(rows)), held_out=log.take(~rows))


def test_a_look_is_mean_percentiles(before: Served) -> None:
    request = Request.of(before.log, "x", rows=np.arange(0, 400, 3))
    kept = request.retained(before.log)
    watch = Watch(before, request, kept, 0)
    forgotten, held = (percentiles(before.model, *pairs, kept) for pairs in (watch.forgotten, watch.controls))
    found = watch.look(before.model)
    assert found.forgotten == pytest.approx(forgotten.mean())
    assert found.held == pytest.approx(held.mean())
    assert found.level == pytest.approx((held * watch.weights).sum() / watch.weights.sum())
    assert found == watch.start
    assert watch.gap(before.model) == pytest.approx(found.forgotten - found.level)


def known_by_heart() -> Served:
    """Factors that have learnt their pairs well, and a tenth held out."""
    recipe = Recipe("mf", {"dim": 8, "max_epochs": 15, "negatives": 32}, 15)
    return watched(recipe, small_log(users=300, items=200, events=6_000))


def test_users_who_are_forgotten_whole_are_read_by_half_their_history() -> None:
    """And so are those whose held-out pairs are compared; what is asked of neither is read."""
    before = known_by_heart()
    log, request = before.log, Request.of(before.log, "x", users=np.arange(20))
    watch = Watch(before, request, request.retained(log), 0)
    folded = watch.folded
    assert folded is not None
    read = np.bincount(folded.known.user, minlength=log.n_users)
    assert (read[folded.users] > 0).all()
    assert folded.users[:20].sum() >= 19
    assert 0.9 < folded.users[20:].sum() / ((log.user_counts[20:] > 0).sum() // 2) <= 1
    assert folded.users[watch.controls[0]].all()
    asked = log.pair_keys[folded.asked]
    assert not np.isin(asked, folded.known.pair_keys).any()
    assert np.isin(watch.forgotten[0] * log.n_items + watch.forgotten[1], asked).all()
    expected = percentiles(
        FoldedIn(before.model, folded.retained, folded.known, np.flatnonzero(folded.users)), *watch.forgotten,
        folded.known,
    )  # fmt: skip
    assert watch.look(before.model).forgotten == pytest.approx(expected.mean())


def test_their_rows_are_not_read() -> None:
    before = known_by_heart()
    request = Request.of(before.log, "x", users=np.arange(20))
    watch = Watch(before, request, request.retained(before.log), 0)
    state = dict(before.trained.state())
    state["user"] = state["user"].clone()
    state["user"][:20] = 0
    other = build(before.recipe)
    other.load(state, before.log.n_users, before.log.n_items)
    assert watch.look(other) == watch.start


def test_retrains_lie_at_the_mark_where_users_are_forgotten_whole() -> None:
    """On average: the mark starts from what others' pairs gain by being taught, and users differ."""
    before, found = known_by_heart(), []
    for seed in range(3):
        users = np.random.default_rng(seed).choice(before.log.n_users, 30, replace=False)
        request = Request.of(before.log, "x", users=users)
        kept = request.retained(before.log)
        watch = Watch(before, request, kept, seed)
        found.append((watch.gap(before.model), watch.gap(fit(before.recipe, kept, seed + 1))))
    start, left = np.mean(found, axis=0)
    assert start > 0.05
    assert abs(left) < 0.4 * start


def test_few_pairs_of_whole_users_among_others_are_left_out() -> None:
    before = known_by_heart()
    log = before.log
    rows = np.flatnonzero((log.user >= 1) & (log.user < 60) & (log.item % 2 == 0))
    request = Request.of(log, "x", rows=rows, users=np.array([0]))
    watch = Watch(before, request, request.retained(log), 0)
    assert watch.folded is None
    assert 0 not in watch.forgotten[0]


def test_held_out_pairs_that_the_request_forgets_are_not_read(before: Served) -> None:
    assert before.held_out is not None
    users = np.arange(40)
    request = Request.of(before.log, "x", users=users)
    watch = Watch(before, request, request.retained(before.log), 0)
    assert watch.known
    assert not np.isin(watch.controls[0], users).any()


def test_without_held_out_events_nothing_is_known(before: Served) -> None:
    request = Request.of(before.log, "x", users=np.array([3]))
    watch = Watch(replace(before, held_out=None), request, request.retained(before.log), 0)
    assert not watch.known
    assert watch.rivals == 8
    with pytest.raises(InputError, match="no held-out pairs"):
        watch.gap(before.model)


def test_the_mark_moves_with_how_easy_the_forgotten_events_are() -> None:
    odds = np.log(0.8 / 0.2) + 1.0  # one log odd easier than where held-out events stand
    assert Look(0.95, 0.8, 0.7).mark(1.0) == pytest.approx(1 / (1 + np.exp(-odds)))
    assert Look(0.95, 0.8, 0.7).mark() == pytest.approx(0.8)


def test_a_model_in_order_is_held_against_the_last_taught_events() -> None:
    split = leave_last_out(small_log(users=150, items=60, events=3_000))
    before = replace(served(Recipe("sasrec", {"dim": 16, "max_epochs": 5}), split.train), held_out=split.valid)
    log = split.train
    rows = np.flatnonzero(np.isin(log.user, np.arange(30)) & (np.arange(len(log)) % 2 == 0))
    request = Request.of(log, "x", rows=rows)
    watch = Watch(before, request, request.retained(log), 0)
    order = log.chronological()
    last = order[np.flatnonzero(np.append(np.diff(log.user[order]) != 0, True))]
    last = last[np.isin(log.user[last], watch.controls[0])]
    users, items = log.user[last].astype(np.int64), log.item[last].astype(np.int64)
    found = percentiles(before.model, users, items, log, prefixes(log, users, log.user_counts[users] - 1))
    kept = request.retained(log)
    sides = (hints(None, kept, pairs, log) for pairs in (watch.forgotten, (users, items)))
    weights = as_easy(*sides, placed=found)
    assert watch.start is not None
    odds = [np.log(level / (1 - level)) for level in (watch.start.forgotten, found @ weights / weights.sum())]
    assert watch.easier == pytest.approx(np.clip(odds[0] - odds[1], 0, np.log(2)))
    assert watch.easier > 0


@pytest.mark.parametrize(("count", "known"), [(5, False), (24, False), (60, True)])
def test_a_handful_of_held_out_pairs_tells_nothing(before: Served, count: int, known: bool) -> None:
    assert before.held_out is not None
    few = replace(before, held_out=before.held_out.take(np.arange(count)))
    request = Request.of(before.log, "x", rows=np.arange(0, 400, 3))
    assert Watch(few, request, request.retained(before.log), 0).known == known
