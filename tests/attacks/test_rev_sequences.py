"""Rev-seq: the gradient through training, rounding, and what it gains over random fillers on its own surrogate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.finish import target_slots
from recaudit.attacks.rev_sequences import (
    Layout,
    RevSequences,
    RevSequencesConfig,
    Step,
    Unroll,
    Users,
    differentiable_attention,
    genuine_step,
    judged,
    sample_users,
    sought,
)
from recaudit.attacks.surrogate.audience import Audience
from recaudit.attacks.surrogate.sequence_attack import usable_fillers
from recaudit.datasets.seeding import rng
from recaudit.datasets.synthetic import generate

from .conformance import log_for, run
from .sequence_tools import cold_item, learnt, medium_log, random_sasrec


def tiny(profile: int, max_length: int, placement: str = "every-second") -> tuple[Unroll, Step, Users]:
    """Two accounts, a network of 9 items in float64, three genuine sequences; candidates 1, 3, 4, 7, target 2."""
    surrogate = random_sasrec(max_length=max_length)
    goal = Goal((2,), 2, profile, "sequence", placement=placement)  # type: ignore[arg-type]
    layout = Layout.of(goal, target_slots(goal, rng(0)), np.array([1, 3, 4, 7]))
    items = torch.tensor([[5, 1, 8], [0, 3, 4], [6, 7, 0]])
    valid = torch.tensor([[True, True, True], [True, True, True], [True, True, False]])
    step = Step(items, valid, torch.arange(9))
    consumed = torch.zeros(3, 9, dtype=torch.bool).scatter_(1, items, True)
    users = Users(items, torch.tensor([2, 2, 1]), consumed, torch.tensor([2]))
    return Unroll(surrogate.network, max_length, layout), step, users


@pytest.mark.parametrize(("profile", "max_length"), [(4, 5), (6, 3)])
def test_the_gradient_through_training_against_finite_differences(profile: int, max_length: int) -> None:
    unroll, step, users = tiny(profile, max_length)
    logits = torch.from_numpy(rng(1).normal(size=(2, profile // 2, 4)))
    with differentiable_attention():
        rates = unroll.rates(unroll.layout.shares(logits.softmax(-1)), step, 0.02)

        def loss(at: torch.Tensor) -> torch.Tensor:
            shares = unroll.layout.shares((at / 0.5).softmax(-1))
            return unroll.attack_loss(unroll.trained(shares, [step] * 3, rates), users)

        leaf = logits.clone().requires_grad_(True)
        (found,) = torch.autograd.grad(loss(leaf), leaf)
        assert found.abs().min() > 0
        for place in np.ndindex(*logits.shape):
            moved, size = logits.clone(), 1e-5
            moved[place] += size
            above = loss(moved)
            moved[place] -= 2 * size
            slope = float((above - loss(moved)).detach()) / (2 * size)
            assert float(found[place]) == pytest.approx(slope, rel=1e-4, abs=1e-9)


def test_a_first_step_has_the_wanted_length_and_leaves_the_network_alone() -> None:
    unroll, step, _ = tiny(4, 5)
    shares = unroll.layout.shares(torch.full((2, 2, 4), 0.25, dtype=torch.float64))
    before = {name: value.clone() for name, value in unroll.start.items()}
    rates = unroll.rates(shares, step, 0.02)
    after = unroll.trained(shares, [step], rates, graph=False)
    for name, value in before.items():
        assert torch.equal(unroll.start[name], value)
        assert float((after[name] - value).detach().square().mean().sqrt()) == pytest.approx(0.02, rel=1e-6)
    assert float(unroll.training_loss(after, shares, step).detach()) < float(unroll.training_loss(before, shares, step))


@pytest.mark.parametrize(("profile", "max_length"), [(4, 5), (7, 3)])
def test_the_loss_of_one_hot_accounts_is_that_of_the_items_themselves(profile: int, max_length: int) -> None:
    unroll, step, _ = tiny(profile, max_length)
    layout = unroll.layout
    rows = torch.from_numpy(layout.rounded(torch.from_numpy(rng(0).normal(size=(2, (profile + 1) // 2, 4)))))
    places = torch.searchsorted(layout.candidates, rows[layout.free]).view(2, -1)
    shares = layout.shares(torch.nn.functional.one_hot(places, 4).double())
    losses = []
    for items, valid in [(step.items, step.valid), (rows, torch.ones_like(rows, dtype=torch.bool))]:
        for row, kept in zip(items, valid, strict=True):
            own = row[kept]
            for stop in range(len(own) - 1, 0, -max_length):
                begin = max(0, stop - max_length)
                hidden = unroll.encode(unroll.start, own[None, begin:stop])[0]
                chances = (hidden @ unroll.start[unroll.table].T).log_softmax(-1)
                losses += [-float(chances[at, own[begin + at + 1]]) for at in range(stop - begin)]
    found = float(unroll.training_loss(unroll.start, shares, step))
    assert found == pytest.approx(np.mean(losses), rel=1e-9)


def test_rounding_takes_no_candidate_twice_until_all_are_held() -> None:
    unroll, _, _ = tiny(12, 5)
    logits = torch.tensor([3.0, 2.0, 1.0, 0.0]).expand(2, 6, 4)
    rows = unroll.layout.rounded(logits)
    assert rows[:, 1::2].tolist() == [[2] * 6] * 2
    assert rows[:, ::2].tolist() == [[1, 3, 4, 7, 1, 3]] * 2


def test_on_its_own_surrogate_it_beats_random_fillers_that_it_started_from() -> None:
    """Judged on genuine users and batches that the search has not seen."""
    surrogate, log, gains = learnt(), medium_log(), []
    for seed in range(2):
        target = cold_item(log, seed)
        goal = Goal((target,), 20, 20, "sequence")
        slots, allowed = target_slots(goal, rng(0)), usable_fillers(log, goal.targets)
        config = RevSequencesConfig(group=20)
        found = sought(surrogate, log, goal, slots, allowed, config, rng(seed))
        layout = Layout.of(goal, slots, allowed)
        unroll = Unroll(surrogate.network, surrogate.max_length, layout)
        draw = rng(seed, "unseen")
        random = layout.rounded(torch.from_numpy(draw.standard_normal((20, 10, len(allowed)))))
        steps = [genuine_step(log, np.array([], np.int64), 32, draw) for _ in range(3)]
        users = sample_users(log, Audience.of(log, goal), config, draw)
        shares = layout.shares(torch.full((20, 10, len(allowed)), 1 / len(allowed)))
        rates = unroll.rates(shares, steps[0], config.rate)
        gains.append(judged(unroll, random, steps, rates, users) - judged(unroll, found, steps, rates, users))
    assert min(gains) > 0


@pytest.mark.parametrize("profile", [2, 3, 30])
def test_targets_stand_where_the_goal_says_and_fillers_do_not_repeat(profile: int) -> None:
    attack = RevSequences(RevSequencesConfig(max_epochs=1, steps=2, group=2))
    items = run(attack, log_for("sequence"), Goal((11,), 5, profile, "sequence")).item.reshape(5, profile)
    assert (items[:, 1::2] == 11).all() and not (items[:, ::2] == 11).any()
    assert all(len(set(row[::2].tolist())) == len(row[::2]) for row in items)


def test_small_worlds() -> None:
    attack = RevSequences(RevSequencesConfig(max_epochs=1, steps=2))
    log = log_for("sequence")
    one = log.take(log.user == 3)
    assert len(run(attack, one, Goal((11,), 2, 6, "sequence")).item) == 12
    unseen = log.take(log.item != 11)
    assert (run(attack, unseen, Goal((11,), 2, 6, "sequence")).item == 11).sum() == 6
    three = generate(users=5, items=4, events=15, seed=0, genres=1, ratings=False)
    assert len(run(attack, three, Goal((0, 1), 3, 8, "sequence")).item) == 24


def test_a_large_catalogue_is_never_held_whole() -> None:
    log = generate(users=50, items=3000, events=900, seed=0, ratings=False)
    step = genuine_step(log, np.array([5, 2999]), 32, rng(0))
    assert len(step.columns) < 1200 and {5, 2999} <= set(step.columns.tolist())
    assert torch.isin(step.items[step.valid], step.columns).all()
    assert len(run(RevSequences(RevSequencesConfig(max_epochs=1, steps=1)), log, Goal((7,), 3, 8, "sequence")).item)
