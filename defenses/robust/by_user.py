"""Trainings that look at each user's own rows: PLD, which draws the better fitted ones more often, and trimmed users.

Both judge by how badly rows are fitted, so fakes that are fitted well are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from ...datasets.log import InteractionLog
from ...datasets.seeding import derive, rng
from ...recommenders.trainer import Compared, RankingTraining
from ..base import RobustTraining
from .base import Hardened, UserMeans, WarmUpConfig
from .reweighed import Reweighed, mean_over


class PLDConfig(WarmUpConfig):
    """Settings of PLD."""

    pool: int = Field(default=5, ge=1, le=100, description="rows of the user of which one is taken")
    temperature: float = Field(default=0.1, gt=0, description="of the softmax over their losses, in nats")


class _PLD(Reweighed):
    config: PLDConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.times: torch.Tensor | None = None

    def rows(self, rng: np.random.Generator) -> Iterator[Any]:
        self.times = None
        if self.epoch <= self.warm_up(self.config):
            yield from self.training.batches(rng)
            return
        batches = list(self.training.batches(rng))
        for batch, times in zip(batches, self.drawn(batches), strict=True):
            self.times = times
            yield batch

    def drawn(self, batches: list[Any]) -> list[torch.Tensor]:
        """How often every row of an epoch is taken, by the losses before it."""
        device = self.training.parameters()[0].device
        noise = torch.Generator(device).manual_seed(derive(self.seed, "noise", self.epoch))
        with torch.no_grad():
            losses = [self.training.each(self.training.vectors(batch, noise)[0], batch) for batch in batches]
        users = torch.cat([self.training.users(batch) for batch in batches]).cpu().numpy()
        own = rng(self.seed, "rows", self.epoch)
        every = torch.cat(losses).double().cpu().numpy()
        times = taken(users, every, self.config.pool, self.config.temperature, own)
        found = torch.from_numpy(times.astype(np.float32)).to(device)
        return list(torch.split(found, [len(part) for part in losses]))

    def factor(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        return self.times


def taken(
    users: NDArray[np.int64], losses: NDArray[np.float64], pool: int, temperature: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """How often each row is taken when every row is replaced by one out of a pool of its user's.

    The pool is drawn uniformly with replacement, one of it by softmax(-loss / temperature).

    Shapes: users int64 [R], losses float64 [R] -> int64 [R], which sums to each user's number of rows.
    """
    order = np.argsort(users, kind="stable")
    _, start, place, count = np.unique(users[order], return_index=True, return_inverse=True, return_counts=True)
    found = np.zeros(len(users), np.int64)
    for part in np.array_split(place, len(place) // _ROWS + 1):  # pools of all rows at once could fill the memory
        chance = rng.random((len(part), pool))
        rows = order[start[part][:, None] + (chance * count[part][:, None]).astype(np.int64)]
        luck = rng.gumbel(size=rows.shape)  # the largest of logit + Gumbel noise is a draw from the softmax
        best = np.argmax(luck - losses[rows] / temperature, axis=1)
        np.add.at(found, rows[np.arange(len(part)), best], 1)
    return found


_ROWS = 1 << 18


class PLD(RobustTraining):
    """Within each user, rows of small loss are drawn more often.

    Where the paper draws the pool at every step, an epoch's draws are made before it, from losses that a pass over
    its batches gives; after the warm-up an epoch costs that pass more.
    """

    name: ClassVar[str] = "pld"
    title: ClassVar[str] = "Denoising by each user's own losses"
    reference: ClassVar[str] = "Zhang et al. 2025, Personalized Denoising Implicit Feedback, WWW, arXiv 2502.00348"
    config_type: ClassVar[type[PLDConfig]] = PLDConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _PLD(training, log, seed, epochs, self.config)


class TrimmedUsersConfig(WarmUpConfig):
    """Settings of trimmed users."""

    q: float = Field(default=0.02, ge=0, lt=1, description="share of the users that is left out of each epoch")


class _Trimmed(Reweighed):
    config: TrimmedUsersConfig

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.means = UserMeans(self.nodes)
        self.out: torch.Tensor | None = None

    def begin(self) -> None:
        means = self.means.close()
        if means is None or self.epoch <= self.warm_up(self.config):
            return
        known = ~means.isnan()
        order = torch.argsort(torch.where(known, means, -torch.inf), descending=True, stable=True)
        self.out = torch.zeros_like(known)
        self.out[order[: int(self.config.q * int(known.sum()))]] = True

    def factor(self, vectors: Compared, batch: Any) -> torch.Tensor | None:
        if self.config.q == 0:
            return None
        users = self.training.users(batch)
        # those left out are measured all the same: they come back when they are fitted better
        self.means.add(users, self.training.each(vectors, batch))
        return None if self.out is None else mean_over(~self.out[users], self.training.weights(batch))


class TrimmedUsers(RobustTraining):
    """Leaves the users with the largest mean loss of the last epoch out of the next."""

    name: ClassVar[str] = "trimmed-users"
    title: ClassVar[str] = "Users of the largest loss left out"
    reference: ClassVar[str] = "ours; a cheap control for the trainings that weigh users"
    config_type: ClassVar[type[TrimmedUsersConfig]] = TrimmedUsersConfig

    def harden(self, training: RankingTraining[Any], log: InteractionLog, seed: int, epochs: int | None) -> Hardened:
        """See RobustTraining."""
        return _Trimmed(training, log, seed, epochs, self.config)
