"""The Leg-UP attack: a generator rewrites the ratings of copied profiles."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional

from ..datasets.log import InteractionLog
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .clone import CloneAndPush
from .generators.nets import Discriminator, Generator
from .generators.parts import Genuine, Writer, lifted
from .goal import Direction, Kind
from .surrogate.audience import Audience
from .surrogate.base import Accounts, Surrogate
from .surrogate.descent import block, draft_of, promotion_loss
from .surrogate.losses import Rivals
from .surrogate.wmf import WMF, WMFConfig
from .surrogate.wmf_adam import AdamWMF


class LegUPConfig(AttackConfig):
    """Settings of Leg-UP; the defaults are our repairs, `published` restores what the public code does."""

    surrogate: Literal["mixed", "wmf", "plain", "wmf-adam"] = Field(
        default="mixed",
        description="wmf: exact alternating solutions, with offsets; plain: without; mixed: the mean loss "
        "of both; wmf-adam: the published one, its last pass unrolled",
    )
    surrogates: int = Field(default=1, ge=1, description="surrogates of each kind, with seeds of their own, averaged")
    fresh: bool = Field(
        default=True, description="draw new surrogate seeds; else every call starts from the same vectors"
    )
    target_in_surrogate: bool = Field(
        default=True, description="let the surrogate see the accounts' ratings of the target"
    )
    rivals: Rivals = Field(default="all", description="items that the target competes with: all, above, published")
    temperature: float = Field(default=0.5, gt=0, description="of the attack loss, in deviations of a user's scores")
    likelihood: bool = Field(
        default=True, description="pre-train by likelihood; else by cross-entropy of the 0/1 products"
    )
    learned: bool = Field(default=True, description="learn the boundaries of the rounding (else: variant SR)")
    discriminator: bool = Field(default=True, description="train against a discriminator (else: variant woD)")
    cut_real: bool = Field(
        default=True, description="show the discriminator genuine profiles cut to the accounts' length"
    )
    pretraining: int = Field(default=15, ge=0, description="passes over the genuine users before the attack")
    rounds: int = Field(default=3, ge=0, description="rounds of discriminator, adversarial step and attack steps")
    steps: int = Field(default=10, ge=0, description="attack steps of a round; published: 50")
    learning_rate: float = Field(default=0.02, gt=0, description="of generator and discriminator")
    wmf: WMFConfig = WMFConfig(sweeps=6, warm=False)
    plain: WMFConfig = WMFConfig(sweeps=4, warm=False, offsets=False, ridge=10.0)


PUBLISHED = LegUPConfig(
    surrogate="wmf-adam", fresh=False, target_in_surrogate=False, rivals="published", likelihood=False,
    cut_real=False, steps=50, learning_rate=0.01,
)  # fmt: skip
"""What the public code does, budget aside: its accounts have different lengths, ours have exactly P events."""


class LegUP(Attack):
    """Copied profiles whose ratings a generator rewrites, against a surrogate and a discriminator.

    Genuine profiles, cut to the budget, are templates. An autoencoder reads them and gives every filler a rating, by
    boundaries that it learns; it is pre-trained to restore genuine ratings, then follows two losses in turns: the
    discriminator's, and the target's rank on a surrogate trained with the accounts. The fillers' places never
    change: without ratings the attack is clone-and-push. As published the surrogate never sees the accounts rate the
    target, always starts from the same seed, and its gradient comes from the last pass of its training alone.
    """

    name = "leg-up"
    title = "Copied profiles with ratings written by a generator"
    reference = "Lin, Chen, Zeng, Zhang, Gao and Li 2022, Shilling Black-box Recommender Systems by Learning to Generate Fake User Profiles, TNNLS, arXiv 2206.11433"  # noqa: E501
    grants = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = LegUPConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Copy templates, train generator, discriminator and surrogates, write the ratings."""
        by_start, by_nets, by_fit, by_data, by_step = rng.spawn(5)
        config: LegUPConfig = self.config
        log, scale, lift = lifted(knowledge.log, knowledge.scale)
        grid = torch.from_numpy(scale.grid.copy())
        copied = block(CloneAndPush().profiles(knowledge, goal, by_start), log.n_items, True)
        if len(grid) < 2:
            return draft_of(copied, goal)  # one rating alone: nothing to write
        templates = Accounts(copied.present, copied.rating + lift * copied.present)
        genuine = Genuine(log, goal.fillers if config.cut_real else None, by_data)
        with one_thread():
            generator = Generator(log.n_items, grid, learned=config.learned, rng=by_nets)
            writer = Writer(generator, templates, list(goal.targets), config.learning_rate)
            surrogates = [each for by in by_fit.spawn(config.surrogates) for each in self._surrogates(log, genuine, by)]
            for _ in range(config.pretraining):
                for profiles in genuine.batches(64):
                    writer.pretrain(profiles, likelihood=config.likelihood)
            found = self._attack(writer, genuine, surrogates, Audience.of(log, goal), by_nets, by_step)
        return draft_of(Accounts(found.present, found.rating - lift * found.present), goal)

    def _surrogates(self, log: InteractionLog, genuine: Genuine, rng: np.random.Generator) -> list[Surrogate]:
        config: LegUPConfig = self.config
        if config.surrogate == "wmf-adam":
            return [AdamWMF(genuine.ratings, rng, seed=None if config.fresh else int(rng.integers(2**31)))]
        kinds = {"wmf": [config.wmf], "plain": [config.plain], "mixed": [config.wmf, config.plain]}[config.surrogate]
        return [WMF(log, "rating", kind, by) for kind, by in zip(kinds, rng.spawn(len(kinds)), strict=True)]

    def _attack(
        self,
        writer: Writer,
        genuine: Genuine,
        surrogates: list[Surrogate],
        audience: Audience,
        by_nets: np.random.Generator,
        by_step: np.random.Generator,
    ) -> Accounts:
        config: LegUPConfig = self.config
        discriminator = Discriminator(genuine.ratings.shape[1], by_nets) if config.discriminator else None
        judge = None
        if discriminator is not None:
            judge = torch.optim.Adam(discriminator.parameters(), lr=config.learning_rate)
        for _ in range(config.rounds):
            if discriminator is not None and judge is not None:
                for _ in range(5):
                    for real in genuine.batches(64, most=16):
                        fake = writer.ratings(target=False).detach()
                        logits = torch.cat([discriminator(real[: len(fake)]), discriminator(fake)])
                        label = torch.cat([torch.ones(len(real[: len(fake)]), 1), torch.zeros(len(fake), 1)])
                        judge.zero_grad()
                        functional.binary_cross_entropy_with_logits(logits, label).backward()  # type: ignore[no-untyped-call]
                        judge.step()
                writer.step(functional.softplus(-discriminator(writer.ratings(target=False))).mean())
            for surrogate in surrogates:  # where they stay warm, from new vectors in every round
                if isinstance(surrogate, WMF) and surrogate.config.warm:
                    surrogate.fit(writer.accounts(config.target_in_surrogate))
            for _ in range(config.steps):
                accounts = writer.accounts(config.target_in_surrogate)
                losses = [
                    promotion_loss(surrogate, accounts, audience, by_step, config.temperature, config.rivals)
                    for surrogate in surrogates
                ]
                writer.step(torch.stack(losses).mean())
        return writer.written()
