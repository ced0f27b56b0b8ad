"""Leg-UP with side features: who an account claims to be conditions what a generator writes into it."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from pydantic import Field

from ..datasets.log import Int64, InteractionLog
from ..recommenders.consumed import consumed
from ..recommenders.features import FeatureSpace
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .clone import choose_users, copied
from .finish import finish
from .generators.conditional import Critic, RatingVAE, steepness
from .generators.parts import lifted
from .goal import Direction, Kind
from .knowledge import KnowledgeError
from .similarity import cosine
from .surrogate.audience import Audience
from .surrogate.base import Accounts
from .surrogate.descent import block, draft_of, promotion_loss
from .surrogate.wmf import WMF, WMFConfig, mean_ratings

Whose = Literal["template", "audience", "random"]
"""Side features of an account: the copied user's; those of somebody who holds what goes with the target (or of the
goal's audience); or every column from somebody else, which breaks the combinations (an ablation)."""

_BATCH = 64
_CHECK = 3  # steps between two looks at the held-out surrogate
_PENALTY = 10.0  # weight of the critic's gradient penalty
_COLUMNS = 64  # encoded features in use at most, the commonest


class FeatureLegUPConfig(AttackConfig):
    """Settings of Leg-UP with side features."""

    features: Whose = Field(
        default="template", description="whose side features accounts have: template, audience, random"
    )
    film: bool = Field(default=True, description="let the features modulate the generator")
    critic: Literal["gp", "sn", "none"] = Field(
        default="gp", description="Wasserstein critic with gradient penalty, with spectral normalisation, or none"
    )
    window: float = Field(
        default=1.0, gt=0, description="of the rounding's backward ramp, in steps of the rating scale"
    )
    pretraining: int = Field(default=15, ge=0, description="passes over the genuine users before the attack")
    batches: int = Field(default=32, ge=1, description="batches of 64 users in a pass, at most")
    divergence: float = Field(
        default=0.2, ge=0, description="weight of the code's divergence; grows from 0 in pre-training"
    )
    rounds: int = Field(default=3, ge=0, description="rounds at most, each with fresh surrogate vectors")
    steps: int = Field(default=5, ge=0, description="generator steps of a round")
    critic_steps: int = Field(default=5, ge=0, description="critic steps before each generator step")
    adversary: float = Field(default=0.3, ge=0, description="weight of the critic's term, gradients scaled to norm 1")
    keep_best: bool = Field(
        default=True, description="keep the accounts that a held-out surrogate likes best; else the last"
    )
    learning_rate: float = Field(default=0.003, gt=0, description="Adam's, of the generator in pre-training")
    attack_rate: float = Field(default=0.01, gt=0, description="Adam's, of the generator in the attack")
    critic_rate: float = Field(default=1e-3, gt=0, description="Adam's, of the critic; usual over long training: 1e-4")
    temperature: float = Field(default=1.0, gt=0, description="of the attack loss, in deviations of a user's scores")
    wmf: WMFConfig = WMFConfig(unroll=2)


