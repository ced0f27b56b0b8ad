"""A dual-promotion attack on sequential recommenders (DDSP-like)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ..datasets.log import Int64, InteractionLog
from ..recommenders.sequences import ordered
from .base import Goal
from .surrogate.sequence import SequenceConfig, SequenceSurrogate
from .surrogate.sequence_attack import SequenceAttack, write


class DualPromotionConfig(SequenceConfig):
    """Settings of the dual promotion."""

    target_share: float = Field(default=0.25, gt=0, le=0.5, description="share of a profile's events that are targets")
    audience: int = Field(default=64, ge=1, description="genuine users whose preferences one account serves")
    tau: float = Field(default=0.2, gt=0, description="temperature of the contrast between preferred and other items")
    contrast: float = Field(default=1.0, ge=0, description="weight of that contrast beside the mean-square distance")
    steps: int = Field(default=100, ge=1, description="steps to find where the target should lie")
    diversity: float = Field(
        default=0.5, ge=0, description="lambda: weight on the cosine to what the account already holds"
    )
    candidates: int = Field(default=100, ge=1, description="likeliest next items that are re-ranked")


class DualPromotion(SequenceAttack):
    """Target events among items that users like, so that the target rises with them and utility does not fall.

    For each account a group of genuine users is drawn. A target vector is sought on the surrogate that is close to
    the vectors of the items these users hold, and closer to those than to others. The account is written by
    re-ranking the surrogate's likeliest next items: cosine to that vector, less lambda times the largest cosine to
    what the account already holds. Target events are few, evenly spread and never side by side; the goal's
    placement is not used.

    The paper's abstract and second-hand accounts of its losses were read, its tables were not; where the fillers come
    from and how they are ordered is our choice.
    """

    name = "dual-promotion"
    title = "The target among items that users like, in varied sequences"
    reference = "After DDSP, 2025, Diversity-aware Dual-promotion Poisoning, SIGIR, arXiv 2504.06586"
    own_places: ClassVar[bool] = True
    config_type: ClassVar[type[SequenceConfig]] = DualPromotionConfig

    def slots(self, goal: Goal, rng: np.random.Generator) -> Int64:
        """Evenly spread places, an item before the first one where there is room: int64 [A, s]."""
        wanted = int(np.floor(goal.profile * self.config.target_share + 0.5))
        count = max(goal.n_forced, wanted, 1)
        places = (np.arange(count) + 1) * goal.profile // count - 1
        return np.broadcast_to(places, (goal.accounts, count)).copy()

    def sequences(
        self,
        surrogate: SequenceSurrogate,
        log: InteractionLog,
        goal: Goal,
        slots: Int64,
        allowed: Int64,
        rng: np.random.Generator,
    ) -> Int64:
        """Seek the vectors, then write all accounts side by side."""
        config: DualPromotionConfig = self.config
        liked = preferred(log, goal, config.audience, rng)
        vectors = promoted(surrogate.table, liked, config)
        unit = functional.normalize(surrogate.table, dim=-1)
        near = functional.normalize(vectors, dim=-1) @ unit.T
        barred = torch.ones(len(unit), dtype=torch.bool)
        barred[torch.from_numpy(allowed)] = False
        closest = torch.full((goal.accounts, len(unit)), -1.0)  # largest cosine to a filler of the account

        def choose(prefix: Int64, rows: Int64, target: Int64) -> Int64:
            own = torch.from_numpy(rows)
            seen = prefix if prefix.shape[1] else target[:, None]
            scores = surrogate.scores(seen).masked_fill(barred, -torch.inf)
            # an item's cosine to itself is 1: what the account holds comes last
            held = closest[own] > 1 - 1e-5
            scores = torch.where(held, scores - 1e4, scores)
            likely = scores.topk(min(config.candidates, len(allowed)), dim=1).indices
            gain = (near[own] - config.diversity * closest[own] - 1e4 * held).gather(1, likely)
            best = likely.gather(1, gain.argmax(1, keepdim=True))[:, 0]
            closest[own] = torch.maximum(closest[own], unit[best] @ unit.T)
            found: Int64 = best.numpy()
            return found

        return write(goal, slots, choose)


def preferred(log: InteractionLog, goal: Goal, size: int, rng: np.random.Generator) -> list[Int64]:
    """For each account the items held by a random group of users, targets left out; with repeats, int64 [n] each.

    The goal's audience, if it has one, is where groups are drawn from. Empty where users hold targets alone.
    """
    offsets, items = ordered(log)
    users = np.flatnonzero(np.diff(offsets))
    if goal.audience is not None and np.isin(goal.audience, users).any():
        users = users[np.isin(users, goal.audience)]
    found = []
    for _ in range(goal.accounts):
        group = rng.choice(users, min(size, len(users)), replace=False)
        own = np.concatenate([items[offsets[user] : offsets[user + 1]] for user in group])
        found.append(own[~np.isin(own, goal.targets)])
    return found


def promoted(table: torch.Tensor, liked: list[Int64], config: DualPromotionConfig) -> torch.Tensor:
    """Where the target should lie for each account: minimises `objective` by Adam, from the mean of what is liked.

    Shapes: table float [I, d], one array of item indices per account -> float [A, d].
    """
    weights = torch.stack([torch.from_numpy(np.bincount(own, minlength=len(table))) for own in liked]).to(table.dtype)
    weights /= weights.sum(1, keepdim=True).clamp(min=1)
    vectors = (weights @ table).requires_grad_(True)
    optimiser = torch.optim.Adam([vectors], lr=0.02)
    for _ in range(config.steps):
        optimiser.zero_grad(set_to_none=True)
        loss = objective(vectors, weights, table, config.tau, config.contrast).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return vectors.detach()


def objective(
    vectors: torch.Tensor, weights: torch.Tensor, table: torch.Tensor, tau: float, contrast: float
) -> torch.Tensor:
    """Mean-square distance to the liked items, and -log softmax of cosines / tau over the catalogue at them.

    Shapes: vectors float [A, d], weights float [A, I] (rows sum to 1, or 0), table float [I, d] -> float [A].
    """
    # |v - e|^2 without the [A, I, d] differences
    squared = vectors.square().sum(-1, keepdim=True) - 2 * vectors @ table.T + table.square().sum(-1)
    cosine = functional.normalize(vectors, dim=-1) @ functional.normalize(table, dim=-1).T
    surprise = -(cosine / tau).log_softmax(-1)
    return (weights * (squared / table.shape[1] + contrast * surprise)).sum(-1)
