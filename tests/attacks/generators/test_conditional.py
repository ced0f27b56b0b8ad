"""Networks of Leg-UP with side features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recaudit.attacks.generators.conditional import Critic, Film, RatingVAE, divergence, steepness
from recaudit.attacks.generators.nets import Discretiser, step
from recaudit.datasets.seeding import rng, torch_rng
from recaudit.recommenders.trainer import one_thread

GRID = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
ITEMS, FEATURES = 20, 6


def vae(n_features: int = FEATURES, seed: int = 0) -> RatingVAE:
    return RatingVAE(ITEMS, GRID, n_features, window=1.0, rng=rng(seed))


def batch(rows: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Profiles of which half is empty, features, and noise."""
    draw = rng(3)
    profiles = draw.integers(1, 6, (rows, ITEMS)) * (draw.random((rows, ITEMS)) < 0.5)
    features, noise = draw.normal(size=(rows, FEATURES)), draw.normal(size=(rows, 64))
    return tuple(torch.from_numpy(part.astype(np.float32)) for part in (profiles, features, noise))  # type: ignore[return-value]


def test_window_backward_by_hand() -> None:
    x = torch.tensor([-2.0, -0.5, -0.4, 0.0, 0.4, 0.5, 2.0], requires_grad=True)
    found = step(x, 0.5)
    assert found.tolist() == [0, 0, 0, 1, 1, 1, 1]
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and x.grad.tolist() == [0, 0, 1, 1, 1, 0, 0]
    wide = torch.tensor([0.9, 1.1], requires_grad=True)
    step(wide, 1.0).sum().backward()  # type: ignore[no-untyped-call]
    assert wide.grad is not None and wide.grad.tolist() == [0.5, 0]


def test_rounding_keeps_a_slope_of_one_within_the_scale() -> None:
    """At a window of one step, windows of neighbouring boundaries overlap to a slope of 1; outside there is none."""
    real = torch.tensor([[1.5, 2.2, 3.7, 0.3, 4.8, 6.5]], requires_grad=True)
    rounded = Discretiser(6, GRID, 1.0)(real)
    assert rounded.tolist() == [[2, 3, 4, 1, 5, 5]]
    rounded.sum().backward()
    assert real.grad is not None
    torch.testing.assert_close(real.grad, torch.tensor([[1.0, 1.0, 1.0, 0.5, 0.5, 0.0]]), atol=1e-3, rtol=0)


def test_film_by_hand() -> None:
    film = Film(2, 1)
    with torch.no_grad():
        film.gamma.weight.copy_(torch.tensor([[2.0], [0.0]]))
        film.beta.weight.copy_(torch.tensor([[0.0], [3.0]]))
        film.gate.fill_(0.5)
    # h + a (gamma(c) h + beta(c)) with c = 2
    found = film(torch.tensor([[1.0, 10.0]]), torch.tensor([[2.0]]))
    assert found.tolist() == [[1 + 0.5 * 4, 10 + 0.5 * 6]]


def test_gates_at_zero_are_the_unconditional_model() -> None:
    profiles, features, noise = batch()
    with_x, without = vae(), vae(n_features=0)
    shared = dict(with_x.named_parameters())
    assert not without.conditional and len(shared) > len(list(without.parameters()))
    assert all(torch.equal(shared[name], own) for name, own in without.named_parameters())
    with torch.no_grad():
        for film in (with_x.film_in, with_x.film_out):
            nn.init.normal_(film.gamma.weight, generator=torch_rng(1))
            nn.init.normal_(film.beta.weight, generator=torch_rng(2))
            film.gate.zero_()
        expected, cost = without(profiles, torch.empty(len(profiles), 0), noise)
        found, own = with_x(profiles, features, noise)
        assert torch.equal(found, expected) and torch.equal(own, cost)
        with_x.film_out.gate.fill_(1.0)
        assert not torch.equal(with_x(profiles, features, noise)[0], expected)


def test_fresh_model_is_unconditional_but_learns_to_read_features() -> None:
    """At the start features have no effect; gradients reach gamma and beta at once, gate and condition one step on."""
    profiles, features, noise = batch()
    model = vae()
    first = model(profiles, features, noise)[0]
    assert torch.equal(first, model(profiles, features.flip(0), noise)[0])
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    slopes = []
    for _ in range(2):
        ratings, cost = model(profiles, features, noise)
        optimiser.zero_grad()
        (((ratings - profiles).square() * (profiles != 0)).sum() + cost.sum()).backward()
        slopes.append({name: float(p.grad.abs().sum()) for name, p in model.named_parameters() if p.grad is not None})
        optimiser.step()
    for film in ("film_in", "film_out"):
        assert slopes[0][f"{film}.gamma.weight"] > 0 and slopes[0][f"{film}.beta.weight"] > 0
        assert slopes[0][f"{film}.gate"] == 0 < slopes[1][f"{film}.gate"]
    assert slopes[0]["condition.weight"] == 0 < slopes[1]["condition.weight"]
    assert not torch.equal(model(profiles, features, noise)[0], model(profiles, features.flip(0), noise)[0])


def test_divergence_against_torch() -> None:
    draw = torch_rng(0)
    mean, log_variance = torch.randn(5, 4, generator=draw), torch.randn(5, 4, generator=draw)
    own = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(torch.zeros(5, 4), torch.ones(5, 4))
    expected = torch.distributions.kl_divergence(own, standard).sum(1)
    torch.testing.assert_close(divergence(mean, log_variance), expected)


