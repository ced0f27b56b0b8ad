"""Adam written out, so that a gradient can go through its steps, and what surrogates trained by it share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch

from .base import Accounts, Factors

State = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Parameters, and the first and second moments of their gradients, all of one shape."""

_MOMENTS = (0.9, 0.999)
_EPSILON = 1e-8


def adam_step(state: State, steps: int, gradient: torch.Tensor, *, rate: float, decay: float) -> State:
    """One step of Adam with weight decay, as new tensors where gradients are tracked, else in place.

    Equal to torch's Adam. Differentiable in state and gradient; in-place calls overwrite `gradient` too.

    Args:
        state: parameters and moments.
        steps: number of this step, from 1.
        gradient: of the loss, shaped like the parameters.
        rate: learning rate.
        decay: weight of half the squared norm of the parameters, added to the loss.

    Reference: Kingma and Ba 2015, Adam: A Method for Stochastic Optimization, algorithm 1.
    """
    vectors, first, second = state
    slow, fast = _MOMENTS
    rate, root = rate / (1 - slow**steps), (1 - fast**steps) ** 0.5
    if not torch.is_grad_enabled():
        gradient.add_(vectors, alpha=decay)
        first.lerp_(gradient, 1 - slow)
        second.mul_(fast).addcmul_(gradient, gradient, value=1 - fast)
        vectors.addcdiv_(first, (second.sqrt() / root).add_(_EPSILON), value=-rate)
        return state
    gradient = gradient + decay * vectors
    first = slow * first + (1 - slow) * gradient
    second = fast * second + (1 - fast) * gradient**2
    # the root of a zero has no gradient; such entries do not move
    safe = torch.where(second > 0, second, torch.ones_like(second)).sqrt() * (second > 0)
    return vectors - rate * first / (safe / root + _EPSILON), first, second


class AdamTrained(ABC):
    """A surrogate whose parameters are trained by Adam and that goes on from where it stood.

    Parameters and moments are kept between calls. `unrolled` takes a few more steps through which gradients flow,
    at the price of a loss that can be differentiated twice.
    """

    def __init__(self, steps: int, unroll: int, *, rate: float, decay: float) -> None:
        """Keep the schedule.

        Args:
            steps: of a fit from fresh parameters.
            unroll: differentiable steps of a call of `unrolled`.
            rate: learning rate.
            decay: see `adam_step`.
        """
        self.fit_steps, self.unroll, self.rate, self.decay = steps, unroll, rate, decay
        self.states: list[State] = []
        self.taken = 0

    @abstractmethod
    def first(self, accounts: int) -> list[torch.Tensor]:
        """Fresh parameters for so many fake accounts."""

    @abstractmethod
    def loss(self, parameters: Sequence[torch.Tensor], accounts: Accounts) -> torch.Tensor:
        """The training loss of one step, twice differentiable in the parameters and `accounts`."""

    @abstractmethod
    def factors(self, parameters: Sequence[torch.Tensor], accounts: Accounts) -> Factors:
        """What the parameters say, differentiable in them and `accounts`."""

    def fit(self, accounts: Accounts) -> Factors:
        """See Surrogate."""
        still = replace(accounts, present=accounts.present.detach(), rating=accounts.rating.detach())
        fresh = self.first(len(still.present))
        self.states = [(table, torch.zeros_like(table), torch.zeros_like(table)) for table in fresh]
        self.taken = 0
        for _ in range(self.fit_steps):
            self.taken += 1
            leaves = [state[0].requires_grad_(True) for state in self.states]
            with torch.enable_grad():
                gradients = torch.autograd.grad(self.loss(leaves, still), leaves)
            with torch.no_grad():
                for state, gradient in zip(self.states, gradients, strict=True):
                    adam_step(state, self.taken, gradient, rate=self.rate, decay=self.decay)
        self._keep(self.states)
        with torch.no_grad():
            return self.factors([state[0] for state in self.states], still)

    def unrolled(self, accounts: Accounts) -> Factors:
        """See Surrogate; fits first if nothing was fitted."""
        if not self.states:
            self.fit(accounts)
        states = [(state[0].requires_grad_(True), *state[1:]) for state in self.states]
        with torch.enable_grad():
            for _ in range(self.unroll):
                self.taken += 1
                now = [state[0] for state in states]
                gradients = torch.autograd.grad(self.loss(now, accounts), now, create_graph=True)
                states = [
                    adam_step(state, self.taken, gradient, rate=self.rate, decay=self.decay)
                    for state, gradient in zip(states, gradients, strict=True)
                ]
            self._keep(states)
            return self.factors([state[0] for state in states], accounts)

    def _keep(self, states: Sequence[State]) -> None:
        self.states = [(state[0].detach(), state[1].detach(), state[2].detach()) for state in states]
