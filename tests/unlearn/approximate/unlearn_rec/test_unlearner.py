"""UnlearnRec as a whole: its parts one by one, when it stops, and on which models it works."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.datasets.log import InteractionLog
from recaudit.datasets.synthetic import generate
from recaudit.privacy.signals import percentiles
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import CATALOGUE, build
from recaudit.recommenders.lightgcn import LightGCN
from recaudit.recommenders.propagation import adjacency, propagate
from recaudit.recommenders.sampling import Positives
from recaudit.unlearn.approximate.unlearn_rec.aim import Aim
from recaudit.unlearn.approximate.unlearn_rec.unlearner import Memory, UnlearnRec, UnlearnRecConfig, simulated
from recaudit.unlearn.approximate.watch import Look, Watch
from recaudit.unlearn.base import Served
from recaudit.unlearn.request import Request

from ...conformance import examine, served, small_log

SMALL = {"dim": 8, "negatives": 32, "batch_size": 512, "min_steps": 2, "layers": 2}
RECIPE = Recipe("lightgcn", SMALL, 4)


@pytest.fixture(autouse=True)
def _sgl(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SGL by name, whether or not the catalogue has its line."""
    monkeypatch.setitem(CATALOGUE.own, "sgl", ("sgl", "SGL"))  # type: ignore[arg-type]
    yield


def make(**config: Any) -> UnlearnRec:
    return UnlearnRec(UnlearnRecConfig(**config))


@pytest.fixture(scope="module")
def memorised() -> Served:
    """A model that knows its pairs by heart, and a fifth of the log that it has not seen."""
    log = generate(users=120, items=80, events=2400, seed=2)
    out = np.random.default_rng(0).random(len(log)) < 0.2
    recipe = Recipe("lightgcn", {**SMALL, "dim": 32, "layers": 1}, 60)
    return replace(served(recipe, log.without(out)), held_out=log.take(out))


def tables(model: Any) -> torch.Tensor:
    state = model.state()
    return torch.cat([state["user_base"], state["item_base"]])


def halves(log: InteractionLog, users: int = 15) -> Request:
    draw = np.random.default_rng(3)
    chosen = draw.choice(log.n_users, users, replace=False)
    return Request.of(log, "halves", rows=np.flatnonzero(np.isin(log.user, chosen) & (draw.random(len(log)) < 0.5)))


def stands(model: Any, pairs: InteractionLog, history: InteractionLog) -> float:
    return float(percentiles(model, pairs.user.astype(np.int64), pairs.item.astype(np.int64), history).mean())


@pytest.mark.parametrize(
    "recipe",
    [
        RECIPE,
        Recipe("lightgcn", {**SMALL, "loss": "bpr"}, 3),
        Recipe("simgcl", SMALL, 3),
        Recipe("sgl", SMALL, 3),
    ],
    ids=["lightgcn", "lightgcn-bpr", "simgcl", "sgl"],
)
def test_examination(recipe: Recipe) -> None:
    examine(make(fine_tune=1), recipe)


def test_examination_of_edge_removal() -> None:
    examine(make(encoder=False, fine_tune=0), RECIPE)


def test_other_models_are_refused() -> None:
    for name in ("mf", "feature-lightgcn", "ease"):
        assert "lightgcn, simgcl, sgl" in str(make().why_not(Recipe(name, {}), small_log()))


@pytest.mark.parametrize("masked", [True, False])
def test_no_influence_is_edge_removal_alone(masked: bool) -> None:
    before = served(RECIPE, small_log())
    request = halves(before.log, 5)
    plain = make(encoder=False, fine_tune=0).forget(before, request, 0)
    nodes = before.log.n_users + before.log.n_items
    nothing = replace(before, memory=Memory(torch.zeros(nodes, 8), torch.zeros(nodes, 1)))
    encoded = make(fine_tune=0, masked=masked).forget(nothing, request, 0)
    for name, tensor in plain.trained.state().items():
        assert torch.equal(tensor, encoded.trained.state()[name]), name
    # and edge removal is the old base table over the graph of the retain set
    assert torch.equal(tables(plain.model), tables(before.model))
    graph = adjacency(Positives.of(plain.log))
    found = torch.cat([plain.trained.state()["user"], plain.trained.state()["item"]])
    torch.testing.assert_close(found, propagate(graph, tables(before.model), 2))