class FeatureLegUP(Attack):
    """Copied profiles with side features, their ratings written by a generator that reads both.

    A variational autoencoder, modulated by the users' encoded features, learns to restore genuine ratings, then
    follows the target's rank on a surrogate whose items have a loading on every feature, and a projection critic that
    sees ratings and features together. The fillers' places never change. What is kept is judged by a second
    surrogate with vectors of its own, never by the victim. Where users have no features, the model is unconditional
    and the accounts have none.
    """

    name = "leg-up-features"
    title = "Copied profiles with side features, ratings written by a generator that reads both"
    reference = (
        "After arXiv 2509.17918 (2025), known to us by abstract and reviews alone, on Lin et al. 2022, Leg-UP, TNNLS"
    )
    grants = frozenset({"catalogue", "log", "user_features"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = FeatureLegUPConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Copy templates, choose who the accounts claim to be, train generator, critic and surrogates."""
        by_start, by_who, by_nets, by_data, by_step = rng.spawn(5)
        log, table = knowledge.log, user_table(knowledge)
        users, templates = copies(knowledge, goal, by_start)
        claimed = None if table is None else claims(table, log, goal, users, self.config.features, by_who)
        drafted = templates
        if goal.fillers and len(knowledge.scale.grid) > 1:
            with one_thread():
                training = _Training(self.config, knowledge, goal, templates, table, claimed, by_nets, by_data)
                training.pretrain()
                drafted = training.lowered(training.attack(by_step))
        return replace(draft_of(drafted, goal), features=claimed)


def user_table(knowledge: Knowledge) -> pd.DataFrame | None:
    """The visible users' side features under their indices; None where the data have none."""
    try:
        table = knowledge.user_features
    except KnowledgeError:
        return None
    return table if len(table.columns) else None


def copies(knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> tuple[Int64, Accounts]:
    """Genuine profiles cut to the budget with the targets added, and whose they are.

    Returns:
        users int64 [A], and a dense block of accounts; what a short profile lacks is filled at random.
    """
    by_user, by_event, by_finish = rng.spawn(3)
    log = knowledge.log
    users = choose_users(log, goal.targets, goal.accounts, goal.fillers, by_user)
    forced = np.tile(np.array(goal.targets, np.int32), (goal.accounts, 1))
    draft = copied(log, goal, users, by_event)
    return users, block(finish(draft, goal, forced, knowledge.public, by_finish), log.n_items, True)


def claims(
    table: pd.DataFrame, log: InteractionLog, goal: Goal, users: Int64, whose: Whose, rng: np.random.Generator
) -> pd.DataFrame:
    """Side features of the accounts: A rows with the table's columns.

    Args:
        table: of the visible users, under their indices.
        log: what the attacker sees.
        goal: targets and audience.
        users: int64 [A], whose profiles were copied.
        whose: see `Whose`. "audience" draws whole rows from the goal's audience, or from all users with chances in
            proportion to the mean cosine of their items to the targets.
        rng: of the draws.
    """
    if whose == "template":
        return table.loc[users].reset_index(drop=True)
    if whose == "random":
        drawn = {
            name: table[name].iloc[rng.integers(len(table), size=goal.accounts)].reset_index(drop=True)
            for name in table.columns
        }
        return pd.DataFrame(drawn)
    known = table.index.to_numpy(np.int64)
    if goal.audience is not None:
        weights = np.isin(known, goal.audience).astype(np.float64)
    else:
        held = consumed(log)[known]
        weights = held @ cosine(log, goal) / np.maximum(np.diff(held.indptr), 1)
    if not weights.any():
        weights[:] = 1.0
    return table.iloc[rng.choice(len(known), goal.accounts, p=weights / weights.sum())].reset_index(drop=True)


class _Training:
    """Generator, critic and surrogates at work on the templates."""

    def __init__(
        self,
        config: FeatureLegUPConfig,
        knowledge: Knowledge,
        goal: Goal,
        templates: Accounts,
        table: pd.DataFrame | None,
        claimed: pd.DataFrame | None,
        by_nets: np.random.Generator,
        by_data: np.random.Generator,
    ) -> None:
        self.config, self.goal, self.rng = config, goal, by_data
        self.log, scale, self.lift = lifted(knowledge.log, knowledge.scale)
        self.real = mean_ratings(self.log)
        self.users = np.flatnonzero(np.diff(self.real.indptr))
        self.known, self.claimed = _encoded(table, claimed, self.log.n_users, goal.accounts)
        grid = torch.from_numpy(scale.grid.copy())
        self.top = float(grid.abs().max())
        self.templates = replace(templates, rating=templates.rating + self.lift * templates.present)
        self.fillers = templates.present.clone()
        self.fillers[:, list(goal.targets)] = 0.0
        by_vae, by_critic, self.noise = by_nets.spawn(3)
        n_items, n_features = self.log.n_items, self.known.shape[1]
        self.vae = RatingVAE(n_items, grid, n_features if config.film else 0, window=config.window, rng=by_vae)
        self.critic: Critic | None = None
        if config.critic != "none":
            self.critic = Critic(n_items, n_features, spectral=config.critic == "sn", rng=by_critic)
            self.judging = torch.optim.Adam(
                self.critic.parameters(), lr=config.critic_rate, betas=(0.0, 0.9), fused=True
            )

    def pretrain(self) -> None:
        """Restore genuine ratings: squared error on what was rated, and a divergence whose weight grows."""
        config = self.config
        restoring = torch.optim.Adam(self.vae.parameters(), lr=config.learning_rate, fused=True)
        for number in range(config.pretraining):
            weight = config.divergence * number / max(config.pretraining - 1, 1)
            order = self.rng.permutation(self.users)[: _BATCH * config.batches]
            for begin in range(0, len(order), _BATCH):
                users = order[begin : begin + _BATCH]
                rows = torch.from_numpy(self.real[users].toarray())
                ratings, cost = self.vae(rows, self.known[users], self._noise(len(rows)))
                error = ((ratings - rows).square() * (rows != 0)).sum(1)
                self._step(restoring, (error + weight * cost).mean())

    def attack(self, rng: np.random.Generator) -> Accounts:
        """Follow attack and critic; the accounts that a held-out surrogate likes best."""
        by_fit, by_held, by_users, by_look = rng.spawn(4)
        config, audience = self.config, Audience.of(self.log, self.goal)
        surrogate, held_out = self._surrogate(by_fit), self._surrogate(by_held)
        held_out.fit(self.written())
        start, look = held_out.table, int(by_look.integers(2**31))
        writing = torch.optim.Adam(self.vae.parameters(), lr=config.attack_rate, fused=True)
        best, lowest, scales = self.written(), float("inf"), list[float]()

        def improved() -> bool:
            nonlocal best, lowest
            held_out.table = start  # every look starts from the same vectors and sees the same users
            now = self.written()
            with torch.no_grad():
                loss = promotion_loss(held_out, now, audience, np.random.default_rng(look), config.temperature).item()
            better = loss < lowest
            if better:
                best, lowest = now, loss
            return better

        improved()
        for _ in range(config.rounds):
            surrogate.fit(self.written())
            progress = False
            for step in range(1, config.steps + 1):
                for _ in range(config.critic_steps if self.critic is not None else 0):
                    self._judge()
                ratings, cost = self._draw()
                loss = promotion_loss(surrogate, self._accounts(ratings), audience, by_users, config.temperature)
                terms = [loss, config.divergence * cost.mean()]
                if self.critic is not None and config.adversary:
                    terms.append(-config.adversary * self.critic(ratings / self.top, self.claimed).mean())
                if not scales:
                    weights = [1.0, config.divergence, config.adversary]
                    scales = [self._scale(term, weight) for term, weight in zip(terms, weights, strict=False)]
                self._step(writing, torch.stack([s * t for s, t in zip(scales, terms, strict=True)]).sum())
                if step % _CHECK == 0 or step == config.steps:
                    progress |= improved()
            if config.keep_best and not progress:
                break
        return best if config.keep_best else self.written()

    def lowered(self, accounts: Accounts) -> Accounts:
        """Accounts with their ratings back on the log's own scale."""
        return replace(accounts, rating=accounts.rating - self.lift * accounts.present)

    def written(self) -> Accounts:
        """The accounts as they are now, by the mean code, targets included, detached."""
        with torch.no_grad():
            ratings, _ = self.vae(self.templates.rating * self.fillers, self.claimed)
            return self._accounts(ratings * self.fillers)

    def _draw(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Ratings of the fillers by a drawn code, float [A, I], and its divergence, float [A]."""
        ratings, cost = self.vae(self.templates.rating * self.fillers, self.claimed, self._noise(len(self.fillers)))
        return ratings * self.fillers, cost

    def _accounts(self, ratings: torch.Tensor) -> Accounts:
        features = self.claimed if self.claimed.shape[1] else None
        whole = ratings + self.templates.rating * (1 - self.fillers)
        return Accounts(self.templates.present, whole, features)

    def _judge(self) -> None:
        """One step of the critic: genuine profiles cut to the accounts' length, against the accounts."""
        assert self.critic is not None
        users = self.rng.choice(self.users, self.goal.accounts)
        real, known = self._cut(users) / self.top, self.known[users]
        with torch.no_grad():
            fake = self._draw()[0] / self.top
        loss = self.critic(fake, self.claimed).mean() - self.critic(real, known).mean()
        if not self.critic.spectral:
            share = torch.from_numpy(self.rng.random((len(real), 1), np.float32))
            own = torch.from_numpy(self.rng.random((len(real), 1)) < 0.5)
            features = torch.where(own, known, self.claimed)
            loss = loss + _PENALTY * (steepness(self.critic, real, fake, features, share) - 1).square().mean()
        self._step(self.judging, loss)

    def _cut(self, users: Int64) -> torch.Tensor:
        """Genuine ratings without the targets', of every user as many at random as accounts have fillers."""
        rows = self.real[users].toarray()
        rows[:, list(self.goal.targets)] = 0.0
        length = self.goal.fillers
        if length < rows.shape[1]:
            key = np.where(rows != 0, self.rng.random(rows.shape), np.inf)
            rows = np.where(key < np.partition(key, length, axis=1)[:, [length]], rows, np.float32(0))
        return torch.from_numpy(rows)

    def _surrogate(self, rng: np.random.Generator) -> WMF:
        features = self.known if self.known.shape[1] else None
        return WMF(self.log, "rating", self.config.wmf, rng, features=features)

    def _noise(self, rows: int) -> torch.Tensor:
        width = self.vae.latent.in_features
        return torch.from_numpy(self.noise.standard_normal((rows, width), np.float32))

    def _scale(self, term: torch.Tensor, weight: float) -> float:
        """What gives the term's gradient its weight as norm; 0 where there is no gradient."""
        found = torch.autograd.grad(term, list(self.vae.parameters()), retain_graph=True, allow_unused=True)
        norm = float(torch.stack([part.norm() for part in found if part is not None]).norm())
        return weight / norm if norm > 1e-9 else 0.0

    @staticmethod
    def _step(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def _encoded(
    table: pd.DataFrame | None, claimed: pd.DataFrame | None, n_users: int, accounts: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of all users (zeros for those not visible) and of the accounts: float32 [U, F], [A, F].

    The space is fitted on the visible users; of more than 64 features the commonest are kept.
    """
    if table is None or claimed is None:
        return torch.zeros(n_users, 0), torch.zeros(accounts, 0)
    space = FeatureSpace.fit(table)
    own = space.encode(table)
    kept = np.sort(np.argsort(-np.diff(own.tocsc().indptr), kind="stable")[:_COLUMNS])
    known = np.zeros((n_users, len(kept)), np.float32)
    known[table.index.to_numpy(np.int64)] = own[:, kept].toarray()
    return torch.from_numpy(known), torch.from_numpy(space.encode(claimed)[:, kept].toarray())
