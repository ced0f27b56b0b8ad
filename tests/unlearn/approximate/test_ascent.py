"""Bounded ascent: the loss pushes the right way, the bound holds from both sides, the penalty holds what matters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.datasets.errors import InputError
from recaudit.datasets.log import InteractionLog
from recaudit.privacy.places import places, prefixes
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.unlearn.approximate.ascent import AscentConfig, AscentRepair, ascend
from recaudit.unlearn.approximate.gradients import opened, slowed
from recaudit.unlearn.approximate.reversal import Reversal
from recaudit.unlearn.approximate.watch import Look, Watch, values
from recaudit.unlearn.base import Served
from recaudit.unlearn.request import Request

from ..conformance import examine, requests, small_log, watched

MF = Recipe("mf", {"dim": 8, "max_epochs": 30, "negatives": 32}, 30)
GRU = Recipe("gru4rec", {"dim": 8, "hidden": 8, "max_epochs": 3}, 3)


def parts(seed: int = 0) -> tuple[InteractionLog, InteractionLog]:
    """Training and held-out events."""
    log = small_log(seed)
    held = np.random.default_rng(seed).random(len(log)) < 0.2
    return log.without(held), log.take(held)


def in_service(recipe: Recipe = MF) -> tuple[Served, Request]:
    """A model that knows its training pairs by heart, and a tenth of them to forget."""
    log, held = parts()
    request = Request.of(log, "pairs", rows=np.random.default_rng(1).choice(len(log), len(log) // 10, replace=False))
    return Served(recipe, log, fit(recipe, log, 0), held_out=held), request


@pytest.mark.parametrize("model", ["mf", "lightgcn", "simgcl"])
def test_conformance_of_models_of_pairs(model: str) -> None:
    examine(AscentRepair(AscentConfig(repair=1)), Recipe(model, {"dim": 8, "max_epochs": 2}, 2))


@pytest.mark.parametrize("model", ["sasrec", "gru4rec", "fmlp-rec"])
def test_conformance_of_models_of_sequences(model: str) -> None:
    examine(AscentRepair(AscentConfig(repair=1)), Recipe(model, {"dim": 8, "max_epochs": 1}, 1))


def test_models_without_a_ranking_loss_are_refused() -> None:
    assert "ease" in str(AscentRepair().why_not(Recipe("ease", {}), small_log()))


def test_ascent_ends_at_the_held_out_level_and_never_below() -> None:
    before, request = in_service()
    log = request.retained(before.log)
    watch = Watch(before, request, log, 0)
    assert watch.gap(before.model) > 0.05
    for repair in (0, 3):
        after = AscentRepair(AscentConfig(repair=repair)).forget(before, request, 0)
        assert -1e-9 <= watch.gap(after.model) < 0.02


def test_what_is_already_forgotten_is_not_pushed_down() -> None:
    before, request = in_service()
    done = AscentRepair(AscentConfig(repair=0)).forget(before, request, 0)
    low = replace(before, model=done.model)
    watch = Watch(low, request, done.log, 0)
    watch.start = Look(1.0, 1.0, 1.0)
    model, training = opened(MF, done.log, 0, done.trained.state())
    start = values(training.parameters())
    reversal = Reversal(training, before, request, 4, 8)
    ascend(model, training, reversal, [torch.zeros_like(start[0])], watch, AscentConfig(), 0)
    torch.testing.assert_close(training.parameters()[0].detach(), start[0], rtol=0, atol=0)


def test_without_held_out_pairs_a_fixed_number_of_steps_is_made() -> None:
    before, request = in_service()
    blind = replace(before, held_out=None)
    watch = Watch(before, request, request.retained(before.log), 0)
    assert not Watch(blind, request, request.retained(before.log), 0).known
    gaps = [
        watch.gap(AscentRepair(AscentConfig(repair=0, blind_steps=steps)).forget(blind, request, 0).model)
        for steps in (1, 4)
    ]
    assert watch.gap(before.model) > gaps[0] > gaps[1]
    with pytest.raises(InputError, match="held-out"):
        Watch(blind, request, request.retained(before.log), 0).gap(before.model)


def test_the_first_step_moves_no_row_further_than_it_may() -> None:
    before, request = in_service()
    log = request.retained(before.log)
    model, training = opened(MF, log, 0, before.trained.state())
    start = values(training.parameters())[0]
    watch = Watch(replace(before, held_out=None), request, log, 0)
    reversal = Reversal(training, before, request, 4, 8)
    config = AscentConfig(step=0.2, blind_steps=1, fisher=0)
    ascend(model, training, reversal, [torch.ones_like(start)], watch, config, 0)
    move = (training.parameters()[0].detach() - start).norm(dim=1)
    assert float(move.max() / start.square().sum(1).mean().sqrt()) == pytest.approx(0.2, rel=1e-4)
    own = np.flatnonzero(np.bincount(request.forgotten(before.log).user, minlength=before.log.n_users))
    assert set(torch.nonzero(move[: before.log.n_users])[:, 0].tolist()) == set(own.tolist())


def test_the_penalty_divides_moves_by_what_entries_mean_to_the_rest() -> None:
    before, request = in_service()
    log = request.retained(before.log)
    watch = Watch(replace(before, held_out=None), request, log, 0)
    importance = torch.zeros(log.n_users + log.n_items, 8)
    importance[:, 0] = 8.0  # mean 1
    moves = []
    for weight in (0.0, 3.0):
        model, training = opened(MF, log, 0, before.trained.state())
        start = values(training.parameters())[0]
        reversal = Reversal(training, before, request, 4, 8)
        ascend(model, training, reversal, [importance], watch, AscentConfig(blind_steps=1, fisher=weight), 0)
        moves.append(training.parameters()[0].detach() - start)
    torch.testing.assert_close(moves[1][:, 0], moves[0][:, 0] / 25, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(moves[1][:, 1:], moves[0][:, 1:])


@pytest.mark.parametrize("recipe", [MF, GRU])
def test_the_reversed_loss_falls_with_the_scores_of_forgotten_pairs(recipe: Recipe) -> None:
    before, request = in_service(recipe)
    log = request.retained(before.log)
    model, training = opened(recipe, log, 0, before.trained.state())
    reversal = Reversal(training, before, request, 4, 8)

    def loss() -> float:
        return sum(float(part.detach()) for part in reversal.losses(np.random.default_rng(0)))

    start = loss()
    watch = Watch(replace(before, held_out=None), request, log, 0)
    importance = [torch.zeros_like(parameter) for parameter in training.parameters()]
    ascend(model, training, reversal, importance, watch, AscentConfig(blind_steps=5), 0)
    assert loss() < start


def test_the_first_event_of_a_sequence_is_no_target() -> None:
    log = small_log()
    offsets = np.concatenate([[0], np.cumsum(log.user_counts)])
    order = log.chronological()
    first, third = order[offsets[3]], order[offsets[3] + 2]
    for row, expected in ((first, 0), (third, 1)):
        request = Request.of(log, "one", rows=np.array([row]))
        model = fit(GRU, log, 0)
        _, training = opened(GRU, request.retained(log), 0, model.state())
        found = list(Reversal(training, Served(GRU, log, model), request, 2, 2).losses(np.random.default_rng(0)))
        assert len(found) == expected


def test_the_reversed_loss_of_one_pair_by_hand() -> None:
    log = small_log()
    request = Request.of(log, "one", rows=np.array([0]))
    recipe = Recipe("mf", {"dim": 4, "max_epochs": 1, "loss": "bpr"})
    model = fit(recipe, log, 0)
    _, training = opened(recipe, request.retained(log), 0, model.state())
    user, item = int(log.user[0]), int(log.item[0])
    table = training.parameters()[0].detach()
    vectors = table[log.n_users :]
    seen = log.matrix()[user].toarray()[0] > 0
    scores = (vectors @ table[user]).numpy()
    best = scores[~seen].max()  # with so many rivals the best unseen item is among them
    (part,) = Reversal(training, Served(recipe, log, model), request, 1, 2000).losses(np.random.default_rng(0))
    assert float(part.detach()) == pytest.approx(np.log1p(np.exp(scores[item] - best)), rel=1e-4)


def test_items_turn_away_from_users_who_are_forgotten_whole() -> None:
    """Their rows are thrown away: a loss that moved them would leave the trace in the items."""
    before, _ = in_service()
    log = before.log
    request = requests(log)["five users"]
    whole = request.whole_users(log)
    model, training = opened(MF, request.retained(log), 0, before.trained.state())
    start = values(training.parameters())[0]
    reversal = Reversal(training, before, request, 4, 8)
    watch = Watch(replace(before, held_out=None), request, request.retained(log), 0)
    ascend(model, training, reversal, [torch.zeros_like(start)], watch, AscentConfig(blind_steps=1, fisher=0), 0)
    moved = (training.parameters()[0].detach() - start).norm(dim=1)
    assert float(moved[whole].max()) == 0
    items = np.unique(request.forgotten(log).item)
    assert float(moved[log.n_users + items].min()) > 0


def test_what_items_have_kept_of_users_forgotten_whole_is_taken_down_to_the_mark() -> None:
    recipe = Recipe("mf", {"dim": 8, "max_epochs": 15, "negatives": 32}, 15)
    before = watched(recipe, small_log(users=300, items=200, events=6_000))
    request = Request.of(before.log, "thirty users", users=np.arange(30))
    watches = [Watch(before, request, request.retained(before.log), seed) for seed in range(4)]
    found = [AscentRepair(AscentConfig(repair=0)).forget(before, request, seed).model for seed in range(4)]
    start = np.mean([watch.gap(before.model) for watch in watches])
    assert start > 0.03, "the toy must keep something"
    gaps = np.array([[watch.gap(model) for watch in watches] for model in found])
    own = np.eye(4, dtype=bool)
    assert (gaps[own] > -1e-9).all()
    assert (gaps[own] < 0.02).all()
    assert abs(gaps[~own].mean()) < 0.4 * start  # halves that nothing stopped by; of one draw it may be all of it


def test_sequence_models_are_watched_at_the_place_of_each_event() -> None:
    log, held = parts()
    user = int(np.argmax(log.user_counts))
    request = Request.of(log, "one user", users=np.array([user]))
    retained, forgotten = request.retained(log), request.forgotten(log)
    half = np.isin(request.rows, request.first_halves(log))
    assert half.sum() == len(forgotten) // 2
    assert forgotten.time is not None
    assert forgotten.time[half].max() <= forgotten.time[~half].min()
    model = fit(GRU, log, 0)
    watch = Watch(Served(GRU, log, model, held_out=held), request, retained, 0)
    offsets, items = log.sequences()
    own = items[offsets[user] : offsets[user + 1]]
    assert set(watch.forgotten[1]) <= set(own[1:])
    rows = log.chronological()[offsets[user] + 1 : offsets[user + 1]].astype(np.int64)
    stood = prefixes(log, log.user[rows].astype(np.int64), places(log, rows))
    each = percentiles(model, log.user[rows].astype(np.int64), log.item[rows].astype(np.int64), log, stood)
    assert watch.look(model)[0] == pytest.approx(each.mean(), abs=0.05)  # repeats of a pair are read once
    kept = Request.of(log, "pairs", rows=np.flatnonzero(log.user == user)[:2])
    assert not len(kept.first_halves(log))


def test_as_many_rivals_as_put_the_best_where_held_out_pairs_lie() -> None:
    before, request = in_service()
    watch = Watch(before, request, request.retained(before.log), 0)
    for level, expected in ((0.5, 1), (0.9, 9), (0.2, 1), (1.0, 64)):
        watch.start = Look(0.0, level, 0.0)
        assert watch.rivals == expected


def test_the_learning_rate_is_divided() -> None:
    assert slowed(Recipe("mf", {}, 3), 4).config["learning_rate"] == pytest.approx(1e-2 / 4)
    assert slowed(Recipe("mf", {"learning_rate": 0.5}, 3), 5) == Recipe("mf", {"learning_rate": 0.1}, 3)
