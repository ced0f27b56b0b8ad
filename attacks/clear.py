"""CLeaR: promotion through a twin whose embeddings are spread evenly."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from ..recommenders.sampling import Positives
from ..recommenders.trainer import one_thread
from .base import Attack, AttackConfig, Draft, Goal, Knowledge
from .draws import draw
from .goal import Direction, Kind
from .knowledge import Grant
from .surrogate.audience import Audience
from .surrogate.fillers import seen_items, take_turns
from .surrogate.losses import margin_loss
from .surrogate.twin import Family, Twin, TwinConfig, with_targets


class CLeaRConfig(TwinConfig):
    """Settings of CLeaR."""

    twin: Family = Field(default="simgcl", description="the twin's network: simgcl, lightgcn or mf")
    rounds: int = Field(default=3, ge=1, description="times that the accounts choose anew")
    steps: int = Field(default=10, ge=1, description="steps of the twin on the attack's loss in a round")
    kappa: float = Field(default=1.0, ge=0, description="lead over the k-th score, in log chances, that is enough")
    spectral: float = Field(default=1.0, ge=0, description="weight of the flatter spectrum; 0 leaves promotion alone")
    decay: float = Field(
        default=0.9, gt=0, le=1, description="factor on an item's chance for every account that took it; 1: none"
    )


class CLeaR(Attack):
    """Accounts choose what a bent twin, which recommends the target and has a flat spectrum, would give them.

    Each round trains the twin on the log and the accounts, then bends it: steps that raise the target into genuine
    users' lists and take weight off the leading direction of the embeddings. Spread embeddings, which contrastive
    training makes by itself, let a cold item come near many users. Each account then takes the items it scores
    highest. All choices of accounts are judged alike, by the target's standing in twins refitted from one and the
    same clean table, so that neither bending nor longer training counts for a choice; the best is kept.

    Grey box: the twin stands for the victim, of which nothing is read but its family's name.
    """

    name = "clear"
    title = "Top items of a twin bent towards the target with a flat spectrum"
    reference = (
        "After Wang et al. 2024, Unveiling Vulnerabilities of Contrastive Recommender Systems to Poisoning Attacks, "
        "arXiv 2311.18244 (CLeaR)"
    )
    grants: ClassVar[frozenset[Grant]] = frozenset({"catalogue", "log"})
    kinds: ClassVar[frozenset[Kind]] = frozenset({"implicit"})
    directions: ClassVar[frozenset[Direction]] = frozenset({"push"})
    config_type: ClassVar[type[AttackConfig]] = CLeaRConfig

    def craft(self, knowledge: Knowledge, goal: Goal, rng: np.random.Generator) -> Draft:
        """Random fillers, then rounds of bending, choosing and refitting."""
        log = knowledge.log
        allowed = seen_items(log, goal.targets)
        if not goal.fillers or not len(allowed):
            return Draft(np.empty((goal.accounts, 0), np.int32))
        by_twin, by_first, by_user, by_spectrum, by_refit = rng.spawn(5)
        config: CLeaRConfig = self.config
        chances = np.zeros(log.n_items)
        chances[allowed] = 1.0
        fillers = draw(by_first, chances, goal.accounts, goal.fillers)
        audience = Audience.of(log, goal)
        judges = audience.sample(by_user)
        with one_thread():
            clean = Twin.fitted(Positives.of(log), config.twin, config, by_twin)
            best, kept = (-1.0, -np.inf), fillers
            for left in range(config.rounds, -1, -1):
                twin = clean.refitted(with_targets(fillers, goal), config.refit, by_refit)
                value = twin.standing(judges, audience.targets, config.cutoff)
                if value > best:
                    best, kept = value, fillers
                if left:
                    bend(twin, audience, config, by_user, by_spectrum)
                    weights = np.ones(len(allowed))
                    fillers = take_turns(twin.tastes(), weights, allowed, goal.fillers, config.decay)
        return Draft(kept)


def bend(
    twin: Twin,
    audience: Audience,
    config: CLeaRConfig,
    by_user: np.random.Generator,
    by_spectrum: np.random.Generator,
) -> None:
    """Steps of the twin's tables on margin + spectral weight x leading part (arXiv 2311.18244, its two terms)."""
    for _ in range(config.steps):
        users, consumed = audience.sample(by_user)
        user, item = twin.vectors()
        scores = twin.logits(user[users], item)
        loss = margin_loss(scores, audience.targets, consumed, config.cutoff, config.kappa)
        if config.spectral:
            open_ = scores.detach().masked_fill(consumed, -torch.inf)
            listed = torch.from_numpy(np.unique(open_.topk(min(config.cutoff, open_.shape[1])).indices.numpy()))
            stacked = torch.cat([user[users], item[audience.targets], item[listed]])
            start = torch.from_numpy(by_spectrum.standard_normal(stacked.shape[1], np.float32))
            loss = loss + config.spectral * leading_part(stacked, start)
        twin.bend(loss)


def leading_part(vectors: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """Entry-wise L1 norm of E r r^T / |r|^2 per row, r = E^T E r0: how much lies along the leading direction.

    One power iteration finds the direction; to minimise the part flattens the spectrum. The paper sums over rows;
    the mean keeps the weight against the margin the same whatever the number of users. Differentiable in both.

    Shapes: E float [n, d], r0 float [d] -> scalar, at least 0.

    Reference: arXiv 2311.18244, the dispersion term ||E - E_hat||_1 with E_hat = E - E r r^T / |r|^2.
    """
    direction = vectors.T @ (vectors @ start)
    direction = direction / direction.norm().clamp_min(1e-12)
    # |a_i r_j| summed over i and j is the product of two sums: the n x d matrix is never built
    part: torch.Tensor = (vectors @ direction).abs().mean() * direction.abs().sum()
    return part
