"""Accounts improved by exchanging events along a surrogate's gradient, always within the budget."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from ...datasets.log import Profiles
from ..goal import Draft, Goal
from ..scale import RatingScale
from .audience import Audience
from .base import Accounts, Surrogate
from .losses import Rivals, softmax_loss


@dataclass(frozen=True)
class Descent:
    """How the accounts move.

    Attributes:
        steps: gradients at most.
        first: share of an account's fillers that the first step may exchange; it falls to a single one.
        temperature: of the attack loss, in standard deviations of a user's scores.
    """

    steps: int
    first: float
    temperature: float

    def run(
        self,
        surrogate: Surrogate,
        start: Accounts,
        audience: Audience,
        scale: RatingScale | None,
        rng: np.random.Generator,
    ) -> tuple[Accounts, list[float]]:
        """Exchange fillers where the gradient says that it lowers the loss, and move ratings against it.

        Every account keeps its number of events, so there is no relaxed solution to round: each step is taken from
        accounts that could be injected as they are. The gradient is linear in the rating that a new event would
        have, so an event comes with the end of the scale that serves the attack.

        Args:
            surrogate: fitted to `start` first.
            start: the first accounts, `present` of zeros and ones, targets included.
            audience: whose lists count.
            scale: of the ratings; None where there are none.
            rng: which users count in which step, where not all fit into memory.

        Returns:
            The accounts with the lowest loss, and the losses of all steps.
        """
        present, rating = start.present.clone(), start.rating.clone()
        movable = torch.ones_like(present, dtype=torch.bool)
        movable[:, audience.targets] = False
        fillers = int((present * movable).sum(1).max())
        best, losses = start, list[float]()
        surrogate.fit(start)
        for step in range(self.steps + 1):
            own = present.clone().requires_grad_(True), rating.clone().requires_grad_(True)
            here = replace(start, present=own[0], rating=own[1])
            loss = promotion_loss(surrogate, here, audience, rng, self.temperature)
            # a surrogate that reads no ratings has no gradient to them: zeros
            to_present, to_rating = torch.autograd.grad(loss, [here.present, here.rating], materialize_grads=True)
            losses.append(loss.item())
            if losses[-1] == min(losses):
                best = replace(start, present=present.clone(), rating=rating.clone())
            if step == self.steps or not fillers:
                break
            left = 1 - step / self.steps
            if scale is not None:
                rating = _moved(rating, present * movable, to_rating, left * (scale.highest - scale.lowest) / 2, scale)
            offer = _offer(to_rating, scale)
            _exchange(
                present,
                rating,
                torch.where(movable, to_present + offer * to_rating, torch.inf),
                torch.where(movable, to_present + rating * to_rating, -torch.inf),
                offer,
                max(1, int(fillers * self.first * left)),
            )
        return best, losses


def promotion_loss(
    surrogate: Surrogate,
    accounts: Accounts,
    audience: Audience,
    rng: np.random.Generator,
    temperature: float,
    rivals: Rivals = "all",
) -> torch.Tensor:
    """The attack loss after the surrogate has gone on training with these accounts; differentiable in them.

    Scores are divided by `temperature` standard deviations of a user's scores, so that one setting fits surrogates
    whose scores have different scales; "published" rivals take them as they are, consumed items included.
    """
    users, consumed = audience.sample(rng)
    scores = surrogate.unrolled(accounts).scores(users)
    if rivals == "published":
        return softmax_loss(scores, audience.targets, consumed, rivals)
    spread = scores.detach().std(1, keepdim=True).clamp_min(1e-12)
    return softmax_loss(scores / (temperature * spread), audience.targets, consumed, rivals)


def _offer(to_rating: torch.Tensor, scale: RatingScale | None) -> torch.Tensor:
    """The rating that a new event would get: the end of the scale that lowers the loss, the top one if neither does."""
    if scale is None:
        return torch.ones_like(to_rating)
    return torch.where(to_rating <= 0, scale.highest, scale.lowest).to(to_rating.dtype)


def _moved(
    rating: torch.Tensor, present: torch.Tensor, gradient: torch.Tensor, most: float, scale: RatingScale
) -> torch.Tensor:
    """Ratings after a step of at most `most` against the gradient, within the scale; only where there are events."""
    largest = (gradient.abs() * present).amax(1, keepdim=True).clamp_min(1e-30)
    moved = (rating - most * gradient / largest).clamp(scale.lowest, scale.highest)
    return torch.where(present > 0, moved, rating)


def _exchange(
    present: torch.Tensor,
    rating: torch.Tensor,
    adding: torch.Tensor,
    keeping: torch.Tensor,
    offer: torch.Tensor,
    most: int,
) -> None:
    """Swap, in place, up to `most` events of each account, worst against best, while the swap lowers the loss.

    `adding` and `keeping` float [A, I]: change of the loss by an event there; infinite where none may move.
    """
    inside = present > 0
    worst, out = torch.where(inside, keeping, -torch.inf).topk(most, dim=1)
    gain, into = torch.where(inside, torch.inf, adding).topk(min(most, adding.shape[1]), dim=1, largest=False)
    rows, places = torch.nonzero((gain < worst) & torch.isfinite(gain) & torch.isfinite(worst), as_tuple=True)
    leaving, coming = out[rows, places], into[rows, places]
    present[rows, leaving], rating[rows, leaving] = 0.0, 0.0
    present[rows, coming], rating[rows, coming] = 1.0, offer[rows, coming]


def block(profiles: Profiles, n_items: int, rated: bool) -> Accounts:
    """Finished accounts as a dense block; ratings of 1 where the surrogate reads none.

    Shapes: N events -> float32 [A, I].
    """
    cells = torch.from_numpy(profiles.account.astype(np.int64)), torch.from_numpy(profiles.item.astype(np.int64))
    present = torch.zeros(profiles.n_accounts, n_items)
    present[cells] = 1.0
    rating = torch.zeros_like(present)
    rating[cells] = torch.from_numpy(profiles.value) if rated and profiles.value is not None else 1.0
    return Accounts(present, rating)


def draft_of(accounts: Accounts, goal: Goal) -> Draft:
    """The fillers of a dense block, for the finish line."""
    present = accounts.present.clone()
    present[:, list(goal.targets)] = 0.0
    width = int((present > 0).sum(1).max())
    chance, items = present.topk(width, dim=1)
    found = torch.where(chance > 0, items, -1).numpy().astype(np.int32)
    return Draft(found, torch.gather(accounts.rating, 1, items).numpy() if goal.kind == "rating" else None)
