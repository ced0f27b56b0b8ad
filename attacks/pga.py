"""The PGA attack: ratings and fillers by projected gradient ascent on the optimality conditions of a factorisation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from ..datasets.errors import InputError
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw, pool
from .goal import Direction, Kind
from .scale import RatingScale
from .surrogate.audience import Audience
from .surrogate.base import Accounts
from .surrogate.descent import Descent, draft_of
from .surrogate.wmf import WMF, WMFConfig


class PGAConfig(AttackConfig):
    """Settings of PGA."""

    steps: int = Field(default=20, ge=0, description="gradients; 0 leaves the random accounts as they are")
    exchange: float = Field(
        default=0.3, gt=0, le=1, description="share of the fillers that the first step may exchange"
    )
    temperature: float = Field(default=1.0, gt=0, description="of the attack loss, in deviations of a user's scores")
    wmf: WMFConfig = WMFConfig(unroll=1)


class PGA(Attack):
    """Random accounts improved along the implicit gradient of matrix factorisation.

    At the optimum of a factorisation each item's vector solves a least-squares problem given the users' vectors, and
    each user's one given the items'. Such a solution has an exact derivative in a fake rating,
    d v_j / d m_ij = (lambda I + sum of u u')^-1 u_i, no matter how the optimum was reached (KKT conditions); this
    attack follows one exact half step of either side. The ratings move against the loss and are clipped to the
    scale; every account keeps its P best events along the gradient.

    It differs from `revadv` in two things: accounts start at random, not from copies, and the gradient goes through
    one update of either side instead of several. It differs from the publication in its loss: -log of the target's
    softmax in place of the summed predictions; the variant that samples profiles like those of genuine users (SGLD)
    is not built.
    """

    name = "pga"
    title = "Random accounts improved by projected gradient ascent"
    reference = (
        "Li, Wang, Singh and Vorobeychik 2016, Data Poisoning Attacks on Factorization-Based Collaborative Filtering, "
        "NeurIPS, arXiv 1608.08182, alternating minimisation"
    )
    grants = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"rating", "implicit"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type = PGAConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Draw accounts, then follow the gradient."""
        by_start, by_fit, by_step = rng.spawn(3)
        config: PGAConfig = self.config
        log = knowledge.log
        if goal.profile > log.n_items:
            raise InputError(f"a profile of {goal.profile} items does not fit a catalogue of {log.n_items}; lower it")
        scale = knowledge.scale if goal.kind == "rating" else None
        start = random_accounts(goal, log.n_items, scale, by_start)
        audience = Audience.of(log, goal)
        with one_thread():
            surrogate = WMF(log, goal.kind, config.wmf, by_fit)
            best, _ = Descent(config.steps, config.exchange, config.temperature).run(
                surrogate, start, audience, scale, by_step
            )
        return draft_of(best, goal)


def random_accounts(goal: Goal, n_items: int, scale: RatingScale | None, rng: np.random.Generator) -> Accounts:
    """Targets at the top rating and uniform fillers with uniform real ratings: float32 [A, I].

    P is at most I.
    """
    by_items, by_ratings = rng.spawn(2)
    items = torch.from_numpy(draw(by_items, pool(goal, n_items), goal.accounts, goal.fillers)).long()
    present = torch.zeros(goal.accounts, n_items)
    present.scatter_(1, items, 1.0)
    present[:, list(goal.targets)] = 1.0
    if scale is None:
        return Accounts(present, present.clone())
    drawn = by_ratings.uniform(scale.lowest, scale.highest, tuple(present.shape)).astype(np.float32)
    rating = present * torch.from_numpy(drawn)
    rating[:, list(goal.targets)] = scale.highest
    return Accounts(present, rating)
