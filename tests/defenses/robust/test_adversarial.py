"""APR, VAT and PamaCF by hand, and that moves raise the loss of real victims."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from recaudit.defenses.robust.adversarial import by_length, by_loss, delta
from recaudit.recommenders.catalogue import fit

from .fake import LOG, NOTHING, RECIPES, Fake, Rows, epoch, hardened


def two_pairs(weight: torch.Tensor | None = None) -> Rows:
    """Two pairs with vectors that want a gradient."""
    parts = ([[1.0, 0.0], [0.0, 2.0]], [[0.5, 0.5], [1.0, 1.0]], [[0.0, 1.0], [2.0, 0.0]])
    vectors = tuple(torch.tensor(part, requires_grad=True) for part in parts)
    return Rows(vectors, torch.tensor([0, 1]), weight=weight)  # type: ignore[arg-type]


def by_hand(batch: Rows, eps: float, strength: np.ndarray, weight: np.ndarray) -> float:
    """bpr + bpr at the moved vectors, with the gradient written out."""
    user, positive, negative = (part.detach().numpy().astype(np.float64) for part in batch.vectors)

    def loss(u: np.ndarray, p: np.ndarray, n: np.ndarray) -> float:
        return float((weight * np.log1p(np.exp(-(u * (p - n)).sum(1)))).mean())

    pull = (-weight / (1 + np.exp((user * (positive - negative)).sum(1))) / 2)[:, None]
    gradients = (pull * (positive - negative), pull * user, -pull * user)
    moved = []
    for part, gradient in zip((user, positive, negative), gradients, strict=True):
        length = np.linalg.norm(part, axis=1).mean()
        moved.append(part + eps * strength[:, None] * length * gradient / np.linalg.norm(gradient, axis=1)[:, None])
    return loss(user, positive, negative) + loss(*moved)


@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 1.0])])
def test_apr_of_two_pairs(weight: torch.Tensor | None) -> None:
    batch = two_pairs(weight)
    training = hardened("apr", Fake([batch]), eps=0.3)
    ((found, _),) = epoch(training)
    rows = np.ones(2) if weight is None else weight.numpy()
    assert found == pytest.approx(by_hand(batch, 0.3, np.ones(2), rows), rel=1e-5)


def test_vat_moves_each_user_by_its_mean_loss_of_the_epochs_before() -> None:
    batch = two_pairs()
    training = hardened("vat", Fake([batch]), eps=0.3, warm_up=1)
    ((plain, _),) = epoch(training)
    losses = Fake().each(batch.vectors, batch).numpy().astype(np.float64)
    assert plain == pytest.approx(losses.mean(), rel=1e-5)
    strength = 2 / (1 + np.exp(1 - losses.mean() / losses))
    ((found, _),) = epoch(training)
    assert found == pytest.approx(by_hand(batch, 0.3, strength, np.ones(2)), rel=1e-5)
    assert (strength[0] > strength[1]) == (losses[0] < losses[1])


def test_pamacf_moves_each_user_by_its_length() -> None:
    batch = two_pairs()
    ((found, _),) = epoch(hardened("pama-cf", Fake([batch]), eps=0.3, warm_up=0))
    strength = 2 / (1 + np.exp(1 - np.array([1.0, 4.0]) / 2.5))
    assert found == pytest.approx(by_hand(batch, 0.3, strength, np.ones(2)), rel=1e-5)


def test_average_users_are_moved_by_one_and_unknown_ones_are_average() -> None:
    means = torch.tensor([2.0, 2.0, torch.nan])
    assert by_loss(means, torch.tensor([0, 1, 2]), 2.0).tolist() == [1.0, 1.0, 1.0]
    assert by_length(torch.tensor([[3.0, 4.0], [5.0, 0.0]]), 2.0).tolist() == [1.0, 1.0]


def test_no_gradient_no_move_and_shared_negatives_move_by_the_mean_strength() -> None:
    vectors, gradient = (
        torch.tensor([[3.0, 4.0], [0.0, 5.0], [5.0, 0.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 2.0], [1e-9, 0]]),
    )
    assert delta(vectors, gradient, 0.1).tolist() == [[0, 0], [0, 0.5], [0.5, 0]]
    assert delta(vectors, gradient, 0.1, torch.tensor([1.0, 2.0])).tolist() == [[0, 0], [0, 0.75], [0.75, 0]]


def test_moves_are_constant_in_the_gradient() -> None:
    batch = two_pairs()
    training = hardened("apr", Fake([batch]), eps=0.3)
    for asked in training.batches(np.random.default_rng(0)):
        training.loss(asked, NOTHING).backward()
    once = [part.grad.clone() for part in batch.vectors if part.grad is not None]
    # the same two losses, the moves computed apart
    own = two_pairs()
    value = Fake().ranking(own.vectors, own, None)
    gradients = torch.autograd.grad(value, own.vectors, retain_graph=True)
    moved = tuple(part + delta(part, step, 0.3) for part, step in zip(own.vectors, gradients, strict=True))
    (value + Fake().ranking(moved, own, None)).backward()  # type: ignore[arg-type]
    for first, part in zip(once, own.vectors, strict=True):
        assert part.grad is not None and torch.equal(first, part.grad)


@pytest.mark.parametrize("name", list(RECIPES))
def test_moves_raise_the_loss_of_real_batches(name: str) -> None:
    seen: list[float] = []

    class Watched:
        def __init__(self, training: Any) -> None:
            self.training = training

        def __getattr__(self, field: str) -> Any:
            return getattr(self.training, field)

        def ranking(self, vectors: Any, batch: Any, weight: Any) -> torch.Tensor:
            value: torch.Tensor = self.training.ranking(vectors, batch, weight)
            seen.append(float(value.detach()))
            return value

    fit(
        replace(RECIPES[name], epochs=3), LOG, 0,
        harden=lambda training: hardened("apr", Watched(training), eps=0.05),
    )  # fmt: skip
    pairs = np.array(seen).reshape(-1, 2)
    assert len(pairs) > 3 and (pairs[:, 1] >= pairs[:, 0]).all()


def test_gradient_of_candidates_leaves_out_what_they_were_made_into() -> None:
    """In full-softmax sequence models positives are rows of the candidates; each kind moves by its own gradient."""
    kept: list[Any] = []

    def harden(training: Any) -> Any:
        kept.append(training)
        return training

    fit(replace(RECIPES["sasrec"], epochs=1), LOG, 0, harden=harden)
    (training,) = kept
    batch = next(training.batches(np.random.default_rng(0)))
    vectors, _ = training.vectors(batch, torch.Generator().manual_seed(0))
    own = [part.view_as(part) for part in vectors]
    through = torch.autograd.grad(training.ranking(own, batch, None), own)
    leaves = [part.detach().requires_grad_() for part in vectors]
    apart = torch.autograd.grad(training.ranking(leaves, batch, None), leaves)
    assert all(torch.equal(first, second) for first, second in zip(through, apart, strict=True))


def test_warm_up_is_the_smaller_of_epochs_and_share() -> None:
    for planned, expected in ((None, 5), (100, 5), (10, 2), (4, 0)):
        training = hardened("vat", Fake(), planned)
        assert training.warm_up(training.config) == expected
    assert [hardened("apr", Fake(), planned).warm_up(hardened("apr", Fake()).config) for planned in (None, 100)] == [
        0,
        50,
    ]