def test_the_mask_keeps_the_shift_on_the_request() -> None:
    before = served(RECIPE, small_log())
    request = halves(before.log, 5)
    touched = np.zeros(100, bool)
    gone = request.forgotten(before.log)
    touched[gone.user] = touched[gone.item + 60] = True
    trained = replace(before, memory=Memory(torch.full((100, 8), 0.1), torch.full((100, 1), 0.5)))
    for masked in (True, False):
        after = make(fine_tune=0, masked=masked).forget(trained, request, 0)
        moved = (tables(after.model) != tables(before.model)).any(1).numpy()
        assert (moved == touched).all() if masked else moved.all()


def test_a_user_with_nothing_left_gets_an_untrained_row() -> None:
    before = served(RECIPE, small_log())
    request = Request.of(before.log, "user 4", users=np.array([4]))
    for renew in (True, False):
        after = make(encoder=False, fine_tune=0, renew=renew).forget(before, request, 0)
        same = (tables(after.model) == tables(before.model)).all(1).numpy()
        assert (np.flatnonzero(~same) == ([4] if renew else [])).all()


def test_pretraining_keeps_what_leaves_simulated_requests_nearest(memorised: Served) -> None:
    prepared = make(share=0.2).prepare(memorised, 1)
    gaps = prepared.memory.gaps
    assert len(gaps) > 2
    if min(gaps) == gaps[0]:
        assert (prepared.memory.hidden == 0).all()
    else:
        assert prepared.memory.hidden.abs().sum() > 0
    again = make(share=0.2).prepare(memorised, 1).memory
    assert torch.equal(again.hidden, prepared.memory.hidden)
    untrained = make(share=0).prepare(memorised, 1).memory
    assert (untrained.hidden == 0).all()
    assert gaps[0] == untrained.gaps[0]


def test_forgotten_pairs_fall_towards_the_held_out_ones_and_stop(memorised: Served) -> None:
    """The claim, on a model that memorises: fine-tuning lowers them, edges alone less, and not far below the mark."""
    request = halves(memorised.log)
    gone, kept = request.forgotten(memorised.log), request.retained(memorised.log)
    edges = make(encoder=False, fine_tune=0).forget(memorised, request, 0)
    tuned = make(encoder=False, fine_tune=30, tune_rate=0.01).forget(memorised, request, 0)
    watch = Watch(memorised, request, kept, 0)
    before, now = (stands(part.model, gone, kept) for part in (edges, tuned))
    aim = Aim.at(watch, memorised.recipe, edges.trained.state())
    assert before > aim.start.level + 0.05, "the toy must memorise"
    assert now < before - 0.3 * (before - aim.start.level)
    assert now > aim.start.level - 0.05
    assert aim.miss(tuned.trained.state())[1] < aim.miss(edges.trained.state())[1]


def test_a_hard_push_lands_at_the_mark_and_not_below(memorised: Served) -> None:
    """One look in an epoch: what lies below is not thrown away with all that led there."""
    request = halves(memorised.log)
    watch = Watch(memorised, request, request.retained(memorised.log), 0)
    edges = make(encoder=False, fine_tune=0).forget(memorised, request, 0)
    aim = Aim.at(watch, memorised.recipe, edges.trained.state())
    pushed = make(encoder=False, fine_tune=30, unlearn=5.0, checks=1).forget(memorised, request, 0)
    assert aim.over(edges.trained.state()) > 0.05
    assert -1e-6 <= aim.over(pushed.trained.state()) < 0.02


