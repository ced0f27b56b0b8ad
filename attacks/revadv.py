"""The RevAdv attack: fillers by the gradient of an unrolled training."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from ..datasets.log import InteractionLog
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .clone import CloneAndPush
from .goal import Direction, Kind
from .surrogate.audience import Audience
from .surrogate.base import Surrogate
from .surrogate.descent import Descent, block, draft_of
from .surrogate.graph import GraphConfig, GraphSurrogate
from .surrogate.item_ae import ItemAE, ItemAEConfig
from .surrogate.wmf import WMF, WMFConfig


class RevAdvConfig(AttackConfig):
    """Settings of RevAdv."""

    surrogate: Literal["auto", "wmf", "item-ae", "lightgcn"] = Field(
        default="auto",
        description="what is trained: wmf, item-ae (autoencoder of items), lightgcn (reads no ratings); auto: lightgcn "
        "without ratings, wmf with",
    )
    steps: int = Field(default=15, ge=0, description="gradients; 0 leaves the copied profiles as they are")
    exchange: float = Field(
        default=0.3, gt=0, le=1, description="share of the fillers that the first step may exchange"
    )
    temperature: float = Field(default=1.0, gt=0, description="of the attack loss, in deviations of a user's scores")
    wmf: WMFConfig = WMFConfig()
    item_ae: ItemAEConfig = ItemAEConfig()
    lightgcn: GraphConfig = GraphConfig()


class RevAdv(Attack):
    """Fillers exchanged along the exact gradient of a surrogate's training, unrolled.

    Accounts start as copies of genuine profiles with the target added. A surrogate is trained with them; the loss,
    -log of the target's softmax over the lists of genuine users who lack it, is differentiated through the last
    updates of that training, and every account swaps its worst fillers for the best absent items. The published
    attack relaxes the accounts to real numbers and rounds at the end; here each step is taken from accounts that
    keep the budget, so there is nothing to round.
    """

    name = "revadv"
    title = "Fillers by the gradient of an unrolled training"
    reference = "Tang, Wen and Wang 2020, Revisiting Adversarially Learned Injection Attacks, RecSys, algorithm 1"
    grants = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating", "implicit"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = RevAdvConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Copy profiles, then exchange fillers."""
        by_start, by_fit, by_step = rng.spawn(3)
        config: RevAdvConfig = self.config
        log, rated = knowledge.log, goal.kind == "rating"
        start = block(CloneAndPush().profiles(knowledge, goal, by_start), log.n_items, rated)
        audience = Audience.of(log, goal)
        descent = Descent(config.steps, config.exchange, config.temperature)
        with one_thread():
            surrogate = self._surrogate(log, goal.kind, by_fit)
            best, _ = descent.run(surrogate, start, audience, knowledge.public.scale if rated else None, by_step)
        return draft_of(best, goal)

    def _surrogate(self, log: InteractionLog, kind: Kind, rng: np.random.Generator) -> Surrogate:
        config: RevAdvConfig = self.config
        if config.surrogate == "item-ae":
            return ItemAE(log, kind, config.item_ae, rng)
        if config.surrogate == "lightgcn" or (config.surrogate == "auto" and kind != "rating"):
            return GraphSurrogate(log, config.lightgcn, rng)
        return WMF(log, kind, config.wmf, rng)
