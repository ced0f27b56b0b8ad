"""The AUSH attack: real fillers, and ratings of a few selected items written by a generator."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from ..datasets.log import Float32, Int32, Int64, InteractionLog
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .clone import choose_users, clones_of
from .draws import head
from .generators.nets import Discriminator, initialise
from .generators.parts import Genuine, lifted
from .goal import Direction, Kind
from .scale import RatingScale
from .similarity import cosine, ranked

_BATCH = 64


class AUSHConfig(AttackConfig):
    """Settings of AUSH."""

    selected: int = Field(
        default=3, ge=0, description="selected items per profile, at most the fillers; 0: real fillers alone"
    )
    head: float = Field(default=0.1, ge=0, le=1, description="the most popular share of the items, never selected")
    passes: int = Field(default=10, ge=0, description="passes over the genuine users; published: 150")
    zeros: float = Field(
        default=0.5, ge=0, le=1, description="share of the unrated selected cells that count as zero (ZR)"
    )
    adversarial: float = Field(default=1.0, ge=0, description="weight of the loss against the discriminator")
    shilling: float = Field(default=1.0, ge=0, description="weight of the squared distance to the top rating")
    restoring: float = Field(
        default=1.0, ge=0, description="weight of the squared distance to ratings that users did give"
    )
    sparing: float = Field(default=1.0, ge=0, description="weight of the squared distance to zero where they gave none")
    generator_rate: float = Field(default=0.01, gt=0, description="learning rate of the generator")
    discriminator_rate: float = Field(default=1e-4, gt=0, description="learning rate of the discriminator")


class AUSH(Attack):
    """Genuine profiles with the targets and selected items added, these rated by a generator.

    Selected items are those that users of the target (or a given audience) consume, as in the segment attack; they
    are in every profile. Fillers keep the ratings of the genuine user they come from. The generator reads the
    fillers and rates the selected items alone: high, yet like the ratings that genuine users with such fillers give,
    which a discriminator checks. Nothing in its losses knows of the target: AUSH is a learned segment attack.
    """

    name = "aush"
    title = "Copied profiles with generated ratings of selected items"
    reference = (
        "Lin, Chen, Li, Xiao, Li and Yang 2020, Attacking Recommender Systems with Augmented User Profiles, CIKM, "
        "arXiv 2005.08164"
    )
    grants = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = AUSHConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Choose selected items and templates, train, rate the selected items."""
        by_users, by_fillers, by_nets, by_data = rng.spawn(4)
        config: AUSHConfig = self.config
        log, scale, lift = lifted(knowledge.log, knowledge.scale)
        selected = select(log, goal, config.head, min(config.selected, goal.fillers))
        without = (*goal.targets, *selected.tolist())
        # users with that many events keep enough of them when those of the selected items are taken away
        users = choose_users(log, goal.targets, goal.accounts, goal.fillers, by_users)
        items, ratings = _fillers(log, users, without, goal.fillers - len(selected), by_fillers)
        if not len(selected):
            return Draft(items, ratings - lift)
        rows = torch.zeros(goal.accounts, log.n_items)
        account, place = np.nonzero(items >= 0)
        rows[torch.from_numpy(account), torch.from_numpy(items[account, place]).long()] = torch.from_numpy(
            ratings[account, place]
        )
        with one_thread():
            networks = Networks(log.n_items, selected, goal.targets, scale, config, by_nets)
            for profiles in (p for _ in range(config.passes) for p in Genuine(log, None, by_data).batches(_BATCH)):
                networks.learn(profiles, goal.fillers - len(selected), by_data)
            with torch.no_grad():
                given = networks.generator(rows).numpy()
        own = np.tile(selected.astype(np.int32), (goal.accounts, 1))
        return Draft(np.concatenate([own, items], axis=1), np.concatenate([given, ratings], axis=1) - lift)


def select(log: InteractionLog, goal: Goal, popular: float, n: int) -> Int64:
    """The segment of the targets or the audience: int64 [n], or fewer where the catalogue has no more.

    Highest cosine co-occurrence first; then, where nothing occurs together, the most popular outside the head; the
    head (the `popular` most popular share) last.
    """
    popularity = log.item_counts
    similarity = cosine(log, goal)
    if popular > 0:
        similarity[head(popularity, popular)] = -1.0
    order = ranked(similarity, popularity)
    return order[~np.isin(order, goal.targets)][:n]


