"""Networks of Leg-UP with side features: a variational autoencoder that features modulate, and a projection critic."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .nets import Discretiser

_HIDDEN, _LATENT, _CONDITION = 256, 64, 64
_CRITIC = (128, 64)


class Film(nn.Module):
    """A layer's linear output, modulated by a condition: h + a (gamma(c) * h + beta(c)).

    The maps to gamma and beta start at 0 and the gate a at 1, so the layer starts without effect. Were the gate 0
    too, no gradient would ever reach either.

    Reference: Perez et al. 2018, FiLM, AAAI; the gated residual form is that of arXiv 2509.17918.
    """

    def __init__(self, width: int, condition: int) -> None:
        """Set all maps to zero and the gate to one."""
        super().__init__()
        self.gamma, self.beta = nn.Linear(condition, width, bias=False), nn.Linear(condition, width, bias=False)
        nn.init.zeros_(self.gamma.weight)
        nn.init.zeros_(self.beta.weight)
        self.gate = nn.Parameter(torch.ones(()))

    def forward(self, hidden: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Modulate: float [B, width], float [B, c] -> float [B, width]."""
        moved: torch.Tensor = hidden + self.gate * (self.gamma(condition) * hidden + self.beta(condition))
        return moved


class RatingVAE(nn.Module):
    """From masked profiles and their users' features to ratings of all items, through a latent code.

    Encoder and decoder have one hidden layer each, which the features modulate; real ratings leave through tanh and
    the learned rounding of Leg-UP, whose backward is a ramp here.

    Attributes:
        conditional: whether features are read.
    """

    def __init__(
        self, n_items: int, grid: torch.Tensor, n_features: int, *, window: float, rng: np.random.Generator
    ) -> None:
        """Draw the first weights.

        Args:
            n_items: I.
            grid: ratings in use, float [g], ascending.
            n_features: F; 0 for an unconditional model with the same first weights.
            window: of the rounding's ramp, in mean steps of the grid.
            rng: backbone and condition draw from streams of their own.
        """
        super().__init__()
        by_base, by_condition = rng.spawn(2)
        span = float(grid[-1] - grid[0]) / max(len(grid) - 1, 1)
        # as in Leg-UP: one mean step below the scale (which rounds up to its lowest rating) up to its top
        self.low, self.high = float(grid[0]) - span, float(grid[-1])
        self.inner, self.mean = nn.Linear(n_items, _HIDDEN), nn.Linear(_HIDDEN, _LATENT)
        self.log_variance = nn.Linear(_HIDDEN, _LATENT)
        self.latent, self.outer = nn.Linear(_LATENT, _HIDDEN), nn.Linear(_HIDDEN, n_items)
        _draw((self.inner, self.mean, self.log_variance, self.latent, self.outer), by_base)
        self.discretiser = Discretiser(n_items, grid, window * span)
        self.conditional = n_features > 0
        if self.conditional:
            self.condition = nn.Linear(n_features, _CONDITION)
            _draw((self.condition,), by_condition)
            self.film_in, self.film_out = Film(_HIDDEN, _CONDITION), Film(_HIDDEN, _CONDITION)

    def forward(
        self, profiles: torch.Tensor, features: torch.Tensor, noise: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Ratings of the grid, and what the latent code costs.

        Args:
            profiles: float [B, I], 0 where there is no event.
            features: float [B, F]; not read by an unconditional model.
            noise: standard normal float [B, 64], None for the mean code.

        Returns:
            ratings float [B, I], to be masked by what the profile holds, and the divergence of the code from a
            standard normal, float [B].
        """
        condition = torch.tanh(self.condition(features)) if self.conditional else features
        hidden = self.inner(functional.normalize(profiles))
        hidden = torch.relu(self.film_in(hidden, condition) if self.conditional else hidden)
        mean, log_variance = self.mean(hidden), self.log_variance(hidden)
        code = mean if noise is None else mean + torch.exp(log_variance / 2) * noise
        hidden = self.latent(code)
        hidden = torch.relu(self.film_out(hidden, condition) if self.conditional else hidden)
        real = self.low + (self.high - self.low) * (torch.tanh(self.outer(hidden)) + 1) / 2
        return self.discretiser(real), divergence(mean, log_variance)


class Critic(nn.Module):
    """How genuine a profile with these features looks: w . phi(r) + b + (V x) . phi(r), unbounded.

    V starts at random: a critic whose V starts at 0 may never learn to read x. `spectral` divides every weight by
    its largest singular value, exactly, from the smaller Gram matrix.

    Reference: Miyato and Koyama 2018, cGANs with Projection Discriminator, ICLR; Miyato et al. 2018, Spectral
    Normalization for Generative Adversarial Networks, ICLR.
    """

    def __init__(self, n_items: int, n_features: int, *, spectral: bool, rng: np.random.Generator) -> None:
        """Draw the first weights; F 0 for a critic without condition."""
        super().__init__()
        self.spectral = spectral
        self.first, self.second = nn.Linear(n_items, _CRITIC[0]), nn.Linear(_CRITIC[0], _CRITIC[1])
        self.out = nn.Linear(_CRITIC[1], 1)
        layers = [self.first, self.second, self.out]
        self.projection: nn.Linear | None = None
        if n_features:
            self.projection = nn.Linear(n_features, _CRITIC[1], bias=False)
            layers.append(self.projection)
        _draw(layers, rng)

    def weight(self, layer: nn.Linear) -> torch.Tensor:
        """The weight as it is used, float [out, in]; of spectral norm 1 at most if so asked."""
        found = layer.weight
        if not self.spectral:
            return found
        gram = found @ found.T if found.shape[0] <= found.shape[1] else found.T @ found
        norm: torch.Tensor = torch.linalg.eigvalsh(gram)[-1].clamp_min(1e-24).sqrt()
        return found / norm

    def forward(self, ratings: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Scores: float [B, I] (ratings over the largest one, 0 for none), float [B, F] -> float [B]."""
        hidden = functional.leaky_relu(functional.linear(ratings, self.weight(self.first), self.first.bias), 0.2)
        hidden = functional.leaky_relu(functional.linear(hidden, self.weight(self.second), self.second.bias), 0.2)
        score = functional.linear(hidden, self.weight(self.out), self.out.bias)[:, 0]
        if self.projection is None:
            return score
        return score + (functional.linear(features, self.weight(self.projection)) * hidden).sum(1)


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of diagonal normals from the standard one: float [B, z] twice -> float [B]."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def steepness(
    critic: Critic, real: torch.Tensor, fake: torch.Tensor, features: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """Norm of the critic's gradient to the ratings, between genuine and fake profiles; differentiable.

    Ratings are interpolated, features never are: a mixture of two users is no user.

    Shapes: real, fake float [B, I], features float [B, F], share of the real ones float [B, 1] -> float [B].

    Reference: Gulrajani et al. 2017, Improved Training of Wasserstein GANs, NeurIPS, algorithm 1.
    """
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between, features).sum(), between, create_graph=True)
    norms: torch.Tensor = gradient.norm(dim=1)
    return norms


def _draw(layers: tuple[nn.Linear, ...] | list[nn.Linear], rng: np.random.Generator) -> None:
    """Normal weights of variance 2 / (fan in + fan out), biases 0, drawn from the generator."""
    with torch.no_grad():
        for layer in layers:
            drawn = rng.standard_normal(tuple(layer.weight.shape), np.float32)
            layer.weight.copy_(torch.from_numpy(drawn * np.float32((2 / sum(layer.weight.shape)) ** 0.5)))
            if layer.bias is not None:
                layer.bias.zero_()
