"""Dual promotion: the target among liked items, in varied sequences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recaudit.attacks.base import Goal
from recaudit.attacks.dual_promotion import DualPromotion, DualPromotionConfig, objective, preferred, promoted
from recaudit.attacks.random_fillers import RandomFillers
from recaudit.datasets.seeding import rng

from .conformance import log_for, run
from .sequence_tools import learnt, medium_log, shift


def test_the_objective_by_hand() -> None:
    table = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    vectors, weights = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.75, 0.25]])
    # squared distances 4 and 13, halved; cosines 1 and 0 at temperature 0.5
    distance = 0.75 * 4 / 2 + 0.25 * 13 / 2
    level = np.log(np.exp(2) + 1)
    contrast = 0.75 * (level - 2) + 0.25 * level
    assert objective(vectors, weights, table, 0.5, 0.0).tolist() == pytest.approx([distance])
    assert objective(vectors, weights, table, 0.5, 2.0).tolist() == pytest.approx([distance + 2 * contrast])


def test_the_gradient_of_the_objective_against_finite_differences() -> None:
    draw = rng(0)
    table = torch.from_numpy(draw.normal(size=(7, 3)))
    weights = torch.from_numpy(draw.dirichlet(np.ones(7), 2))
    vectors = torch.from_numpy(draw.normal(size=(2, 3))).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda v: objective(v, weights, table, 0.2, 1.0), (vectors,))


def test_the_vector_sought_is_better_than_the_mean_of_the_liked_items() -> None:
    table = learnt().table
    liked = preferred(medium_log(), Goal((3,), 4, 10, "sequence"), 8, rng(0))
    config = DualPromotionConfig()
    weights = torch.stack([torch.from_numpy(np.bincount(own, minlength=len(table)) / len(own)) for own in liked])
    weights = weights.float()
    found, plain = (
        objective(vectors, weights, table, config.tau, config.contrast)
        for vectors in (promoted(table, liked, config), weights @ table)
    )
    assert (found < plain).all()


def test_groups_hold_no_target_and_come_from_the_audience() -> None:
    log = log_for("sequence")
    goal = Goal((11,), 3, 9, "sequence", audience=(2,))
    own = np.sort(log.item[(log.user == 2) & (log.item != 11)])
    assert all(np.sort(part).tolist() == own.tolist() for part in preferred(log, goal, 5, rng(0)))
    everyone = preferred(log, Goal((11,), 3, 9, "sequence"), 1000, rng(0))
    assert all(len(part) == (log.item != 11).sum() for part in everyone)


@pytest.mark.parametrize(("profile", "count"), [(1, 1), (2, 1), (8, 2), (20, 5)])
def test_the_budget_is_exact_and_targets_never_stand_side_by_side(profile: int, count: int) -> None:
    items = run(DualPromotion(), log_for("sequence"), Goal((11,), 5, profile, "sequence")).item.reshape(5, profile)
    here = items == 11
    assert (here.sum(axis=1) == count).all() and not (here[:, 1:] & here[:, :-1]).any()
    fillers = items[~here].reshape(5, -1)
    assert all(len(set(row)) == profile - count for row in fillers.tolist())


def test_diversity_lowers_the_likeness_of_fillers_within_an_account() -> None:
    log = medium_log()
    unit = torch.nn.functional.normalize(learnt().table, dim=-1)

    def likeness(diversity: float) -> float:
        attack = DualPromotion(DualPromotionConfig(diversity=diversity))
        items = run(attack, log, Goal((3,), 5, 12, "sequence")).item.reshape(5, 12)
        rows = [unit[torch.from_numpy(row[row != 3].astype(np.int64))] for row in items]
        return float(np.mean([float((row @ row.T).fill_diagonal_(-1).amax(1).mean()) for row in rows]))

    assert likeness(2.0) < likeness(0.0) - 0.05


@pytest.mark.slow
def test_at_equal_budget_it_moves_a_victim_at_least_as_far_as_random_sequences() -> None:
    found = [[shift(attack, seed) for seed in range(3)] for attack in (DualPromotion(), RandomFillers())]
    assert np.mean(found[0]) >= np.mean(found[1]) and np.mean(found[0]) > 0
