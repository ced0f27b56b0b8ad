"""The four losses by hand, and that L_M is the victim's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recaudit.datasets.seeding import rng
from recaudit.recommenders.lightgcn import LightGCN, LightGCNConfig
from recaudit.recommenders.pairwise import PairTraining
from recaudit.recommenders.sampling import Positives
from recaudit.recommenders.simgcl import SimGCL, SimGCLConfig
from recaudit.unlearn.approximate.unlearn_rec.losses import Backbone, contrastive, pair_scores, preserving, unlearning

from ...conformance import small_log

COSINE = LightGCNConfig(dim=2, temperature=0.2)
DOT = LightGCNConfig(dim=2, loss="bpr")
USER, ITEM = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 2.0]])


def test_scores_are_those_that_the_loss_trains() -> None:
    torch.testing.assert_close(pair_scores(USER, ITEM, COSINE), torch.tensor([5.0, 0.0]))
    torch.testing.assert_close(pair_scores(USER, ITEM, DOT), torch.tensor([25.0, 0.0]))


def test_unlearning_is_minus_log_sigmoid_below_the_mark() -> None:
    expected = (math.log(1 + math.exp(5)) + math.log(2)) / 2
    assert float(unlearning(USER, ITEM, COSINE)) == pytest.approx(expected)
    marked = (math.log(1 + math.exp(3)) + math.log(1 + math.exp(-2))) / 2
    assert float(unlearning(USER, ITEM, COSINE, 2.0)) == pytest.approx(marked)


@pytest.mark.parametrize("config", [COSINE, DOT])
def test_preserving_is_a_mean_of_squared_changes(config: LightGCNConfig) -> None:
    assert float(preserving((USER, ITEM), (USER, ITEM), config)) == 0
    new = ITEM + 0.5
    change = [
        torch.log_softmax(_table(USER, new, config), -1).diagonal(),
        torch.log_softmax(_table(USER, ITEM, config), -1).diagonal(),
    ]
    expected = ((change[0] - change[1]) ** 2).mean()
    torch.testing.assert_close(preserving((USER, new), (USER, ITEM), config), expected)


def _table(user: torch.Tensor, item: torch.Tensor, config: LightGCNConfig) -> torch.Tensor:
    if config.loss == "bpr":
        return user @ item.T
    return torch.nn.functional.normalize(user) @ torch.nn.functional.normalize(item).T / config.temperature


def test_contrastive_by_hand_and_empty_sides() -> None:
    layers = [torch.zeros(4, 2), torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 0.0], [0.0, 1.0]])]
    found = contrastive(layers, layers, (torch.tensor([0, 1]), torch.tensor([2, 3])))
    assert float(found) == pytest.approx(2 * (math.log(math.e + 1) - 1))
    none = torch.empty(0, dtype=torch.int64)
    assert float(contrastive(layers, layers, (none, none))) == 0


@pytest.mark.parametrize(
    "model",
    [LightGCN(LightGCNConfig(dim=4)), LightGCN(LightGCNConfig(dim=4, loss="bpr")), SimGCL(SimGCLConfig(dim=4))],
    ids=lambda model: f"{model.name}-{model.config.loss}",
)
def test_behaviour_is_the_victims_own_loss(model: LightGCN) -> None:
    """Contrast and L2 included, value and gradient."""
    log = small_log()
    backbone = Backbone(model, log, 3)
    pairs = Positives.of(log)
    own = PairTraining(model.config, pairs, model.encoder(pairs, torch.device("cpu")), 0, torch.device("cpu"), print)
    table = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own.base.copy_(table[backbone.rows])
    given = table.clone().requires_grad_()
    for batch in list(own.batches(rng(0)))[:2]:
        value = backbone.behaviour(given, batch, torch.Generator().manual_seed(1))
        expected = own.loss(batch, torch.Generator().manual_seed(1))
        assert torch.equal(value, expected)
    value.backward()
    expected.backward()
    assert given.grad is not None
    assert own.base.grad is not None
    torch.testing.assert_close(given.grad[backbone.rows], own.base.grad)
    torch.testing.assert_close(backbone.last()[backbone.nodes], backbone.vectors_of(table))
    state = backbone.state_of(table)
    assert torch.equal(torch.cat([state["user_base"], state["item_base"]]), table)
    np.testing.assert_allclose(torch.cat([state["user"], state["item"]]), backbone.vectors_of(table))
