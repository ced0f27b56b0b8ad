"""The neural forest, the joint loss, what a batch holds, and whom GraphRfi finds."""

from __future__ import annotations

import numpy as np
import numpy.testing as npt
import pytest
import torch

from recaudit.datasets.seeding import torch_rng
from recaudit.defenses.supervised.forest import Forest
from recaudit.defenses.supervised.graph_rfi import GraphRfiConfig, Scorer, _batch, joint_loss
from recaudit.recommenders.sampling import Positives

from ..detectors.fakes import log_of
from .common import LOG, attacked, caught, made


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_ways_through_the_forest_add_up_to_one(depth: int) -> None:
    forest = Forest(7, 5, depth, torch_rng(0))
    routes = forest.routes(torch.randn(9, 7, generator=torch_rng(1)))
    assert routes.shape == (9, 5, 2**depth) and routes.min() >= 0
    npt.assert_allclose(routes.sum(2).detach().numpy(), 1, atol=1e-6)
    chance = forest.chance(torch.zeros(2, 7))
    assert ((chance > 0) & (chance < 1)).all()


def test_two_decisions_by_hand() -> None:
    forest = Forest(1, 1, 2, torch_rng(0))
    with torch.no_grad():
        forest.weight.copy_(torch.tensor([[[1.0, 2.0, 3.0]]]))
        forest.leaf.copy_(torch.tensor([[-1.0, 0.0, 1.0, 2.0]]))
    root, left, right = (1 / (1 + np.exp(-0.5 * weight)) for weight in (1, 2, 3))
    ways = [root * left, root * (1 - left), (1 - root) * right, (1 - root) * (1 - right)]
    x = torch.tensor([[0.5]])
    npt.assert_allclose(forest.routes(x).detach().numpy().ravel(), ways, rtol=1e-6)
    leaves = 1 / (1 + np.exp(-np.array([-1.0, 0, 1, 2])))
    npt.assert_allclose(forest.chance(x).item(), np.dot(ways, leaves), rtol=1e-6)


def test_a_tree_reads_half_of_the_input_and_trees_read_different_halves() -> None:
    reads = Forest(10, 8, 2, torch_rng(0)).reads
    assert (reads.sum(1) == 5).all() and len({tuple(row.tolist()) for row in reads}) > 1


def test_gradient_of_the_forest_is_that_of_differences() -> None:
    forest = Forest(3, 2, 2, torch_rng(0)).double()
    x = torch.randn(4, 3, generator=torch_rng(1)).double().requires_grad_()
    assert torch.autograd.gradcheck(forest.chance, (x,))


def test_joint_loss_by_hand() -> None:
    ranking = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    chance = torch.tensor([0.5, 0.25, 0.8], requires_grad=True)
    fraud, train = torch.tensor([False, False, True]), torch.tensor([True, False, True])
    loss = joint_loss(ranking, chance, fraud, train, 5.0)
    weighed = (0.5 * 1 + 0.75 * 2 + 0.2 * 4) / 3
    assert loss.item() == pytest.approx(weighed - 5 * (np.log(0.5) + np.log(0.8)) / 2, rel=1e-6)
    loss.backward()  # type: ignore[no-untyped-call]
    assert chance.grad is not None and ranking.grad is not None
    npt.assert_allclose(ranking.grad, [0.5 / 3, 0.75 / 3, 0.2 / 3], rtol=1e-6)
    # a large ranking loss calls nobody a fake, and an account outside the mask teaches the forest nothing
    npt.assert_allclose(chance.grad, [5 / 2 / 0.5, 0, -5 / 2 / 0.8], rtol=1e-6)
    nothing = joint_loss(ranking, chance, fraud, torch.zeros(3, dtype=torch.bool), 5.0)
    assert nothing.item() == pytest.approx(weighed, rel=1e-6)


def test_a_batch_holds_all_of_its_accounts_and_negatives_they_do_not_hold() -> None:
    pairs = Positives.of(LOG)
    rows = np.array([7, 3, 399, 11])
    batch = _batch(pairs, rows, np.random.default_rng(0))
    matrix = LOG.matrix()
    for place, user in enumerate(rows):
        own = batch.place.numpy() == place
        assert np.array_equal(batch.item.numpy()[own], matrix[user].indices)
        assert not np.isin(batch.negative.numpy()[own], matrix[user].indices).any()
        assert batch.count[place] == own.sum()


def test_an_item_is_compared_without_itself_in_the_account() -> None:
    log = log_of([(0, 0), (0, 1), (1, 2)], 2, 5)
    scorer = Scorer(5, GraphRfiConfig(dim=3), torch_rng(0))
    batch = _batch(Positives.of(log), np.array([0, 1]), np.random.default_rng(0))
    loss, error, chance = scorer(batch)
    read, shown = scorer.read.detach().numpy(), scorer.shown.detach().numpy()
    other = [*read[[1, 0]].tolist(), [0.0] * 3]  # a single item leaves nothing
    away = shown[batch.item] - shown[batch.negative]
    margin = (np.tanh(other) * away).sum(1)
    terms, errors = np.log1p(np.exp(-margin)), 1 / (1 + np.exp(margin))
    npt.assert_allclose(loss.detach(), [terms[:2].mean(), terms[2]], rtol=1e-5)
    npt.assert_allclose(error.detach(), [errors[:2].mean(), errors[2]], rtol=1e-5)
    whole = np.tanh([read[:2].mean(0), read[2]])
    x = torch.tensor(np.column_stack([whole, error.detach()]), dtype=torch.float32)
    npt.assert_allclose(chance.detach(), scorer.forest.chance(x).detach(), rtol=1e-5)


@pytest.mark.parametrize(("learnt", "planted"), [("bandwagon", "random"), ("random", "obscure")])
def test_finds_fakes_of_another_family(learnt: str, planted: str) -> None:
    assert caught("graph-rfi", planted, attacks=(learnt,), min_steps=150) > 0.85


def test_an_account_weighs_its_chance_of_being_genuine() -> None:
    log, fake = attacked("random")
    detector = made("graph-rfi", min_steps=200)
    suspicion = detector.suspicion(log, 0)
    weights = detector.weights(suspicion, np.random.default_rng(0))
    npt.assert_allclose(weights, 1 - suspicion, atol=1e-6)
    assert weights[fake].mean() < weights[~fake].mean() - 0.2
    removed = made("graph-rfi", weighing="action", share=0.1).weights(suspicion, np.random.default_rng(0))
    assert (removed == 0).sum() == round(0.1 * log.n_users)