def _fillers(
    log: InteractionLog, users: Int64, without: tuple[int, ...], n: int, rng: np.random.Generator
) -> tuple[Int32, Float32]:
    """Random events of each user, in random order: items int32 [A, n] (-1 where there are fewer), ratings [A, n]."""
    assert log.value is not None
    clones = clones_of(log, users, without)
    order = np.lexsort((rng.random(len(clones.event)), clones.account))
    account, event = clones.account[order], clones.event[order]
    place = np.arange(len(order)) - np.searchsorted(account, np.arange(len(users)))[account]
    kept = place < n
    items = np.full((len(users), n), -1, np.int32)
    ratings = np.zeros((len(users), n), np.float32)
    items[account[kept], place[kept]] = log.item[event[kept]]
    ratings[account[kept], place[kept]] = log.value[event[kept]]
    return items, ratings


def cut(rows: torch.Tensor, n: int, rng: np.random.Generator) -> torch.Tensor:
    """Keep n random events of each profile, all of a shorter one: float [B, I] -> float [B, I]."""
    if n >= rows.shape[1]:
        return rows
    key = torch.from_numpy(rng.random(tuple(rows.shape), np.float32)).masked_fill(rows == 0, torch.inf)
    if n == 0:
        return torch.zeros_like(rows)
    last = key.kthvalue(n, dim=1, keepdim=True).values
    return rows * (key <= last)


class Selector(nn.Module):
    """Ratings of the selected items from the fillers, by one hidden layer: float [B, I] -> float [B, S].

    Outputs lie between one mean step below the scale, which stands for "not rated" (0 on 1..5), and its top.
    """

    def __init__(self, n_items: int, n: int, scale: RatingScale, rng: np.random.Generator) -> None:
        """Draw the first weights."""
        super().__init__()
        self.inner, self.outer = nn.Linear(n_items, 128), nn.Linear(128, n)
        initialise((self.inner, self.outer), rng)
        self.highest = scale.highest
        self.zero = scale.lowest - (scale.highest - scale.lowest) / max(len(scale.grid) - 1, 1)

    def forward(self, fillers: torch.Tensor) -> torch.Tensor:
        """Real ratings."""
        hidden = torch.relu(self.inner(functional.normalize(fillers)))
        return self.zero + (self.highest - self.zero) * torch.sigmoid(self.outer(hidden))


class Networks:
    """Generator and discriminator, and one step of both on genuine profiles."""

    def __init__(
        self,
        n_items: int,
        selected: Int64,
        targets: tuple[int, ...],
        scale: RatingScale,
        config: AUSHConfig,
        rng: np.random.Generator,
    ) -> None:
        """Draw the first weights."""
        self.selected, self.config = torch.from_numpy(selected), config
        self.hidden = [*selected.tolist(), *targets]
        self.generator = Selector(n_items, len(selected), scale, rng)
        self.discriminator = Discriminator(n_items, rng)
        self.writer = torch.optim.Adam(self.generator.parameters(), lr=config.generator_rate)
        self.judge = torch.optim.Adam(self.discriminator.parameters(), lr=config.discriminator_rate)

    def learn(self, profiles: torch.Tensor, n: int, rng: np.random.Generator) -> None:
        """One step of the discriminator, then one of the generator, on profiles cut to n fillers: float [B, I].

        The discriminator sees fillers and selected items, not the target.
        """
        real = profiles[:, self.selected]
        profiles = profiles.clone()
        profiles[:, self.hidden] = 0.0
        fillers = cut(profiles, n, rng)
        given = self.generator(fillers)
        genuine = self.discriminator(self._with(fillers, real))
        forged = self.discriminator(self._with(fillers, given.detach()))
        self._step(self.judge, functional.softplus(-genuine).mean() + functional.softplus(forged).mean())
        spared = torch.from_numpy(rng.random(tuple(real.shape)) < self.config.zeros) & (real == 0)
        doubt = functional.softplus(-self.discriminator(self._with(fillers, given))).mean()
        self._step(self.writer, self.config.adversarial * doubt + self.losses(given, real, spared))

    def losses(self, given: torch.Tensor, real: torch.Tensor, spared: torch.Tensor) -> torch.Tensor:
        """Shilling, restoring and sparing losses, weighted, each the mean over its cells.

        Shapes: ratings float [B, S], genuine ones float [B, S] (0 for none), cells taken as zero bool [B, S] -> scalar.
        """
        top, zero, config = self.generator.highest, self.generator.zero, self.config
        rated = real != 0
        restored = ((given - real).square() * rated).sum() / rated.sum().clamp_min(1)
        zeros = ((given - zero).square() * spared).sum() / spared.sum().clamp_min(1)
        return config.shilling * (given - top).square().mean() + config.restoring * restored + config.sparing * zeros

    def _with(self, fillers: torch.Tensor, selected: torch.Tensor) -> torch.Tensor:
        return fillers.index_copy(1, self.selected, selected)

    @staticmethod
    def _step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
