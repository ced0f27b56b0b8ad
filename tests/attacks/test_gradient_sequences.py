"""The gradient-guided sequences, and the surrogate that guides all attacks on sequential models."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.goal import Placement
from recaudit.attacks.gradient_sequences import GradientSequences, least_expected
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.attacks.surrogate.sequence import HELD_OUT, SequenceConfig, SequenceSurrogate, cosines, hold_last_out
from recaudit.attacks.surrogate.sequence_attack import usable_fillers, write
from recaudit.datasets.seeding import rng

from .conformance import columns, log_for, run
from .sequence_tools import cold_item, learnt, medium_log, opposites, random_sasrec, shift


def test_the_gradient_at_the_embeddings_against_finite_differences() -> None:
    surrogate = random_sasrec()
    # the target is among the inputs: its output vector must stay constant when its input vector moves
    items, target = np.array([[3, 1, 4, 1], [2, 7, 5, 8]]), np.array([4, 2])
    found = surrogate.gradients(items, target)
    embedded, step = surrogate.table[torch.from_numpy(items)], 1e-5
    assert found.shape == embedded.shape and found.abs().min() > 0
    for at in np.ndindex(tuple(embedded.shape)):
        moved = embedded.clone()
        moved[at] += step
        above = surrogate.loss(moved, torch.from_numpy(target))[at[0]]
        moved[at] -= 2 * step
        below = surrogate.loss(moved, torch.from_numpy(target))[at[0]]
        assert float(found[at]) == pytest.approx(float(above - below) / (2 * step), rel=1e-5, abs=1e-9)


def test_loss_chances_and_scores_agree_with_the_model_itself() -> None:
    surrogate = learnt()
    log = medium_log()
    offsets, items = log.sequences()
    own = items[offsets[5] : offsets[6]].astype(np.int64)[None]
    assert own.shape[1] <= surrogate.max_length
    chance = surrogate.chances(own, 7)
    assert chance == pytest.approx(surrogate.scores(own).softmax(-1)[:, 7])
    loss = surrogate.loss(surrogate.table[torch.from_numpy(own)], torch.tensor([7]))
    assert float(loss) == pytest.approx(-np.log(float(chance)), rel=1e-5)
    longer = np.concatenate([np.full((1, 60), 3), np.tile(own, 4)], axis=1)
    assert torch.equal(surrogate.scores(longer), surrogate.scores(longer[:, -surrogate.max_length :]))
    assert surrogate.gradients(longer, np.array([7])).shape[1] == surrogate.max_length


def test_the_surrogate_learns_and_repeats_itself_byte_for_byte() -> None:
    log = medium_log()
    first = learnt()
    again = SequenceSurrogate.fitted(log, SequenceConfig(), rng(0, "surrogate"))
    other = SequenceSurrogate.fitted(log, SequenceConfig(), rng(1, "surrogate"))
    assert torch.equal(first.table, again.table) and not torch.equal(first.table, other.table)
    offsets, items = log.sequences()
    rows = [items[start : start + 10].astype(np.int64) for start in offsets[:-1] if start + 11 < len(items)]
    after = first.scores(np.stack(rows)).log_softmax(-1)
    following = torch.tensor([int(items[start + 10]) for start in offsets[:-1] if start + 11 < len(items)])
    likelihood = float(after.gather(1, following[:, None]).mean())
    popularity = np.log(np.maximum(log.item_counts, 1) / len(log))
    assert likelihood > float(popularity[following.numpy()].mean()) + 0.2


def test_it_changes_no_global_generator() -> None:
    before = torch.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    run(GradientSequences(), log_for("sequence"), Goal((11,), 3, 8, "sequence"))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert pickle.dumps(np.random.get_state()) == before[1]  # noqa: NPY002


def test_cosines_by_hand() -> None:
    table = torch.tensor([[0.5, 0.0], [0.0, 2.0], [-3.0, 0.0], [-1.0, 1.0]])
    # item 0, gradient (+, -): 0.5 - 1 = -0.5 and 0 + 1 = 1
    found = cosines(np.array([0]), torch.tensor([[0.2, -7.0]]), table)[0]
    length = np.hypot(0.5, 1)
    assert found == pytest.approx([-0.5 / length, 1 / length, 0.5 / length, 1.5 / length / np.sqrt(2)], abs=1e-6)


def test_the_item_after_which_the_target_is_least_expected_is_taken() -> None:
    surrogate = opposites()
    allowed = np.arange(1, 5)
    chances = surrogate.chances(allowed[:, None], 0)
    assert (int(chances.argmin()), int(chances.argmax())) == (0, 3)  # items 1 and 4
    prefix = np.zeros((40, 1), np.int64)
    taken = least_expected(surrogate, prefix, np.zeros(40, np.int64), allowed, 1, rng(0))
    assert set(taken.tolist()) == {1}  # from whatever random item it starts
    wider = least_expected(surrogate, prefix, np.zeros(40, np.int64), allowed, 3, rng(0))
    assert set(wider.tolist()) == {1, 2, 3}


def test_fillers_make_the_target_less_expected_than_random_ones() -> None:
    surrogate, log = learnt(), medium_log()
    for seed in range(3):
        target = cold_item(log, seed)
        allowed = usable_fillers(log, (target,))
        draw = rng(seed)
        prefix = draw.choice(allowed, (200, 5))
        goals = np.full(200, target)
        taken = least_expected(surrogate, prefix, goals, allowed, 10, draw)
        random = draw.choice(allowed, 200)
        chance, other = (
            surrogate.chances(np.concatenate([prefix, last[:, None]], axis=1), target).log().mean()
            for last in (taken, random)
        )
        assert float(chance) < float(other) - 0.1


@pytest.mark.parametrize("placement", get_args(Placement))
@pytest.mark.parametrize("profile", [2, 7, 8])
def test_the_budget_is_exact_and_the_target_stands_where_the_goal_says(placement: Placement, profile: int) -> None:
    goal = Goal((11,), 5, profile, "sequence", placement=placement, repeats=2)
    attack = GradientSequences(GradientSequences.config_type(max_epochs=1))
    items = run(attack, log_for("sequence"), goal).item.reshape(5, profile)
    here = items == 11
    assert (here.sum(axis=1) == goal.n_slots).all()
    if placement == "every-second":
        assert here[:, 1::2].all() and not here[:, ::2].any()
    if placement == "last":
        assert here[:, -1].all()
    two = replace(goal, targets=(11, 30), profile=8)
    items = run(attack, log_for("sequence"), two).item
    assert (items == 11).sum() and (items == 30).sum()


def test_only_items_with_events_are_fillers() -> None:
    log = log_for("sequence")
    few = log.take(log.item % 2 == 0)
    items = run(GradientSequences(), few, Goal((11,), 5, 9, "sequence")).item
    assert set((items[items != 11] % 2).tolist()) == {0}
    assert usable_fillers(log.take(log.item == 11), (11,)).tolist() == [item for item in range(50) if item != 11]


def test_two_targets_take_turns_and_fillers_know_which_one_comes() -> None:
    seen = []

    def choose(prefix: np.ndarray, rows: np.ndarray, target: np.ndarray) -> np.ndarray:
        seen.append((prefix.tolist(), rows.tolist(), target.tolist()))
        return np.full(len(rows), 9)

    slots = np.array([[1, 3], [0, 3]])
    sequence = write(Goal((5, 6), 2, 5, "sequence"), slots, choose)
    assert sequence.tolist() == [[9, 5, 9, 6, 9], [5, 9, 9, 6, 9]]
    assert seen[0] == ([[]], [0], [5]) and seen[1] == ([[5]], [1], [6])
    assert seen[2] == ([[9, 5], [5, 9]], [0, 1], [6, 6])


def test_held_out_events_are_last_ones_and_new_to_their_user() -> None:
    log = log_for("sequence")
    split = hold_last_out(log, rng(0))
    assert len(split.train) + len(split.valid) == len(log) and len(split.valid) == min(HELD_OUT, 60)
    offsets, items = log.sequences()
    last = items[offsets[1:] - 1]
    assert (split.valid.item == last[split.valid.user]).all()
    again = log.plus(log)  # every user ends with an item that it had before
    assert len(hold_last_out(again, rng(0)).valid) == 0
    assert columns(run(GradientSequences(), again, Goal((11,), 2, 5, "sequence")))


@pytest.mark.slow
def test_at_equal_budget_it_moves_a_victim_at_least_as_far_as_random_sequences() -> None:
    found = [[shift(attack, seed) for seed in range(3)] for attack in (GradientSequences(), RandomFillers())]
    assert np.mean(found[0]) >= np.mean(found[1]) and np.mean(found[0]) > 0
