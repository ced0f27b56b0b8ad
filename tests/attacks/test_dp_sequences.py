"""DP-seq: sequences natural to a model bent towards the target."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.dp_sequences import DPSequences, DPSequencesConfig, _windows, bent, likely, margins
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.datasets.seeding import rng

from .conformance import log_for, run
from .sequence_tools import by_hand, cold_item, learnt, medium_log, shift


def test_margins_by_hand() -> None:
    # scores after item 1 (vector 2): 2 x each vector
    network = by_hand([[1.0], [2.0], [3.0], [4.0], [0.5]]).network
    items = np.array([4, 1, 0, 3])
    start, length = np.array([0, 2]), np.array([2, 2])
    # user 0 holds 4 and 1; of 0, 2, 3 less the target 0, the second best is 2 (score 6); the target has 2
    # user 1 holds 0 and 3; after item 3: of 1, 2, 4 the second best is 1 (score 8); the target 0 has 4
    found = margins(network, items, start, length, (0,), 2)
    assert found.tolist() == [[4.0], [4.0]]
    shorter = margins(network, items, np.array([0, 2]), np.array([2, 1]), (3,), 1)
    # user 1 holds item 0 alone: after it item 2 leads with 3, the target has 4. What pads the row masks nothing.
    assert shorter.tolist() == [[6.0 - 8.0], [3.0 - 4.0]]


def test_accounts_take_the_likeliest_items_and_weights_spread_them() -> None:
    surrogate = by_hand([[1.0], [1.9], [2.0], [0.1]])
    weights, slots = np.ones(3), np.array([[0, 3]])
    goal = Goal((0,), 1, 4, "sequence")
    allowed = np.array([1, 2, 3])
    # after the target: p(1) : p(2) = exp(1.9) : exp(2), 0.9 apart; item 2, and then the best of those not yet held
    first = likely(surrogate, goal, slots, allowed, weights, 0.8)
    assert first.tolist() == [[0, 2, 1, 0]] and weights.tolist() == pytest.approx([0.8, 0.8, 1.0])
    weights[:] = 1.0, 0.8, 1.0
    second = likely(surrogate, goal, slots, allowed, weights, 0.8)
    assert second.tolist() == [[0, 1, 2, 0]]  # exp(1.9) > 0.8 exp(2)
    assert weights.tolist() == pytest.approx([0.8, 0.64, 1.0])
    weights[:] = 0.5, 1.0, 0.5  # item 2 is the last at 1: taken, all start anew
    likely(surrogate, Goal((0,), 1, 3, "sequence"), np.array([[0, 2]]), allowed, weights, 0.8)
    assert weights.tolist() == [1, 1, 1]


def test_a_bent_model_likes_the_target_more_and_the_surrogate_stays() -> None:
    surrogate, log = learnt(), medium_log()
    before = surrogate.table.clone()
    target = cold_item(log)
    offsets, items = log.sequences()
    users = np.setdiff1d(np.arange(log.n_users), log.user[log.item == target])
    length = np.minimum(np.diff(offsets), 50)[users]
    start = offsets[users + 1] - length
    none = np.empty((0, 20), np.int64)
    config = DPSequencesConfig()
    model = bent(surrogate, log, (target,), none, config, rng(0))
    with torch.no_grad():
        far, near = (
            float(margins(one.network, items.astype(np.int64), start, length, (target,), 20).mean())
            for one in (surrogate, model)
        )
    assert near < far - 0.5
    assert torch.equal(surrogate.table, before) and not surrogate.network.item.requires_grad
    assert torch.equal(model.table, bent(surrogate, log, (target,), none, config, rng(0)).table)


def test_accounts_are_windows_behind_the_genuine_ones() -> None:
    log = log_for("sequence")
    accounts = np.arange(12).reshape(3, 4)
    genuine, found = _windows(log, accounts[:0], 50), _windows(log, accounts, 50)
    rows = np.arange(len(genuine.start), len(found.start))
    assert found.targets(rows).tolist() == [1, 2, 3, 5, 6, 7, 9, 10, 11]
    assert (
        found.targets(np.arange(len(genuine.start))).tolist() == genuine.targets(np.arange(len(genuine.start))).tolist()
    )
    shortened = _windows(log, accounts, 2)
    assert shortened.targets(np.arange(len(shortened.start))[-3:]).tolist() == [2, 3, 6, 7, 10, 11]


def test_an_account_repeats_no_filler_and_accounts_differ() -> None:
    goal = Goal((11,), 6, 9, "sequence")
    items = run(DPSequences(), log_for("sequence"), goal).item.reshape(6, 9)
    fillers = items[:, ::2]
    assert all(len(set(row)) == 5 for row in fillers.tolist())
    assert len({tuple(row) for row in fillers.tolist()}) == 6


@pytest.mark.slow
def test_at_equal_budget_it_moves_a_victim_at_least_as_far_as_random_sequences() -> None:
    found = [[shift(attack, seed) for seed in range(3)] for attack in (DPSequences(), RandomFillers())]
    assert np.mean(found[0]) >= np.mean(found[1]) and np.mean(found[0]) > 0
