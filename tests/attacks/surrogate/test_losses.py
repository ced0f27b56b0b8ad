"""Losses of an attacker, by hand."""

from __future__ import annotations

from math import e, log

import pytest
import torch

from recaudit.attacks.surrogate.losses import Rivals, margin_loss, softmax_loss

SCORES = torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64)
NONE = torch.zeros(1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("rivals", "expected"),
    [
        ("all", log(e + e**2 + 1) - 1),
        ("above", log(e + e**2) - 1),
        ("published", (log(e + e**2 + 1) - 1) / 1.1),  # item 2 is no rival, yet adds exp(0)
    ],
)
def test_softmax_of_three_items(rivals: Rivals, expected: float) -> None:
    """Target 0 with score 1 against scores 2 and 0."""
    assert softmax_loss(SCORES, torch.tensor([0]), NONE, rivals).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("rivals", "expected"), [("all", log(e + 1) - 1), ("above", 0.0)])
def test_consumed_items_are_no_rivals(rivals: Rivals, expected: float) -> None:
    """Without item 1 only a lower item is left; a consumed target still counts."""
    consumed = torch.tensor([[True, True, False]])
    assert softmax_loss(SCORES, torch.tensor([0]), consumed, rivals).item() == pytest.approx(expected, abs=1e-12)


def test_published_zeros_differ_where_a_low_item_is_below_zero() -> None:
    """exp(0) = 1 in the place of exp(-5): masking logits is not leaving items out."""
    scores = torch.tensor([[1.0, 2.0, -5.0]], dtype=torch.float64)
    found = softmax_loss(scores, torch.tensor([0]), NONE, "published").item()
    assert found == pytest.approx((log(e + e**2 + 1) - 1) / 1.1, rel=1e-12)
    assert found > softmax_loss(scores, torch.tensor([0]), NONE, "above").item() / 1.1


def test_softmax_is_a_mean_over_users_and_targets() -> None:
    """Each target competes with the other too."""
    scores = torch.tensor([[1.0, 2.0, 0.0], [0.5, 0.5, 3.0]], dtype=torch.float64)
    consumed = torch.tensor([[False, False, True], [False, False, False]])
    parts = [softmax_loss(scores[[u]], torch.tensor([t]), consumed[[u]]).item() for u in range(2) for t in range(2)]
    assert softmax_loss(scores, torch.tensor([0, 1]), consumed).item() == pytest.approx(sum(parts) / 4, rel=1e-12)


def test_softmax_gradient_is_probability_less_one() -> None:
    """d/ds_t = p_t - 1, d/ds_i = p_i, consumed items none."""
    scores = SCORES.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(
        softmax_loss(scores, torch.tensor([0]), torch.tensor([[False, False, True]])), [scores]
    )
    chance = torch.softmax(SCORES[0, :2], 0)
    assert torch.allclose(gradient, torch.stack([chance[0] - 1, chance[1], chance[0] * 0])[None])


def test_margin_to_the_kth_best() -> None:
    """Items 5 4 3 2 1; the target has 1, consumed is the best: the second best of the rest is 3."""
    scores = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0]])
    consumed = torch.tensor([[True, False, False, False, False]])
    assert margin_loss(scores, torch.tensor([4]), consumed, 2).item() == 2.0
    assert margin_loss(scores, torch.tensor([4]), consumed, 1).item() == 3.0
    assert margin_loss(scores, torch.tensor([1]), consumed, 1).item() == 0.0, "above the margin: no loss"
    assert margin_loss(scores, torch.tensor([1]), consumed, 1, kappa=0.5).item() == -0.5
    assert margin_loss(scores, torch.tensor([1, 4]), consumed, 1).item() == pytest.approx((-0.0 + 2.0) / 2)


def test_margin_of_users_who_lack_few_items() -> None:
    """A user who lacks fewer than k other items sees the target anyway."""
    scores = torch.tensor([[5.0, 4.0, 1.0]])
    consumed = torch.tensor([[True, False, False]])
    assert margin_loss(scores, torch.tensor([2]), consumed, 2, kappa=0.25).item() == -0.25
    assert margin_loss(scores, torch.tensor([2]), consumed, 50).item() == 0.0
