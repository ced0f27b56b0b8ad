"""Networks of Leg-UP: rounding that learns, on hand-computed cases."""

from __future__ import annotations

import numpy as np
import torch

from recaudit.attacks.generators.nets import Discretiser, Generator, step

GRID = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])


def test_it_starts_as_rounding_up_with_half_open_boundaries() -> None:
    real = torch.tensor([[0.0, 0.999, 1.0, 1.001, 1.999, 2.001, 3.5, 4.0, 4.999]]).T.expand(-1, 3)
    with torch.no_grad():
        found = Discretiser(3, GRID)(real + 1e-5)
    # a value on a boundary belongs above it, where the published product of steps gives no rating at all
    assert found[:, 0].tolist() == [1, 1, 2, 2, 2, 3, 4, 5, 5]
    assert torch.equal(found[:, 0], found[:, 2])


def test_it_works_on_any_scale() -> None:
    grid = torch.tensor([0.5, 1.0, 1.5, 4.0])
    real = torch.linspace(-1, 5, 61)[:, None]
    with torch.no_grad():
        found = Discretiser(1, grid)(real)[:, 0]
    assert set(found.tolist()) == set(grid.tolist()) and (found.diff() >= 0).all()


def test_boundaries_stay_in_order_whatever_is_learned() -> None:
    rounding = Discretiser(4, GRID)
    with torch.no_grad():
        for parameter in rounding.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 3)
        assert (rounding.boundaries().diff(dim=1) > 0).all()
        real = torch.linspace(-9, 9, 200)[:, None].expand(-1, 4)
        assert (rounding(real).diff(dim=0) >= 0).all()


def test_the_gradient_is_the_stated_one() -> None:
    x = torch.tensor([-1.5, -0.2, 0.0, 0.7], requires_grad=True)
    value = step(x)
    assert value.tolist() == [0, 0, 1, 1]
    (gradient,) = torch.autograd.grad(value.sum(), x)
    assert torch.allclose(gradient, 1 - torch.tanh(x.detach()) ** 2)
    rounding, real = Discretiser(1, GRID), torch.tensor([[2.6]], requires_grad=True)
    (gradient,) = torch.autograd.grad(rounding(real).sum(), real)
    distance = 2.6 - rounding.boundaries().detach()
    assert torch.allclose(gradient.sum(), (1 - torch.tanh(distance) ** 2).sum())


def test_chances_agree_with_the_rating_and_sum_to_one() -> None:
    rounding = Discretiser(2, GRID)
    real = torch.tensor([0.3, 1.7, 2.2, 3.9, 4.9])
    items = torch.tensor([0, 1, 0, 1, 0])
    with torch.no_grad():
        ratings = rounding(real[:, None].expand(-1, 2))[:, 0]
        hard = rounding.chances(real, items, soft=False)
        soft = rounding.chances(real, items, soft=True)
    assert torch.equal(hard @ GRID, ratings) and torch.equal(hard.sum(1), torch.ones(5))
    assert torch.allclose(soft.sum(1), torch.ones(5)) and (soft >= 0).all()
    assert (soft[[0, 1, 4]].argmax(1) == hard[[0, 1, 4]].argmax(1)).all()


def test_a_generator_without_learned_rounding_rounds_to_the_nearest_and_lets_gradients_through() -> None:
    generator = Generator(6, GRID, learned=False, rng=np.random.default_rng(0))
    profiles = torch.rand(3, 6, generator=torch.Generator().manual_seed(0))
    ratings = generator(profiles)
    assert set(ratings.flatten().tolist()) <= set(GRID.tolist())
    ratings.sum().backward()  # type: ignore[no-untyped-call]
    assert generator.outer.weight.grad is not None and generator.outer.weight.grad.abs().sum() > 0


def test_the_same_seed_draws_the_same_weights() -> None:
    first, second = (Generator(6, GRID, learned=True, rng=np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first.inner.weight, second.inner.weight)
    assert 0.05 < float(first.inner.weight.std()) < 0.3  # sqrt(2 / 131) = .124
