"""MF: weights in the gradient, and what all pairwise models must do."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recaudit.recommenders.mf import MF, MFConfig
from recaudit.recommenders.pairwise import PairTraining
from recaudit.recommenders.sampling import Positives

from .pair_models import EXAMINATION, EXAMINATION_BY_LOSS, SPLIT


def user_gradients(loss: str, weights: np.ndarray | None) -> torch.Tensor:
    """Gradient of one batch of all pairs with respect to the users' vectors, [U, d]."""
    pairs = Positives.of(SPLIT.train, weights)
    encoder = MF(MFConfig()).encoder(pairs, torch.device("cpu"))
    config = MFConfig(dim=8, loss=loss, batch_size=len(pairs), min_steps=1, negatives=32)
    training = PairTraining(config, pairs, encoder, 1, torch.device("cpu"), lambda base, final: None)
    (batch,) = training.batches(np.random.default_rng(4))
    (gradient,) = torch.autograd.grad(training.loss(batch, torch.Generator().manual_seed(1)), training.parameters())
    return gradient[: pairs.n_users]


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
def test_a_users_weight_scales_the_pull_of_its_own_pairs(loss: str) -> None:
    weights = np.linspace(0.1, 3, SPLIT.train.n_users).astype(np.float32)
    expected = user_gradients(loss, None) * torch.from_numpy(weights)[:, None]
    assert (user_gradients(loss, weights) - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("examine", EXAMINATION, ids=lambda f: f.__name__)
def test_examination(examine: Callable[[type[MF]], None]) -> None:
    examine(MF)


@pytest.mark.parametrize("loss", ["sampled_softmax", "bpr"])
@pytest.mark.parametrize("examine", EXAMINATION_BY_LOSS, ids=lambda f: f.__name__)
def test_examination_by_loss(examine: Callable[[type[MF], str], None], loss: str) -> None:
    examine(MF, loss)