@pytest.mark.parametrize("grid", [[1.0, 2.0, 3.0, 4.0, 5.0], [0.5, 1.0, 1.5, 2.0], [-10.0, 10.0]])
def test_ratings_lie_on_the_grid(grid: list[float]) -> None:
    profiles, features, noise = batch()
    model = RatingVAE(ITEMS, torch.tensor(grid), FEATURES, window=1.0, rng=rng(0))
    found = model(profiles, features, 30 * noise)[0]
    assert set(found.unique().tolist()) <= set(grid) and len(found.unique()) > 1


def toy(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Genuine and fake rows that differ by the first item's value, and two features that say nothing."""
    draw = rng(seed)
    real, fake = draw.normal(0, 0.1, (2, 256, ITEMS)).astype(np.float32)
    real[:, 0] += 1.0
    features = np.eye(2, dtype=np.float32)[draw.integers(0, 2, 256)]
    return torch.from_numpy(real), torch.from_numpy(fake), torch.from_numpy(features)


def trained(critic: Critic, penalty: float, steps: int = 250) -> Critic:
    real, fake, features = toy()
    draw = rng(5)
    optimiser = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.0, 0.9))
    with one_thread():
        for _ in range(steps):
            rows = torch.from_numpy(draw.integers(0, 256, 64))
            loss = critic(fake[rows], features[rows]).mean() - critic(real[rows], features[rows]).mean()
            if penalty:
                share = torch.from_numpy(draw.random((64, 1), np.float32))
                slope = steepness(critic, real[rows], fake[rows], features[rows], share)
                loss = loss + penalty * (slope - 1).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return critic


def test_penalised_critic_has_slope_one_between_the_two() -> None:
    critic = Critic(ITEMS, 2, spectral=False, rng=rng(1))
    real, fake, features = toy(9)
    share = torch.from_numpy(rng(2).random((256, 1), np.float32))
    before = steepness(critic, real, fake, features, share).mean().item()
    slope = steepness(trained(critic, 10.0), real, fake, features, share)
    assert slope.mean().item() == pytest.approx(1, abs=0.1) and slope.std().item() < 0.2
    assert abs(before - 1) > 0.2, "the test would pass without training"
    # the distance of the two sets is 1, and a critic of slope 1 finds most of it
    assert 0.7 < (critic(real, features).mean() - critic(fake, features).mean()).item() < 1.2


def test_spectral_norms_are_one_at_most() -> None:
    critic = trained(Critic(ITEMS, 2, spectral=True, rng=rng(1)), 0.0)
    assert critic.projection is not None
    for layer in (critic.first, critic.second, critic.out, critic.projection):
        assert torch.linalg.matrix_norm(critic.weight(layer), 2).item() <= 1 + 1e-5
    assert torch.linalg.matrix_norm(critic.first.weight, 2).item() > 1.01, "nothing had to be normalised"
    real, fake, features = toy(9)
    assert (critic(real, features) > critic(fake, features)).float().mean() > 0.95
    # each layer's slope is at most 1, and the last one's at most |w| + |V x| <= 2 for a one-hot x
    slope = steepness(critic, real, fake, features, torch.full((256, 1), 0.5))
    assert slope.max().item() <= 2 + 1e-4


def test_critic_learns_pairs_of_rating_and_feature() -> None:
    """Genuine rows rate the item of their group high; fakes the other one. Neither side alone tells them apart."""
    group = torch.arange(200) % 2
    features = torch.eye(2)[group]
    real, fake = torch.zeros(200, ITEMS), torch.zeros(200, ITEMS)
    real[torch.arange(200), group], fake[torch.arange(200), 1 - group] = 1.0, 1.0
    critic = Critic(ITEMS, 2, spectral=True, rng=rng(1))
    optimiser = torch.optim.Adam(critic.parameters(), lr=5e-3)
    with one_thread():
        for _ in range(80):
            loss = critic(fake, features).mean() - critic(real, features).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    assert bool((critic(real, features) > critic(fake, features)).all())
    blind = Critic(ITEMS, 0, spectral=True, rng=rng(1))
    assert blind.projection is None
    empty = torch.empty(200, 0)
    assert (blind(real, empty).mean() - blind(fake, empty).mean()).abs().item() < 1e-5


def test_steepness_of_a_linear_critic_by_hand() -> None:
    critic = Critic(2, 1, spectral=False, rng=rng(0))
    with torch.no_grad():
        for layer in (critic.first, critic.second, critic.out):
            layer.weight.zero_()
        critic.first.weight[0] = torch.tensor([3.0, 4.0])
        critic.second.weight[0, 0] = critic.out.weight[0, 0] = 1.0
        assert critic.projection is not None
        critic.projection.weight.zero_()
        critic.projection.weight[0, 0] = 1.0
    ones = torch.ones(1, 2)
    # (w + V x) |(3, 4)| with x = 0 and x = 2; the slope left of 0 is that of the leaky unit, twice 0.2
    assert steepness(critic, ones, ones, torch.zeros(1, 1), torch.ones(1, 1)).item() == pytest.approx(5)
    assert steepness(critic, ones, ones, torch.full((1, 1), 2.0), torch.ones(1, 1)).item() == pytest.approx(15)
    below = steepness(critic, -ones, ones, torch.zeros(1, 1), torch.ones(1, 1)).item()
    assert below == pytest.approx(5 * 0.2 * 0.2)


def test_first_weights_come_from_the_generator() -> None:
    profiles, features, _ = batch()
    torch.rand(3)
    first, again, other = vae(), vae(), vae(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.inner.weight, other.inner.weight)
    critics = [Critic(ITEMS, FEATURES, spectral=True, rng=rng(seed)) for seed in (0, 0, 1)]
    scores = [critic(profiles, features) for critic in critics]
    assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])
