"""The diffusion attack: real profiles, blurred by noise and restored by a learned denoiser that does not copy."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn
from torch.nn import functional

from ..datasets.log import Float32, Int32, Int64, InteractionLog
from ..recommenders.consumed import consumed
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .clone import choose_users
from .generators.nets import initialise
from .goal import Kind
from .surrogate.fillers import seen_items

_BATCH = 128
_TIME = 10  # numbers that tell the network the step
_FLOOR = 1e-6  # least chance of an item; a linear output may lie below 0


class DiffusionConfig(AttackConfig):
    """Settings of the diffusion attack."""

    noise: float = Field(
        default=1.0, ge=0, le=1, description="share of the steps that templates are blurred by; 0: copies"
    )
    guidance: bool = Field(default=False, description="hold the targets in the profile while it is restored")
    gumbel: float = Field(
        default=0.5, ge=0, description="chance in the choice of items; 0: the likeliest, 1: drawn by their chances"
    )
    steps: int = Field(default=5, ge=1, description="steps of the noise")
    variance: float = Field(default=0.001, gt=0, lt=1, description="of the noise at the last step, per item")
    hidden: int = Field(default=200, ge=1, description="hidden units of the denoiser")
    passes: int = Field(default=10, ge=0, description="passes over the genuine users, at most")
    updates: int = Field(default=2000, ge=1, description="batches in all, at most: large logs are not read whole")
    learning_rate: float = Field(default=3e-3, gt=0, description="of Adam")


class Diffusion(Attack):
    """Profiles that a diffusion model writes around the target.

    A denoiser learns to restore the profiles of genuine users from noisy ones. Each account starts from a genuine
    user that lacks the targets; noise blurs the profile, the denoiser restores it step by step (with `guidance`, the
    targets held in it), and fillers are drawn by the restored chances. Ratings are the user's own, or those of random
    raters of the item. No surrogate of the victim is trained.
    """

    name = "diffusion"
    title = "Profiles restored from noise by a diffusion model"
    reference = (
        "After DIFshilling 2025, A Diffusion Model for Shilling Attacks, Appl. Sci. 15(6) 3412 (the idea), and Wang et "
        "al. 2023, Diffusion Recommender Model, SIGIR, arXiv 2304.04971 (the model)"
    )
    grants = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating", "implicit"})
    config_type = DiffusionConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Train the denoiser, restore blurred templates in blocks, draw items, look up ratings."""
        by_users, by_net, by_noise, by_items, by_ratings = rng.spawn(5)
        log: InteractionLog = knowledge.log
        config: DiffusionConfig = self.config
        allowed = seen_items(log, goal.targets)
        # as wide as the profile: rivals of a buried target may be among the items
        items = np.full((goal.accounts, goal.profile), -1, np.int32)
        if not goal.fillers or not len(allowed):
            return Draft(items)
        users = choose_users(log, goal.targets, goal.accounts, goal.fillers, by_users)
        held = np.array([t for t in goal.targets if log.item_counts[t]], np.int64) if config.guidance else None
        with one_thread():
            denoiser = Denoiser(log.n_items, config, by_net)
            if config.noise > 0:
                denoiser.fit(log, by_net)
            for begin in range(0, goal.accounts, _BATCH):
                rows = profiles(log, users[begin : begin + _BATCH])
                restored = denoiser.restore(rows, config.noise, held, by_noise).numpy()
                places = choose(restored[:, allowed], goal.profile, config.gumbel, by_items)
                items[begin : begin + _BATCH] = np.where(places < 0, -1, allowed[places])
        return Draft(items, None if log.value is None else ratings_of(log, users, items, by_ratings))


def profiles(log: InteractionLog, users: Int64) -> torch.Tensor:
    """Who has what of these users: float [B, I] of 0 and 1."""
    return torch.from_numpy(consumed(log)[users].toarray())


def choose(chances: Float32, n: int, gumbel: float, rng: np.random.Generator) -> Int32:
    """The n items of largest log chance + `gumbel` x Gumbel noise: float [B, m] -> int32 [B, n], -1 for none left.

    That is a draw without replacement in proportion to chance^(1 / gumbel); at 0 equal chances are in random order.
    """
    noise = rng.gumbel(size=chances.shape)
    order = np.log(np.maximum(chances, _FLOOR)) + gumbel * noise
    ranked = np.lexsort((noise, order), axis=1)[:, ::-1][:, :n].astype(np.int32)
    return np.pad(ranked, ((0, 0), (0, n - ranked.shape[1])), constant_values=-1)


