"""DLAttack: fillers that a poison model finds natural for an account that likes the target."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from ..recommenders.sampling import Positives
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .goal import Direction, Kind
from .knowledge import Grant
from .surrogate.audience import Audience
from .surrogate.fillers import seen_items, take_turns
from .surrogate.losses import margin_loss
from .surrogate.twin import Family, Twin, TwinConfig, with_targets


class DLAttackConfig(TwinConfig):
    """Settings of DLAttack."""

    twin: Family = Field(default="mf", description="the poison model's network: mf, lightgcn or simgcl")
    blocks: int = Field(default=3, ge=1, description="accounts are written in so many blocks, each by a new model")
    rounds: int = Field(default=4, ge=1, description="rounds of a block: steps on the attack's loss, then an epoch")
    steps: int = Field(default=5, ge=1, description="steps on the attack's loss in a round")
    kappa: float = Field(default=1.0, ge=0, description="lead over the k-th score, in log chances, that is enough")
    eta: float = Field(default=1.0, gt=0, description="weight of the target's margin against the accounts' evenness")
    decay: float = Field(default=0.9, gt=0, le=1, description="factor on an item's weight when an account takes it")


class DLAttack(Attack):
    """Accounts take what a poison model, bent to recommend the target, predicts for someone who has only the target.

    Block by block: new accounts start with the targets alone; the model is trained on the log and all accounts so
    far; rounds of steps on the attack's loss and an epoch of training follow, a guess at the victim after a
    successful attack. In the round where the target does best, each account takes the items of largest chance x
    weight, and an item's weight falls whenever it is taken, so that accounts differ.

    Grey box: the model is the attacker's own, trained on the visible log.
    """

    name = "dl-attack"
    title = "What a poison model predicts for accounts that hold the target"
    reference = (
        "After Huang et al. 2021, Data Poisoning Attacks to Deep Learning Based Recommender Systems, NDSS (DLAttack)"
    )
    grants: ClassVar[frozenset[Grant]] = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"implicit"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type: ClassVar[type[AttackConfig]] = DLAttackConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Write the accounts block by block; weights of items last from block to block."""
        log = knowledge.log
        allowed = seen_items(log, goal.targets)
        fillers = np.full((goal.accounts, goal.fillers), -1, np.int32)
        if not goal.fillers or not len(allowed):
            return Draft(fillers)
        by_model, by_user, by_block = rng.spawn(3)
        config: DLAttackConfig = self.config
        audience = Audience.of(log, goal)
        weights = np.ones(len(allowed))
        with one_thread():
            clean = Twin.fitted(Positives.of(log), config.twin, config, by_model)
            for block in np.array_split(np.arange(goal.accounts), min(config.blocks, goal.accounts)):
                so_far = with_targets(fillers[: block[-1] + 1], goal)  # the new ones have no fillers yet
                model = clean.refitted(so_far, config.refit, by_block)
                tastes = poisoned(model, len(block), audience, config, by_user, by_block)
                fillers[block] = take_turns(tastes, weights, allowed, goal.fillers, config.decay)
        return Draft(fillers)


def poisoned(
    model: Twin,
    new: int,
    audience: Audience,
    config: DLAttackConfig,
    by_user: np.random.Generator,
    by_epoch: np.random.Generator,
) -> torch.Tensor:
    """Scores of the last `new` accounts, float [new, I], in the round in which the targets stand best.

    The model is bent and trained in place; each round is judged after its epoch, not before: what training takes
    back the victim's training would take back too.
    """
    judges = audience.sample(by_user)
    best, tastes = (-1.0, -np.inf), model.tastes()
    for _ in range(config.rounds):
        for _ in range(config.steps):
            model.bend(attack_loss(model, new, audience, config, by_user))
        model.epochs(1, by_epoch)
        value = model.standing(judges, audience.targets, config.cutoff)
        if value > best:
            best, tastes = value, model.tastes()
    return tastes[-new:]


def attack_loss(
    model: Twin, new: int, audience: Audience, config: DLAttackConfig, by_user: np.random.Generator
) -> torch.Tensor:
    """Sum of squared chances of the last `new` accounts (mean of them) + eta x margin of the targets.

    The margin is max(log y_k - log y_t, -kappa), mean over genuine users who lack a target; the gradient reaches
    users, targets and rivals alike. A scalar, differentiable in the model's tables.

    Reference: Huang et al. 2021, Data Poisoning Attacks to Deep Learning Based Recommender Systems, NDSS: their
    objective ||y_v||^2 + eta x the sum of the users' losses, here means.
    """
    users, consumed = audience.sample(by_user)
    user, item = model.vectors()
    margin = margin_loss(model.logits(user[users], item), audience.targets, consumed, config.cutoff, config.kappa)
    chances = model.logits(user[-new:], item).softmax(-1)
    return chances.square().sum(-1).mean() + config.eta * margin
