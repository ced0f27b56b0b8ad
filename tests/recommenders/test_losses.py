"""Each loss against its formula written pair by pair, value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from recaudit.recommenders import losses
from recaudit.recommenders.sampling import collisions


def vectors(*rows: int, dim: int = 5) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(4)
    return [torch.randn(n, dim, generator=source, dtype=torch.float64, requires_grad=True) for n in rows]


def same(value: torch.Tensor, expected: torch.Tensor, leaves: list[torch.Tensor]) -> None:
    assert torch.allclose(value, expected, rtol=1e-9)
    for got, wanted in zip(
        torch.autograd.grad(value * 3, leaves), torch.autograd.grad(expected * 3, leaves), strict=True
    ):
        assert torch.allclose(got, wanted, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_bpr_is_its_formula(weighted: bool) -> None:
    leaves = vectors(6, 6, 6)
    user, positive, negative = leaves
    weight = torch.linspace(0, 2, 6, dtype=torch.float64) if weighted else None
    expected = torch.zeros((), dtype=torch.float64)
    for b in range(6):
        term = -torch.log(torch.sigmoid(user[b] @ positive[b] - user[b] @ negative[b]))
        expected = expected + term * (1 if weight is None else weight[b]) / 6
    same(losses.bpr(user, positive, negative, weight), expected, leaves)


@pytest.mark.parametrize("block", [1, 4, 256])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_sampled_softmax_is_its_formula(
    monkeypatch: pytest.MonkeyPatch, block: int, weighted: bool, masked: bool
) -> None:
    monkeypatch.setattr(losses, "_ROWS", block)
    rows, drawn = 11, 7
    leaves = vectors(rows, rows, drawn)
    user, positive, negatives = leaves
    weight = torch.linspace(0, 2, rows, dtype=torch.float64) if weighted else None
    source = np.random.default_rng(0)
    items, others = source.integers(0, 4, rows), source.integers(0, 4, drawn)
    hits = torch.from_numpy(collisions(items, others)) if masked else None
    expected = torch.zeros((), dtype=torch.float64)
    for b in range(rows):
        own = torch.exp(functional.cosine_similarity(user[b], positive[b], dim=0) / 0.3)
        below = own
        for n in range(drawn):
            if not (masked and items[b] == others[n]):
                below = below + torch.exp(functional.cosine_similarity(user[b], negatives[n], dim=0) / 0.3)
        expected = expected - torch.log(own / below) * (1 if weight is None else weight[b]) / rows
    same(losses.sampled_softmax(user, positive, negatives, 0.3, weight, hits), expected, leaves)


def test_sampled_softmax_survives_the_lowest_temperature() -> None:
    user, positive, negatives = (row.detach().float().requires_grad_() for row in vectors(4, 4, 3))
    with torch.no_grad():
        positive.copy_(-user)
    value = losses.sampled_softmax(user, positive, negatives, 0.025)
    value.backward()
    assert math.isfinite(value.item())
    assert user.grad is not None
    assert torch.isfinite(user.grad).all()


def test_info_nce_is_its_formula() -> None:
    leaves = vectors(5, 5)
    first, second = leaves
    expected = torch.zeros((), dtype=torch.float64)
    for i in range(5):
        scores = torch.stack([functional.cosine_similarity(first[i], second[j], dim=0) / 0.2 for j in range(5)])
        expected = expected - torch.log_softmax(scores, 0)[i] / 5
    same(losses.info_nce(first, second, 0.2), expected, leaves)


def test_squared_norm_by_hand() -> None:
    rows = (torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    assert float(losses.squared_norm(rows)) == pytest.approx((25 / 2 + 3 / 2) / 2)
    assert float(losses.squared_norm(rows, torch.tensor([1.0, 0.0]))) == pytest.approx(25 / 4)