def ratings_of(log: InteractionLog, users: Int64, items: Int32, rng: np.random.Generator) -> NDArray[np.float64]:
    """Ratings of each account's items: its template's own, else that of a random rater of the item.

    Shapes: templates int64 [A], items int32 [A, m] with visible events (-1 for none) -> float64 [A, m], NaN for none.
    """
    assert log.value is not None
    key = log.pair_keys
    order = np.argsort(key, kind="stable")
    wanted = users[:, None] * log.n_items + np.maximum(items, 0)
    at = np.minimum(np.searchsorted(key[order], wanted), len(order) - 1)
    own = order[at]
    by_item = np.argsort(log.item, kind="stable")
    counts = log.item_counts
    first = np.cumsum(counts) - counts
    place = first[items] + (rng.random(items.shape) * counts[items]).astype(np.int64)
    event = np.where(key[own] == wanted, own, by_item[np.minimum(place, len(order) - 1)])
    return np.where(items < 0, np.nan, log.value[event].astype(np.float64))


class Denoiser(nn.Module):
    """From noisy profiles and the step to clean ones, by one hidden layer: DiffRec's network.

    After t of T steps a profile is x_t = sqrt(1 - v_t) x_0 + sqrt(v_t) noise, v_t rising linearly to `variance`.

    Reference: Wang et al. 2023, Diffusion Recommender Model, SIGIR, arXiv 2304.04971, and its public code: x_0 is
    predicted, noise is small, so that a profile keeps its person.
    """

    def __init__(self, n_items: int, config: DiffusionConfig, rng: np.random.Generator) -> None:
        """Draw the first weights."""
        super().__init__()
        self.config = config
        self.time = nn.Linear(config.steps, _TIME)
        self.inner, self.outer = nn.Linear(n_items + _TIME, config.hidden), nn.Linear(config.hidden, n_items)
        initialise((self.time, self.inner, self.outer), rng)
        steps = torch.arange(config.steps + 1, dtype=torch.float32)
        self.kept = 1 - config.variance * steps / config.steps
        self.optimiser = torch.optim.Adam(self.parameters(), lr=config.learning_rate)

    def forward(self, rows: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Predicted x_0: float [B, I], int64 [B] of 1..T -> float [B, I], unbounded."""
        time = self.time(functional.one_hot(step - 1, self.config.steps).float())
        found: torch.Tensor = self.outer(torch.tanh(self.inner(torch.cat([rows, time], 1))))
        return found

    def blurred(self, rows: torch.Tensor, step: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """x_t of x_0: float [B, I], int64 [B] of 0..T -> float [B, I]."""
        noise = torch.from_numpy(rng.standard_normal(tuple(rows.shape), np.float32))
        kept = self.kept[step][:, None]
        return kept.sqrt() * rows + (1 - kept).sqrt() * noise

    def loss(self, rows: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Mean squared error of the predicted x_0 at random steps: float [B, I] -> scalar."""
        step = torch.from_numpy(rng.integers(1, self.config.steps + 1, len(rows)))
        found: torch.Tensor = (self(self.blurred(rows, step, rng), step) - rows).square().mean()
        return found

    def fit(self, log: InteractionLog, rng: np.random.Generator) -> list[float]:
        """Train on all users with events in batches; the mean loss of every pass."""
        users, losses = np.flatnonzero(log.user_counts), list[float]()
        left = self.config.updates
        while left > 0 and len(losses) < self.config.passes:
            order, total = rng.permutation(users)[: left * _BATCH], 0.0
            left -= -(-len(order) // _BATCH)
            for begin in range(0, len(order), _BATCH):
                loss = self.loss(profiles(log, order[begin : begin + _BATCH]), rng)
                self.optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimiser.step()
                total += float(loss.detach()) * len(order[begin : begin + _BATCH])
            losses.append(total / len(order))
        return losses

    def restore(self, rows: torch.Tensor, noise: float, held: Int64 | None, rng: np.random.Generator) -> torch.Tensor:
        """Blur by a share of the steps and restore by the means of the posterior, without new noise.

        Args:
            rows: profiles, float [B, I].
            noise: share of the steps, rounded up; 0 gives the profiles back.
            held: items that are in the profile at every step, None for none.
            rng: draws the noise.

        Returns:
            The last prediction of x_0, float [B, I].
        """
        start = int(np.ceil(noise * self.config.steps - 1e-9))
        x = self.blurred(rows, torch.full((len(rows),), start), rng)
        with torch.no_grad():
            for t in range(start, 0, -1):
                if held is not None:
                    x[:, held] = self.kept[t].sqrt()
                clean = self(x, torch.full((len(x),), t))
                now, before = self.kept[t], self.kept[t - 1]
                ratio = now / before
                # mean of q(x_{t-1} | x_t, x_0), Ho et al. 2020, eq. 7; at t = 1 it is x_0 itself
                x = (before.sqrt() * (1 - ratio) * clean + ratio.sqrt() * (1 - before) * x) / (1 - now)
        return x
