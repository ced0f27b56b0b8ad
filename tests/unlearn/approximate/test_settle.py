"""Splice and settle: windows that differ, a step that undoes a pair, users near by, the bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recaudit.datasets.log import InteractionLog
from recaudit.recommenders.base import Recipe
from recaudit.recommenders.catalogue import fit
from recaudit.recommenders.sequences import Windows
from recaudit.recommenders.sequential import SequenceTraining
from recaudit.unlearn.approximate.gradients import opened
from recaudit.unlearn.approximate.settle import SettleConfig, SpliceSettle, nearby, spliced
from recaudit.unlearn.approximate.watch import Watch
from recaudit.unlearn.base import Served
from recaudit.unlearn.request import Request

from ..conformance import examine, requests, small_log

GRU = Recipe("gru4rec", {"dim": 16, "max_epochs": 40, "dropout": 0.0}, 40)


@pytest.mark.parametrize("model", ["sasrec", "gru4rec", "fmlp-rec"])
def test_conformance(model: str) -> None:
    examine(SpliceSettle(SettleConfig(epochs=1)), Recipe(model, {"dim": 8, "max_epochs": 1}, 1))


def test_conformance_with_a_sampled_loss() -> None:
    settings = {"dim": 8, "max_epochs": 1, "loss": "sampled", "negatives": 16}
    examine(SpliceSettle(SettleConfig(epochs=1)), Recipe("gru4rec", settings, 1))


def test_other_models_are_refused() -> None:
    assert "reads no sequences" in str(SpliceSettle().why_not(Recipe("mf", {}), small_log()))
    assert "softmax" in str(SpliceSettle().why_not(Recipe("sasrec", {"loss": "binary"}), small_log()))
    assert "texts" in str(SpliceSettle().why_not(Recipe("sasrec", {"item_vectors": "text"}), small_log()))


def _log(*sequences: list[int]) -> InteractionLog:
    user = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences]).astype(np.int32)
    item = np.concatenate(sequences).astype(np.int32)
    users, items = (np.array([str(n) for n in range(count)]) for count in (len(sequences), 10))
    return InteractionLog(user, item, users, items, time=np.arange(len(user)))


def test_only_windows_that_changed_are_taken() -> None:
    old = _log([0, 1, 2, 3, 4, 5, 6], [1, 2, 3])
    new = _log([0, 2, 3, 4, 5, 6], [1, 2, 3])  # without 1, near the beginning
    before, after = spliced(Windows.of(old, 3), Windows.of(new, 3))
    # from the end: 3 4 5 -> 6 is in both; 0 1 2 -> 3 becomes 0 2 -> 3
    assert [before.windows.start[row] for row in before.rows] == [0]
    assert [(after.windows.start[row], after.windows.length[row]) for row in after.rows] == [(0, 2)]
    same = spliced(Windows.of(old, 3), Windows.of(old, 3))
    assert not len(same[0].rows) and not len(same[1].rows)


@pytest.fixture(scope="module")
def trained() -> tuple[Served, Request]:
    """A model that knows its sequences by heart."""
    log = small_log(users=150, items=80, events=3000)
    held = np.random.default_rng(0).random(len(log)) < 0.2
    train = log.without(held)
    rows = np.random.default_rng(1).choice(len(train), len(train) // 15, replace=False)
    return Served(GRU, train, fit(GRU, train, 0), held_out=log.take(held)), Request.of(train, "pairs", rows=rows)


def test_the_step_raises_the_loss_of_old_windows_and_moves_no_item_too_far(trained: tuple[Served, Request]) -> None:
    served, request = trained
    log = request.retained(served.log)
    _, training = opened(GRU, log, 0, served.trained.state())
    assert isinstance(training, SequenceTraining)
    unlearner = SpliceSettle(SettleConfig(step=0.05))
    move = unlearner.move(training, served.log, 0)
    mean = training.network.item.detach().square().sum(1).mean().sqrt()
    assert float(move.norm(dim=1).max() / mean) <= 0.05 + 1e-5
    old, new = spliced(Windows.of(served.log, 50), training.windows)

    def excess() -> float:
        with torch.no_grad():
            sums = [sum(float(part) for part in side.loss(training.network)) for side in (old, new)]
        return sums[0] - sums[1]

    before = excess()
    with torch.no_grad():
        training.network.item.add_(0.1 * move)
    assert excess() > before


def test_nothing_moves_where_no_window_changed(trained: tuple[Served, Request]) -> None:
    served, _ = trained
    _, training = opened(GRU, served.log, 0, served.trained.state())
    assert isinstance(training, SequenceTraining)
    assert not SpliceSettle().move(training, served.log, 0).any()


def test_the_step_takes_forgotten_events_towards_the_held_out_level_and_not_below(
    trained: tuple[Served, Request],
) -> None:
    served, request = trained
    watch = Watch(served, request, request.retained(served.log), 0)
    before = watch.gap(served.model)
    assert before > 0.05
    after = watch.gap(SpliceSettle(SettleConfig(epochs=0)).forget(served, request, 0).model)
    assert -1e-9 <= after < 0.8 * before
    far = watch.gap(SpliceSettle(SettleConfig(epochs=0, damping=1e-3, step=10)).forget(served, request, 0).model)
    assert -1e-9 <= far


def test_without_held_out_events_all_is_done(trained: tuple[Served, Request]) -> None:
    served, request = trained
    blind = replace(served, held_out=None)
    users = np.arange(served.log.n_users)
    scores = [
        SpliceSettle(SettleConfig(epochs=epochs)).forget(blind, request, 0).model.scores(users, served.log)
        for epochs in (0, 1, 2)
    ]
    scores.append(served.model.scores(users, served.log))
    assert all((scores[a] != scores[b]).any() for a in range(4) for b in range(a))


def test_settling_takes_touched_users_and_some_others() -> None:
    log = requests(small_log())["pairs"].retained(small_log())
    touched = np.array([1, 2], np.int32)
    near = nearby(log, touched, 2.0, 0)
    assert near is not None
    assert set(touched) < set(near.user) and len(set(near.user)) == 6
    assert (near.user_counts[touched] == log.user_counts[touched]).all()
    alone = Request.of(log, "one user", users=np.array([1])).retained(log)
    assert nearby(alone, np.array([1], np.int32), 0.0, 0) is None