def test_a_model_already_below_the_mark_is_not_pushed(memorised: Served) -> None:
    """Pairs that were never trained on, held against trained ones: any step would be over-forgetting."""
    assert memorised.held_out is not None
    request = halves(memorised.log)
    known = memorised.log.without(request.mask(memorised.log))
    swapped = replace(memorised, log=known.plus(memorised.held_out), held_out=request.forgotten(memorised.log))
    unseen = len(known) + np.flatnonzero(np.isin(memorised.held_out.user, memorised.log.user[request.rows]))
    easy = Request.of(swapped.log, "never trained", rows=unseen)
    pushed = make(encoder=False, fine_tune=3).forget(swapped, easy, 0)
    assert torch.equal(tables(pushed.model), tables(memorised.model))


def test_the_distance_counts_ruined_held_out_pairs(memorised: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    request = halves(memorised.log)
    watch = Watch(memorised, request, request.retained(memorised.log), 0)
    held = [(0.95, 0.8), (0.9, 0.8), (0.8, 0.6), (0.7, 0.9)]
    looks = iter([Look(forgotten, level, level) for forgotten, level in held])
    monkeypatch.setattr(watch, "look", lambda model: next(looks))
    state = memorised.trained.state()
    aim = Aim.at(watch, memorised.recipe, state)
    for over, distance in ((0.1, 0.1), (0.0, 0.2), (-0.1, 0.1)):
        assert aim.miss(state) == pytest.approx((over, distance))


def test_items_are_pushed_away_from_users_whose_rows_are_renewed(memorised: Served) -> None:
    """L_U reads what such a user was served by: a new row would say nothing of what the items have kept."""
    whole = Request.of(memorised.log, "whole", users=np.arange(12))
    watch = Watch(memorised, whole, whole.retained(memorised.log), 0)
    edges, pushed = (
        make(encoder=False, fine_tune=epochs, tune_rate=0.01).forget(memorised, whole, 0) for epochs in (0, 10)
    )
    silent = make(encoder=False, fine_tune=10, tune_rate=0.01, unlearn=0.0).forget(memorised, whole, 0)
    assert watch.gap(edges.model) > 0.02, "the toy must keep something"
    assert watch.gap(pushed.model) < min(watch.gap(edges.model), watch.gap(silent.model)) - 0.01
    for after in (edges, pushed):
        assert torch.equal(after.trained.state()["user_base"][:12], edges.trained.state()["user_base"][:12])


def test_without_held_out_pairs_nothing_is_pushed(memorised: Served) -> None:
    """No mark, no L_U: its weight changes nothing, and the epochs are run."""
    blind, request = replace(memorised, held_out=None), halves(memorised.log)
    first, second = (
        make(encoder=False, fine_tune=1, unlearn=weight).forget(blind, request, 0) for weight in (0.02, 5.0)
    )
    assert torch.equal(tables(first.model), tables(second.model))
    assert not torch.equal(tables(first.model), tables(memorised.model))


def test_a_stream_keeps_the_encoder_and_goes_on_from_the_new_tables(memorised: Served) -> None:
    unlearner = make(fine_tune=1, share=0.1)
    one = unlearner.forget(unlearner.prepare(memorised, 0), halves(memorised.log), 0)
    rest = Request.of(one.log, "next", rows=np.arange(30))
    two = make(encoder=False, fine_tune=0).forget(one, rest, 0)
    assert two.memory is one.memory
    assert torch.equal(tables(two.model), tables(one.model))
    assert make().forget(one, rest, 1).memory is one.memory
    model = build(one.recipe)
    assert isinstance(model, LightGCN)
    model.load(one.trained.state(), one.log.n_users, one.log.n_items)
    assert {name: tuple(part.shape) for name, part in one.trained.state().items()} == {
        name: shape for name, (shape, _) in model.shapes(one.log.n_users, one.log.n_items).items()
    }


def test_simulated_requests_are_of_all_kinds_and_leave_something() -> None:
    log = small_log()
    drawn = [simulated(log, 0, number) for number in range(40)]
    assert {request.label for request in drawn} == {f"simulated {kind}" for kind in ("user", "halves", "item", "pairs")}
    assert min(len(request) for request in drawn) < 5
    assert 0.05 * len(log) < max(len(request) for request in drawn) < len(log)
    two = log.take(np.array([0, 1]))
    for number in range(8):
        assert len(simulated(two, 0, number)) == 1
