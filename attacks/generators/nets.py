"""Networks of Leg-UP: a generator of ratings, the learned rounding behind it, a discriminator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_HIDDEN = 125
_GAP = 1e-4  # between two boundaries at least


class _Step(torch.autograd.Function):
    """1 where x >= 0, else 0; backward as if it were a slope of 1 - tanh(x)^2."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor]:
        (x,) = ctx.saved_tensors
        return (gradient * (1 - torch.tanh(x) ** 2),)


class _Window(torch.autograd.Function):
    """1 where x >= 0, else 0; backward as if it were a ramp of slope 1 / (2 w) where |x| < w."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, width: float) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.width = width
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < ctx.width) / (2 * ctx.width), None


def step(x: torch.Tensor, window: float | None = None) -> torch.Tensor:
    """The half-open step that learning can see through: any float tensor -> the same shape, 0 or 1.

    Backward it is a slope of 1 - tanh(x)^2, or, given a `window` w, a ramp of slope 1 / (2 w) where |x| < w.
    """
    found: torch.Tensor
    if window is None:
        found = _Step.apply(x)  # type: ignore[no-untyped-call]
    else:
        found = _Window.apply(x, window)  # type: ignore[no-untyped-call]
    return found


class Discretiser(nn.Module):
    """Rounds a real rating to the grid by boundaries that each item learns.

    The first boundary is free, each next one lies at least a little above, so that they stay in order; they start as
    rounding up. On a grid of g ratings there are g - 1 of them.

    Reference: Lin et al. 2022, Leg-UP, arXiv 2206.11433, the discretisation of the generator.
    """

    def __init__(self, n_items: int, grid: torch.Tensor, window: float | None = None) -> None:
        """Take the ratings in use, float [g], ascending, and the window of the backward ramp; None for tanh's."""
        super().__init__()
        self.window = window
        self.register_buffer("grid", grid)
        self.grid: torch.Tensor
        self.lowest = nn.Parameter(grid[:1].expand(n_items).clone())
        self.widths = nn.Parameter((grid[1:-1] - grid[:-2]).expand(n_items, -1).clone() - _GAP)

    def boundaries(self) -> torch.Tensor:
        """Float [I, g - 1], ascending."""
        gaps = torch.relu(self.widths) + _GAP
        return torch.cat([self.lowest[:, None], self.lowest[:, None] + torch.cumsum(gaps, 1)], 1)

    def forward(self, real: torch.Tensor) -> torch.Tensor:
        """Ratings of the grid: float [B, I] -> float [B, I]."""
        above = step(real[..., None] - self.boundaries(), self.window)
        rises = self.grid[1:] - self.grid[:-1]
        return self.grid[0] + above @ rises

    def chances(self, real: torch.Tensor, items: torch.Tensor, *, soft: bool) -> torch.Tensor:
        """How likely each rating of the grid is for some cells: float [N], int64 [N] -> float [N, g].

        Soft: from logistic noise around the real rating, of width 1/4 of the scale's mean step. Else the published
        product of steps, 1 for the rating that `forward` gives and 0 for the others.
        """
        distance = real[:, None] - self.boundaries()[items]
        ones = torch.ones_like(distance[:, :1])
        if soft:
            noise = 0.25 * float(self.grid[-1] - self.grid[0]) / max(len(self.grid) - 1, 1)
            over = torch.cat([ones, torch.sigmoid(distance / noise), torch.zeros_like(ones)], 1)
            return over[:, :-1] - over[:, 1:]
        count = len(self.grid)
        below = torch.arange(count)[:, None] <= torch.arange(count - 1)  # rating k lies below boundary l
        sign = torch.where(below, -1.0, 1.0)
        return step(distance[:, None] * sign).prod(-1)


class Generator(nn.Module):
    """From masked profiles to ratings of all items, by one hidden layer.

    Reference: Lin et al. 2022, Leg-UP, and its public code: widths, activations and first weights.
    """

    def __init__(self, n_items: int, grid: torch.Tensor, *, learned: bool, rng: np.random.Generator) -> None:
        """Draw the first weights; `learned` rounding, or rounding to the nearest with the identity's gradient."""
        super().__init__()
        self.inner, self.outer = nn.Linear(n_items, _HIDDEN), nn.Linear(_HIDDEN, n_items)
        initialise((self.inner, self.outer), rng)
        self.discretiser = Discretiser(n_items, grid)
        self.learned = learned

    def real(self, profiles: torch.Tensor) -> torch.Tensor:
        """Real ratings within the scale, from (almost) its lower to its upper end: float [B, I] -> float [B, I]."""
        low, high = self._range()
        hidden = torch.relu(self.inner(functional.normalize(profiles)))
        return low + (high - low) * (torch.tanh(self.outer(hidden)) + 1) / 2

    def _range(self) -> tuple[float, float]:
        """The published 0..5 on ratings 1..5: one mean step below the scale up to its top."""
        grid = self.discretiser.grid
        span = float(grid[-1] - grid[0]) / max(len(grid) - 1, 1)
        return float(grid[0]) - span, float(grid[-1])

    def forward(self, profiles: torch.Tensor) -> torch.Tensor:
        """Ratings of the grid: float [B, I] -> float [B, I]; mask them by what the profile holds."""
        real = self.real(profiles)
        if self.learned:
            ratings: torch.Tensor = self.discretiser(real)
            return ratings
        grid = self.discretiser.grid
        nearest = grid[torch.bucketize(real.detach(), (grid[1:] + grid[:-1]) / 2)]
        return real + (nearest - real).detach()


class Discriminator(nn.Sequential):
    """Logit that a profile is genuine: float [B, I] -> float [B, 1]."""

    def __init__(self, n_items: int, rng: np.random.Generator) -> None:
        """Draw the first weights."""
        layers = [nn.Linear(n_items, 512), nn.Linear(512, 128), nn.Linear(128, 1)]
        initialise(layers, rng)
        super().__init__(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])


def initialise(layers: Any, rng: np.random.Generator) -> None:
    """Normal weights of variance 2 / (fan in + fan out) and almost no bias, drawn from the generator."""
    with torch.no_grad():
        for layer in layers:
            deviation = (2 / sum(layer.weight.shape)) ** 0.5
            for tensor, spread in ((layer.weight, deviation), (layer.bias, 1e-3)):
                tensor.copy_(torch.from_numpy(rng.standard_normal(tuple(tensor.shape), np.float32) * spread))
